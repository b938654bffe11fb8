"""One step of training: the losses of both batches and the update of the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
from captioner.model.answer_head import Answered
from captioner.model.captioning_model import CaptioningModel
from captioner.model.encoder import Encoder
from captioner.runtime import move, move_together
from captioner.training import distributed
from captioner.training.losses import (
    answer_loss,
    caption_loss,
    leave_one_out_advantages,
    pair_loss,
    self_critical_loss,
)
from captioner.training.measurements import Measurement, read
from captioner.training.setup import Task


def train_step(
    task: Task,
    optimizer: torch.optim.Optimizer,
    captions: Sequence[Batch],
    questions: Sequence[QuestionBatch],
    step: int,
) -> Measurement:
    """One optimizer step on this process's parts of a batch; returns what the log says of it.

    captions, questions: the parts, none where the run does not learn them. All processes take the
    step together, and what is measured is of the whole batch: "loss" and "gradient norm" always;
    "caption loss" and "answer loss" where both are learned at once; "reward", the mean of the
    captions drawn, where the training is self-critical. A GPU is not waited for. A step whose loss
    or gradient is not finite changes nothing: on a processor CaptionerError is raised at once, on a
    GPU when the measurement is read.
    """
    config = task.run.training
    distributed.seed_dropout(config.seed, step)
    optimizer.zero_grad(set_to_none=True)
    measured = _backward(task, captions, questions, step)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    totals = torch.stack(list(measured.values()))
    distributed.add_up_gradients(trained, totals)
    if config.update_batch_norm:
        distributed.average([b for b in task.model.encoder.buffers() if b.is_floating_point()])
    norm = nn.utils.clip_grad_norm_(trained, config.clip_norm or math.inf)
    values = torch.cat([totals, norm.reshape(1)])
    texts = sum(parts[0].part.texts for parts in (captions, questions) if parts)
    measurement = Measurement(step, texts, (*measured, "gradient norm"), values)
    if task.device.type == "cuda":
        # The fused optimizer looks at this on the GPU and then leaves the weights alone.
        optimizer.found_inf = (~values.isfinite().all()).float()  # type: ignore[attr-defined]
    else:
        read([measurement])
    optimizer.step()
    return measurement


def _backward(
    task: Task, captions: Sequence[Batch], questions: Sequence[QuestionBatch], step: int
) -> dict[str, Tensor]:
    """Add up the gradients of the parts; returns the sums of their losses and of their reward."""
    drawn = _draw(task, captions, step) if task.reward else None
    names = ["loss", *["caption loss", "answer loss"] * bool(captions and questions)]
    zero = torch.zeros((), device=task.device)
    measured = dict.fromkeys([*names, *["reward"] * bool(drawn)], zero)
    for part in range(max(len(captions), len(questions))):
        losses: dict[str, Tensor] = {}
        if captions and captions[part].lengths:
            losses["caption loss"], rewarded = _caption_part(task, captions[part], drawn, part)
            measured |= {name: measured[name] + value for name, value in rewarded.items()}
        if questions:
            weight = task.run.training.answer_weight if captions else 1.0
            losses["answer loss"] = weight * _answer_part(task, questions[part])
        if losses:
            losses["loss"] = torch.stack(list(losses.values())).sum()
            if losses["loss"].requires_grad:  # not that of a part which is empty
                losses["loss"].backward()
        for name in losses.keys() & measured.keys():
            measured[name] = measured[name] + losses[name].detach()
    return measured


@dataclass(frozen=True)
class _Drawn:
    """Captions drawn for the parts of a batch, to be rewarded; each ends with END.

    maps, captions: of each part; words: drawn by all processes together, without a forced END.
    """

    maps: list[Tensor]
    captions: list[list[list[int]]]
    words: int


def _caption_part(
    task: Task, batch: Batch, drawn: _Drawn | None, part: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The share of a part in the loss of the whole batch of captions.

    Cross entropy, or self-critical; then also its share in the mean reward.
    """
    if drawn is None:
        with _autocast(task):
            maps = frozen_maps(task.model.encoder, batch.views)
    else:
        maps = drawn.maps[part]
    task.model.train()
    with _autocast(task):
        features = task.model.encoder.head(maps)  # (P, N, D)
        if drawn is None:
            return _cross_entropy(task, batch, features), {}
        return _self_critical(task, batch, drawn.captions[part], drawn.words, features)


def _answer_part(task: Task, batch: QuestionBatch) -> Tensor:
    """The share of a part in the loss of the whole batch of questions, and in that of its pairs."""
    config, device = task.run.training, task.device
    loss = torch.zeros((), device=device)
    logits = torch.zeros(batch.targets.shape, device=device)
    if batch.lengths:
        task.model.train()
        with _autocast(task):
            logits = answer_batch(task.model, batch).logits  # (R, answers)
        targets = move(batch.targets, device)
        loss = answer_loss(logits, targets, label_smoothing=config.label_smoothing)
        loss = loss * (len(batch.lengths) / batch.part.texts)
    if config.pair_weight and task.questions is not None:
        best, pairs = move_together(task.questions.pairs(batch.whole), device)
        whole = _of_whole_batch(logits, batch.part.first_text, len(batch.whole))
        paired = config.pair_weight * pair_loss(whole, best, pairs)
        # All processes compute it, each with the gradient of its own logits.
        loss = loss + paired - paired.detach() * (1 - 1 / distributed.size())
    return loss


def _of_whole_batch(logits: Tensor, first: int, questions: int) -> Tensor:
    """Logits (questions, answers) of a whole batch; those of other processes have no gradient.

    logits: of this process's questions, `first` of them the first.
    """
    if distributed.size() == 1:
        return logits
    rows = slice(first, first + len(logits))
    whole = torch.zeros(questions, logits.shape[1], device=logits.device)
    whole[rows] = logits.detach()
    distributed.add_up(whole)
    whole[rows] = logits
    return whole


def _autocast(task: Task) -> torch.autocast:
    return torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=task.autocast)


def _cross_entropy(task: Task, batch: Batch, features: Tensor) -> Tensor:
    """The share of these captions in the loss of the whole batch, a mean over its words."""
    config = task.run.training
    decoder, _ = task.model.caption_parts()
    forced = decoder(batch.tokens, batch.lengths, batch.rows, features, config.truncate_steps)
    words = sum(batch.lengths) / batch.part.words
    captions = len(batch.lengths) / batch.part.texts  # over which the penalty is a mean
    loss = caption_loss(
        forced,
        label_smoothing=config.label_smoothing,
        attention_penalty=config.attention_penalty * captions / words,
        captions=len(batch.lengths),
    )
    return loss * words


def _draw(task: Task, batches: Sequence[Batch], step: int) -> _Drawn:
    """Draw captions_per_picture captions for each picture of each part, without dropout."""
    config, model = task.run.training, task.model
    decoder, _ = model.caption_parts()
    sampling = _sampling(task)
    maps: list[Tensor] = []
    captions: list[list[list[int]]] = []
    for batch in batches:
        if not batch.indices:
            maps.append(batch.views.pictures)
            captions.append([])
            continue
        with _autocast(task):
            maps.append(frozen_maps(model.encoder, batch.views))
        first = (config.seed * 1_000_003 + step) * batch.part.pictures + batch.part.first_picture
        model.eval()
        # Autocast of its own: it keeps the weights it has converted, and these carry no gradient.
        with torch.no_grad(), _autocast(task):
            drawn = draw(
                decoder,
                model.encoder.head(maps[-1]),
                sampling,
                range(first, first + len(batch.indices)),
            )
        captions.append([[*sample.tokens, END] for samples in drawn for sample in samples])
    words = sum(min(len(caption), sampling.max_words) for part in captions for caption in part)
    return _Drawn(maps, captions, int(distributed.add_up(torch.tensor(words))))


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
    task: Task, batch: Batch, samples: list[list[int]], words: int, features: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The policy gradient on these samples, each against the picture's others, and their reward.

    Both are shares in the mean of the whole batch; words: in all of its samples, without a forced
    END.
    """
    assert task.reward is not None
    sampling = _sampling(task)
    indices = [index for index in batch.indices for _ in range(sampling.num_captions)]
    rewards = torch.tensor(task.reward(samples, indices), dtype=torch.float32)  # (P * samples,)
    rewards = move(rewards, task.device)
    advantages = leave_one_out_advantages(rewards.view(-1, sampling.num_captions)).view(-1)
    tokens, lengths, rows = _on_host(samples, sampling.num_captions)
    decoder, _ = task.model.caption_parts()
    forced = decoder(tokens, lengths, rows, features, task.run.training.truncate_steps)
    loss = self_critical_loss(
        forced, advantages, temperature=sampling.temperature, max_words=sampling.max_words
    )
    own = sum(min(len(sample), sampling.max_words) for sample in samples)
    reward = rewards.mean() * (len(batch.indices) / batch.part.pictures)
    return loss * (own / words), {"reward": reward}


def _on_host(samples: list[list[int]], each: int) -> tuple[Tensor, list[int], Tensor]:
    """Tokens and lengths of samples, `each` for every picture, and their rows, as the decoder's."""
    tokens, lengths = pad_captions(samples)
    return tokens, lengths, torch.arange(len(samples)) // each


def frozen_maps(encoder: Encoder, views: Views) -> Tensor:
    """Maps (P, rows, columns, C) of the frozen layers, cached or computed, on their device."""
    pictures = move(views.pictures, encoder.positions.device).float()
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
    return head(batch.words, batch.lengths, batch.rows, features, keys)
