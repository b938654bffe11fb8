"""Training: captions, answers or both at once, resumable at any step."""

import copy
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from captioner.config.run import CACHE_FOLDER, RunConfig
from captioner.config.toml_file import read_stages, to_toml
from captioner.data.caption_batches import CaptionBatches
from captioner.data.question_batches import QuestionBatches
from captioner.errors import CaptionerError, LostWorker
from captioner.files import atomic_write, remove_partial
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel
from captioner.training import distributed, epoch_end
from captioner.training.data import write_held_out
from captioner.training.measurements import Measurement, read
from captioner.training.optimizer import make_optimizer, set_learning_rates, update_average
from captioner.training.setup import Interrupted, Reporter, Task, prepare
from captioner.training.state import (
    Position,
    is_saved,
    load_state,
    read_state,
    save_state,
    words_of,
)
from captioner.training.step import train_step

LOG_STEPS = 20


def fit(
    run: RunConfig,
    output: Path,
    *,
    device: torch.device,
    resume: bool,
    reporter: Reporter,
    caches: Path | None = None,
    keep_start: bool = False,
) -> None:
    """Train to the end of the last epoch, or until early stopping or an interrupt.

    Writes into `output`: settings.toml, best.safetensors, last.safetensors, state.safetensors and
    its predecessor to resume from, log.jsonl and curve.png, with val_share held_out.json; and the
    feature caches into `caches`, which is the folder cache in `output` unless it is given.
    keep_start: best.safetensors is the model that the run starts from, if that has learned all
    tasks, until an epoch's is better beyond chance.

    A resumed run equals an uninterrupted one, to the bit on a CPU; one that had not come to its
    first step begins. What average_of says is for `fit_stages`, which knows the earlier stages, and
    done by it. Of several processes, the first one writes, and the result is the same for any
    number of them, except for rounding and what dropout draws. Raises CaptionerError for bad input
    or a loss or gradient that is not finite; Interrupted and LostWorker, once the state is saved.
    """
    caches = caches or output / CACHE_FOLDER
    task, average, optimizer, position = _begin(run, output, caches, device, resume, reporter)
    if keep_start and task.start is not None and position.step == 0:
        epoch_end.keep_start(task, average, position)
    while position.epoch < run.training.epochs:
        if 0 < run.training.patience <= position.epochs_since_best:
            reporter.note(
                f"no better score or lower loss for {position.epochs_since_best} epochs: stopping"
            )
            break
        train_one_epoch(task, average, optimizer, position)
        save_state(output, position, task.model, average, optimizer)
        epoch_end.finish_epoch(task, average, position)
        save_state(output, position, task.model, average, optimizer)
    if position.start is not None:
        reporter.note(epoch_end.compare_with_start(position))
    distributed.wait_for_all()  # what comes next may read what the first process has written


def _begin(
    run: RunConfig,
    output: Path,
    caches: Path,
    device: torch.device,
    resume: bool,
    reporter: Reporter,
) -> tuple[Task, CaptioningModel, torch.optim.Optimizer, Position]:
    """The task, the averaged model, the optimizer and the position: new, or where a run stopped."""
    with distributed.first_ahead():
        saved = read_state(output, reporter.note) if resume and is_saved(output) else None
    if distributed.is_first():
        keep_settings({"": run}, output)
        remove_partial(output, ".safetensors")
    torch.manual_seed(run.training.seed)
    task = prepare(run, output=output, caches=caches, device=device, reporter=reporter, state=saved)
    optimizer = make_optimizer(task.model, run.training)
    average = task.model
    if run.training.average_decay:
        average = copy.deepcopy(task.model).requires_grad_(False)
    position = Position()
    if saved is not None:
        position = load_state(saved, task.model, average, optimizer)
        reporter.note(f"resuming at step {position.step}")
        if position.epoch == run.training.epochs:
            reporter.note("all epochs are done; to train on, start another run from its checkpoint")
    if distributed.size() > 1:
        distributed.check_same(_about(task, position))
    if distributed.is_first():
        task.log.cut(position.step, position.epoch)
        if run.data.val_share and task.val_captions is not None:
            folders = [Path(folder) for folder in run.data.images]
            write_held_out(task.val_captions.pictures, folders, output / "held_out.json")
    return task, average, optimizer, position


def _about(task: Task, position: Position) -> dict[str, object]:
    """What has to be the same in all processes."""
    weights = [value.detach().cpu() for value in checkpoint.named_tensors(task.model).values()]
    return {
        "the saved state": position,
        "the training data": (task.data, task.steps),
        "the words and answers": words_of(task.model),
        "the weights": [zlib.crc32(value.contiguous().numpy().tobytes()) for value in weights],
    }


def make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaptionerError(
            f"{output}: cannot be made a folder ({error.strerror}); choose another output"
        ) from error


def keep_settings(stages: dict[str, RunConfig], output: Path) -> None:
    """Write a run's settings, unless its file says the same already, perhaps with comments."""
    make_folder(output)
    with suppress(CaptionerError):
        if read_stages(output / "settings.toml") == stages:
            return
    settings = "\n".join(to_toml(run, name) for name, run in stages.items())
    atomic_write(
        output / "settings.toml", lambda partial: partial.write_text(settings, encoding="utf-8")
    )


def train_one_epoch(
    task: Task, average: CaptioningModel, optimizer: torch.optim.Optimizer, position: Position
) -> None:
    """Take the epoch's remaining steps, saving the state now and then and when stopped.

    Where there are captions and questions, every step learns from a batch of each; the smaller
    set begins anew when it is through.
    """
    config = task.run.training
    captions = _stream(task.captions, position.step)
    questions = _stream(task.questions, position.step)
    recent: list[dict[str, float]] = []
    unread: list[Measurement] = []
    started = time.monotonic()
    task.reporter.progress("training", position.step, task.steps, "")
    while position.batch < task.epoch_steps:
        set_learning_rates(optimizer, config, position.step, task.steps)
        try:
            batches = next(captions), next(questions)
        except LostWorker:
            save_state(task.output, position, task.model, average, optimizer)
            raise
        unread.append(train_step(task, optimizer, *batches, position.step))
        position.step += 1
        position.batch += 1
        if average is not task.model:
            update_average(average, task.model, config.average_decay, position.step)
        stop = distributed.in_any(task.reporter.interrupted())
        # At the same steps as without an interrupt; "steps" says of how many the means are.
        log = stop or position.batch % LOG_STEPS == 0 or position.batch == task.epoch_steps
        save = stop or position.step % config.save_steps == 0
        if log or save or task.device.type == "cpu":  # reading waits for a GPU
            recent += read(unread)
            unread.clear()
        task.reporter.progress("training", position.step, task.steps, _describe(recent))
        if log:
            seconds, started = time.monotonic() - started, time.monotonic()
            _log(task, position, recent, optimizer.param_groups[0]["lr"], seconds)
            recent.clear()
        if save:
            save_state(task.output, position, task.model, average, optimizer)
        if stop:
            raise Interrupted


def _stream(batches: CaptionBatches | QuestionBatches | None, step: int) -> Iterator[list[Any]]:
    """A set's batches epoch after epoch, from that of this step on, each as this process's parts.

    Without a set there are no parts.
    """
    while batches is None:
        yield []
    epoch, first = divmod(step, len(batches))
    while True:
        parts = iter(batches.epoch(epoch, first))
        while batch := list(islice(parts, len(batches.parts.own))):
            yield batch
        epoch, first = epoch + 1, 0


def _log(
    task: Task,
    position: Position,
    recent: list[dict[str, float]],
    learning_rate: float,
    seconds: float,
) -> None:
    if not distributed.is_first():
        return
    clip = task.run.training.clip_norm
    means = _means(recent)
    record: dict[str, Any] = {
        "step": position.step,
        "steps": len(recent),
        **{name: mean for name, mean in means.items() if name != "texts"},
        "clipped": sum(step["gradient norm"] > clip > 0 for step in recent) / len(recent),
        "learning rate": learning_rate,
        "texts a second": means["texts"] * len(recent) / seconds,
    }
    task.log.write(record)


def _means(recent: list[dict[str, float]]) -> dict[str, float]:
    names = recent[0] if recent else ()
    return {name: sum(step[name] for step in recent) / len(recent) for name in names}


def _describe(recent: list[dict[str, float]]) -> str:
    """The mean losses of the latest steps, for people."""
    means = _means(recent).items()
    losses = [(name, mean) for name, mean in means if name not in ("gradient norm", "texts")]
    return ", ".join(f"{name} {mean:.3f}" for name, mean in losses)
