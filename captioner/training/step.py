"""One step of training: the losses of both batches and the update of the weights."""

import math

import torch
from torch import Tensor, nn

from captioner.config.settings import DecodingConfig
from captioner.data.caption_batches import Batch
from captioner.data.padding import pad_captions
from captioner.data.picture_loading import Views
from captioner.data.question_batches import QuestionBatch
from captioner.data.vocabulary import END
from captioner.decoding.sampling import draw
from captioner.decoding.step import limits_in_tokens
from captioner.errors import CaptionerError
from captioner.model.answer_head import Answered
from captioner.model.captioning_model import CaptioningModel
from captioner.model.encoder import Encoder
from captioner.training.losses import (
    answer_loss,
    caption_loss,
    leave_one_out_advantages,
    pair_loss,
    self_critical_loss,
)
from captioner.training.setup import Task


def train_step(
    task: Task,
    optimizer: torch.optim.Optimizer,
    captions: Batch | None,
    questions: QuestionBatch | None,
    step: int,
) -> dict[str, float]:
    """One optimizer step; returns what the log says of it.

    "loss", "gradient norm" (before clipping) and "texts" (learned from) always; "caption loss" and
    "answer loss" where both are learned at once; "reward", the mean of the captions drawn, where
    the training is self-critical.
    """
    config = task.run.training
    losses: dict[str, Tensor] = {}
    measured: dict[str, float] = {}
    texts = 0
    if captions is not None:
        losses["caption loss"], rewarded = _caption_part(task, captions, step)
        measured |= rewarded
        texts += len(captions.lengths)
    if questions is not None:
        weight = config.answer_weight if captions is not None else 1.0
        losses["answer loss"] = weight * _answer_part(task, questions)
        texts += len(questions.lengths)
    if len(losses) > 1:
        measured |= {name: float(part.detach()) for name, part in losses.items()}
    loss = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(trained, config.clip_norm or math.inf))
    for name, value in (("loss", float(loss.detach())), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise CaptionerError(
                f"the {name} is {value} at step {step}; the checkpoints before it are kept: "
                "lower learning_rate, raise warm_up_steps or turn autocast off, all of which can "
                "change with --resume"
            )
    optimizer.step()
    return {"loss": float(loss.detach()), "gradient norm": norm, "texts": texts, **measured}


def _caption_part(task: Task, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch of captions: cross entropy, or self-critical with the mean reward."""
    with _autocast(task):
        maps = frozen_maps(task.model.encoder, batch.views)
    samples = _draw(task, maps, step) if task.reward else []
    task.model.train()
    with _autocast(task):
        features = task.model.encoder.head(maps)  # (P, N, D)
        if not task.reward:
            return _cross_entropy(task, batch, features), {}
        loss, reward = _self_critical(task, batch, samples, features)
    return loss, {"reward": reward}


def _answer_part(task: Task, batch: QuestionBatch) -> Tensor:
    """The loss of a batch of questions, and that of its pairs where the settings say so."""
    config, device = task.run.training, task.device
    task.model.train()
    with _autocast(task):
        answered = answer_batch(task.model, batch)
    targets = batch.targets.to(device)
    loss = answer_loss(answered.logits, targets, label_smoothing=config.label_smoothing)
    if config.pair_weight:
        pairs = pair_loss(answered.logits, targets, batch.wordings.to(device))
        loss = loss + config.pair_weight * pairs
    return loss


def _autocast(task: Task) -> torch.autocast:
    enabled = task.run.training.autocast
    return torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=enabled)


def _cross_entropy(task: Task, batch: Batch, features: Tensor) -> Tensor:
    """The loss of the batch's captions."""
    config, device = task.run.training, task.device
    decoder, _ = task.model.caption_parts()
    tokens, rows = batch.tokens.to(device), batch.rows.to(device)
    forced = decoder(tokens, batch.lengths, rows, features, config.truncate_steps)
    return caption_loss(
        forced,
        label_smoothing=config.label_smoothing,
        attention_penalty=config.attention_penalty,
    )


def _draw(task: Task, maps: Tensor, step: int) -> list[list[int]]:
    """Captions to be rewarded, captions_per_picture for each picture, drawn without dropout."""
    config, model = task.run.training, task.model
    first = (config.seed * 1_000_003 + step) * len(maps)
    decoder, _ = model.caption_parts()
    model.eval()
    # Autocast of its own: it keeps the weights it has converted, and these carry no gradient.
    with torch.no_grad(), _autocast(task):
        features = model.encoder.head(maps)
        drawn = draw(decoder, features, _sampling(task), range(first, first + len(maps)))
    return [[*sample.tokens, END] for samples in drawn for sample in samples]


def _sampling(task: Task) -> DecodingConfig:
    config = task.run.training
    _, vocabulary = task.model.caption_parts()
    return limits_in_tokens(
        DecodingConfig(
            sample=True,
            num_captions=config.captions_per_picture,
            max_words=config.max_words,
            block_ngrams=0,
            temperature=config.sample_temperature,
        ),
        vocabulary,
    )


def _self_critical(
    task: Task, batch: Batch, samples: list[list[int]], features: Tensor
) -> tuple[Tensor, float]:
    """The policy gradient on these samples, each against the picture's others; the mean reward."""
    assert task.reward is not None
    sampling = _sampling(task)
    indices = [index for index in batch.indices for _ in range(sampling.num_captions)]
    rewards = torch.tensor(task.reward(samples, indices), dtype=torch.float32)  # (P * samples,)
    advantages = leave_one_out_advantages(rewards.view(-1, sampling.num_captions)).view(-1)
    tokens, lengths = pad_captions(samples)
    rows = torch.arange(len(batch.indices)).repeat_interleave(sampling.num_captions)
    decoder, _ = task.model.caption_parts()
    forced = decoder(
        tokens.to(task.device),
        lengths,
        rows.to(task.device),
        features,
        task.run.training.truncate_steps,
    )
    loss = self_critical_loss(
        forced,
        advantages.to(task.device),
        temperature=sampling.temperature,
        max_words=sampling.max_words,
    )
    return loss, float(rewards.mean())


def frozen_maps(encoder: Encoder, views: Views) -> Tensor:
    """Maps (P, rows, columns, C) of the frozen layers, cached or computed, on their device."""
    pictures = views.pictures.to(encoder.positions.device)
    return pictures if views.cached else encoder.trunk(pictures)


def answer_batch(model: CaptioningModel, batch: QuestionBatch) -> Answered:
    """The logits and attention of the answer head for a batch of questions."""
    head, _ = model.answer_parts()
    device = model.encoder.positions.device
    if head.glimpses:
        features = model.encoder.head(frozen_maps(model.encoder, batch.views))  # (P, N, D)
        keys = head.attention.project(features)  # (P, N, A)
    else:  # a blind head reads no features
        rows, columns = model.encoder.grid
        features = keys = torch.empty(len(batch.views.pictures), rows * columns, 0, device=device)
    return head(batch.words.to(device), batch.lengths, batch.rows.to(device), features, keys)
