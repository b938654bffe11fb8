"""Training: cross entropy or self-critical, cached features or not, resumable at any step."""

import copy
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner import checkpoint
from captioner.batches import Batch, pad
from captioner.checkpoint import Checkpoint
from captioner.config import DecodingConfig, RunConfig, TrainingConfig, to_toml
from captioner.errors import CaptionerError
from captioner.files import write_whole
from captioner.losses import caption_loss, leave_one_out_advantages, self_critical_loss
from captioner.model import CaptioningModel
from captioner.optimization import make_optimizer, set_learning_rates, update_average
from captioner.search import sample_tokens
from captioner.training_state import Position, load_state, save_state
from captioner.training_task import Interrupted, Reporter, Task, prepare
from captioner.validation import evaluate
from captioner.vocabulary import END

LOG_STEPS = 20


def fit(
    run: RunConfig, output: Path, *, device: torch.device, resume: bool, reporter: Reporter
) -> None:
    """Train to the end of the last epoch, or until early stopping or an interrupt.

    Writes into `output`: settings.toml, best.safetensors, last.safetensors, state.safetensors to
    resume from, log.jsonl, curve.png and the feature caches. A resumed run equals an
    uninterrupted one, to the bit on a CPU; one that had not come to its first step begins. Raises
    CaptionerError for bad input or a loss or gradient that is not finite, and Interrupted.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaptionerError(
            f"{output}: cannot be made a folder ({error.strerror}); choose another output"
        ) from error
    state = output / "state.safetensors"
    resume = resume and state.exists()
    if not resume:
        settings = to_toml(run)
        write_whole(
            output / "settings.toml", lambda partial: partial.write_text(settings, encoding="utf-8")
        )
    torch.manual_seed(run.training.seed)
    task = prepare(run, output, device, reporter, state if resume else None)
    optimizer = make_optimizer(task.model, run.training)
    average = task.model
    if run.training.average_decay:
        average = copy.deepcopy(task.model).requires_grad_(False)
    position = Position()
    if resume:
        position = load_state(state, task.model, average, optimizer)
        reporter.note(f"resuming at step {position.step}")
    task.log.cut(position.step)
    while position.epoch < run.training.epochs:
        if 0 < run.training.patience <= position.epochs_since_best:
            reporter.note(f"no better BLEU-4 for {position.epochs_since_best} epochs: stopping")
            break
        train_one_epoch(task, average, optimizer, position)
        save_state(state, position, task.model, average, optimizer)
        _finish_epoch(task, average, position)
        save_state(state, position, task.model, average, optimizer)


def train_one_epoch(
    task: Task, average: CaptioningModel, optimizer: torch.optim.Optimizer, position: Position
) -> None:
    """Take the epoch's remaining steps, saving the state now and then and when interrupted."""
    config, state = task.run.training, task.output / "state.safetensors"
    total = len(task.train) * config.epochs
    recent: list[tuple[float, float, int]] = []
    started = time.monotonic()
    for batch in task.train.epoch(position.epoch, position.batch):
        set_learning_rates(optimizer, config, position.step, total)
        recent.append(_train_step(task, optimizer, batch, position.step))
        position.step += 1
        position.batch += 1
        if average is not task.model:
            update_average(average, task.model, config.average_decay, position.step)
        stop = task.reporter.interrupted()
        if stop or len(recent) == LOG_STEPS or position.batch == len(task.train):
            seconds, started = time.monotonic() - started, time.monotonic()
            _log(task, position, total, recent, optimizer.param_groups[0]["lr"], seconds)
            recent.clear()
        if stop or position.step % config.save_steps == 0:
            save_state(state, position, task.model, average, optimizer)
        if stop:
            raise Interrupted


def _train_step(
    task: Task, optimizer: torch.optim.Optimizer, batch: Batch, step: int
) -> tuple[float, float, int]:
    """One optimizer step; returns loss, gradient norm before clipping, and captions trained on."""
    config = task.run.training
    with _autocast(task):
        maps = batch.maps(task.model.encoder)
    samples = _draw(task, maps, step) if task.reward else []
    task.model.train()
    with _autocast(task):
        features = task.model.encoder.head(maps)
        if not task.reward:
            loss = _cross_entropy(task, batch, features)
        else:
            loss = _self_critical(task, batch, samples, features)
            if config.cross_entropy_share:
                share = config.cross_entropy_share
                loss = (1 - share) * loss + share * _cross_entropy(task, batch, features)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(trained, config.clip_norm or math.inf))
    for name, value in (("loss", float(loss.detach())), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise CaptionerError(
                f"the {name} is {value} at step {step}; the checkpoints before it are kept: "
                "lower learning_rate, raise warm_up_steps, or turn autocast off"
            )
    optimizer.step()
    return float(loss.detach()), norm, len(batch.lengths)


def _autocast(task: Task) -> torch.autocast:
    enabled = task.run.training.autocast
    return torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=enabled)


def _cross_entropy(task: Task, batch: Batch, features: Tensor) -> Tensor:
    config, device = task.run.training, task.device
    forced = task.model.decoder(
        batch.tokens.to(device),
        batch.lengths,
        batch.rows.to(device),
        features,
        config.truncate_steps,
    )
    return caption_loss(
        forced,
        label_smoothing=config.label_smoothing,
        attention_penalty=config.attention_penalty,
    )


def _draw(task: Task, maps: Tensor, step: int) -> list[list[int]]:
    """Captions to be rewarded, captions_per_picture for each picture, drawn without dropout."""
    config, model = task.run.training, task.model
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    model.eval()
    # Autocast of its own: it keeps the weights it has converted, and these carry no gradient.
    with torch.no_grad(), _autocast(task):
        features = model.encoder.head(maps)
        drawn, _, _ = sample_tokens(model.decoder, features, _sampling(task), generator)
    return [line[: line.index(END) + 1] for line in drawn.tolist()]


def _sampling(task: Task) -> DecodingConfig:
    config = task.run.training
    return task.model.vocabulary.search_limits(
        DecodingConfig(
            sample=True,
            num_captions=config.captions_per_picture,
            max_words=config.max_words,
            block_ngrams=0,
            temperature=config.sample_temperature,
        )
    )


def _self_critical(task: Task, batch: Batch, samples: list[list[int]], features: Tensor) -> Tensor:
    """The policy gradient on these samples, each against the picture's others."""
    assert task.reward is not None
    sampling = _sampling(task)
    indices = [index for index in batch.indices for _ in range(sampling.num_captions)]
    rewards = torch.tensor(task.reward(samples, indices), dtype=torch.float32)
    advantages = leave_one_out_advantages(rewards.view(-1, sampling.num_captions)).view(-1)
    tokens, lengths = pad(samples)
    rows = torch.arange(len(batch.indices)).repeat_interleave(sampling.num_captions)
    forced = task.model.decoder(
        tokens.to(task.device),
        lengths,
        rows.to(task.device),
        features,
        task.run.training.truncate_steps,
    )
    return self_critical_loss(
        forced,
        advantages.to(task.device),
        temperature=sampling.temperature,
        max_words=sampling.max_words,
    )


def _finish_epoch(task: Task, average: CaptioningModel, position: Position) -> None:
    """Validate, save last and perhaps best, log and draw, and move on to the next epoch."""
    scores = evaluate(
        average,
        task.validation,
        task.run.decoding,
        autocast=task.run.training.autocast,
        reporter=task.reporter,
    )
    position.epoch += 1
    position.batch = 0
    position.epochs_since_best += 1
    saved = Checkpoint(
        model=average,
        training=_without_folders(task.run.training),
        decoding=task.run.decoding,
        scores=[{"set": "validation during training", "values": scores}],
        data=task.data,
    )
    half = task.run.training.half_precision
    checkpoint.save(saved, task.output / "last.safetensors", half=half)
    if scores["BLEU-4"] > position.best:
        position.best, position.epochs_since_best = scores["BLEU-4"], 0
        checkpoint.save(saved, task.output / "best.safetensors", half=half)
    task.log.write({"step": position.step, "epoch": position.epoch, **scores})
    task.log.draw(task.output / "curve.png")
    listed = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    task.reporter.note(f"epoch {position.epoch} of {task.run.training.epochs}: {listed}")


def _log(
    task: Task,
    position: Position,
    total: int,
    recent: list[tuple[float, float, int]],
    learning_rate: float,
    seconds: float,
) -> None:
    losses, norms, captions = zip(*recent, strict=True)
    clip = task.run.training.clip_norm
    record: dict[str, Any] = {
        "step": position.step,
        "loss": sum(losses) / len(recent),
        "gradient norm": sum(norms) / len(recent),
        "clipped": sum(norm > clip > 0 for norm in norms) / len(recent),
        "learning rate": learning_rate,
        "captions a second": sum(captions) / seconds,
    }
    task.log.write(record)
    detail = f"loss {record['loss']:.3f}, {record['captions a second']:.0f} captions/s"
    task.reporter.progress("training", position.step, total, detail)


def _without_folders(config: TrainingConfig) -> TrainingConfig:
    """For the checkpoint, which may go to others: file names, but not where they lay here."""
    return dataclasses.replace(
        config,
        start_from=Path(config.start_from).name,
        encoder_weights=Path(config.encoder_weights).name,
    )
