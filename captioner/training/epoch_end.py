"""Between epochs: validation, the checkpoints last and best, the log."""

import dataclasses
from pathlib import Path

from captioner.config.settings import TrainingConfig
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.training import distributed
from captioner.training.selection import Validation, gain, selection_score, validation_loss
from captioner.training.setup import Task
from captioner.training.state import Position
from captioner.training.validation import evaluate_answers, evaluate_captions


def finish_epoch(task: Task, average: CaptioningModel, position: Position) -> None:
    """Validate, save last and perhaps best, log and draw, and move on to the next epoch."""
    validation = _validate(task, average)
    position.epoch += 1
    position.batch = 0
    position.epochs_since_best += 1
    loss, score = validation_loss(validation.scores), selection_score(validation.scores)
    if loss < position.lowest_loss:
        position.lowest_loss, position.epochs_since_best = loss, 0
    better = False
    if score > position.best:
        position.best, position.epochs_since_best = score, 0
        gained = gain(validation, position.start) if position.start else None
        better = gained is None or gained.low > 0
        if better:
            position.gain = gained
    saved = Checkpoint(
        model=average,
        training=dataclasses.asdict(_without_folders(task.run.training)),
        decoding=task.run.decoding,
        scores=[{"set": "validation during training", "values": validation.scores}],
        data=task.data,
        confidence_curve=task.confidence_curve,
    )
    if distributed.is_first():
        for name in ["last", *["best"] * better]:
            _save(saved, task, name)
        _log(task, position, validation, is_best=better)


def keep_start(task: Task, average: CaptioningModel, position: Position) -> None:
    """Validate the model before the first step and save it as the best so far."""
    position.start = _validate(task, average)
    position.best = selection_score(position.start.scores)
    position.lowest_loss = validation_loss(position.start.scores)
    assert task.start is not None
    about = {"set": "validation before training", "values": position.start.scores}
    kept = dataclasses.replace(
        task.start,
        model=average,
        decoding=task.run.decoding,
        # With more words it is no longer the model that was scored.
        scores=[about, *([] if task.run.training.extend_vocabulary else task.start.scores)],
    )
    if distributed.is_first():
        _save(kept, task, "best")
        _log(task, position, position.start, is_best=True)


def _save(saved: Checkpoint, task: Task, name: str) -> None:
    """Save a checkpoint of this name in the run's folder."""
    file = task.output / f"{name}.safetensors"
    checkpoint.save(saved, file, half=task.run.training.half_precision)


def _log(task: Task, position: Position, validation: Validation, *, is_best: bool) -> None:
    """Log the scores after an epoch, for files and people; epoch 0 is the start."""
    scores = validation.scores
    record = {"step": position.step, "epoch": position.epoch, **scores}
    task.log.write(record | {"best": True} if is_best else record)
    task.log.draw(task.output / "curve.png")
    listed = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    done = f"epoch {position.epoch} of {task.run.training.epochs}"
    task.reporter.note(f"{done if position.epoch else 'before the first step'}: {listed}")


def compare_with_start(position: Position) -> str:
    """What was gained over the model that the run started from, for people."""
    assert position.start is not None
    names = " plus ".join(name for name in ("CIDEr", "accuracy") if name in position.start.scores)
    pictures = max(len(position.start.captions), len(position.start.answers))
    if position.gain is None:
        return (
            "no epoch was better than the model you started from, beyond chance on the "
            f"{pictures} validation pictures: best.safetensors is that model, and last.safetensors "
            "that of the last epoch; more pictures, or more of them for validation, may show a gain"
        )
    return (
        f"better than the model you started from by {position.gain.value:.3f} {names} (95% "
        f"interval {position.gain.low:.3f} to {position.gain.high:.3f}, "
        f"{pictures} validation pictures)"
    )


def _validate(task: Task, average: CaptioningModel) -> Validation:
    """Losses and scores of the tasks that the run learns, the same in all processes."""
    autocast, reporter = task.autocast, task.reporter
    result = Validation()
    if task.val_captions is not None:
        result = evaluate_captions(
            average, task.val_captions, task.run.decoding, autocast=autocast, reporter=reporter
        )
    if task.val_questions is not None:
        answered = evaluate_answers(
            average, task.val_questions, autocast=autocast, reporter=reporter
        )
        result = Validation(result.scores | answered.scores, result.captions, answered.answers)
    return distributed.from_first(result)


def _without_folders(config: TrainingConfig) -> TrainingConfig:
    """For the checkpoint, which may go to others: file names, but not where they lay here."""
    return dataclasses.replace(
        config,
        start_from=Path(config.start_from).name,
        encoder_weights=Path(config.encoder_weights).name,
    )
