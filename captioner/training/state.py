"""What training needs to go on where it stopped, as a .safetensors file, and the one before it."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from captioner.errors import CaptionerError
from captioner.metrics.bootstrap import Interval
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import fill, named_tensors
from captioner.model.tensor_file import read_tensors, write_tensors
from captioner.training import distributed
from captioner.training.selection import Validation

LAST = "state.safetensors"
BEFORE = "state.previous.safetensors"


@dataclass
class Position:
    """Where a run is: steps taken, the epoch and the next batch in it, and the best so far.

    best: the highest selection score; lowest_loss: the lowest validation loss; start: the model
    that the run started from, if it keeps that until another is better beyond chance; gain: of
    best.safetensors over it, once there is one.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float = -1.0
    lowest_loss: float = math.inf
    epochs_since_best: int = 0
    start: Validation | None = None
    gain: Interval | None = None


@dataclass(frozen=True)
class SavedState:
    """A state as it was read: its file, the position, everything that words stand for, tensors."""

    file: Path
    position: Position
    vocabularies: list[list[str]]
    tensors: dict[str, Tensor]


def is_saved(folder: Path) -> bool:
    """Whether a run has saved a state in this folder."""
    return any((folder / name).exists() for name in (LAST, BEFORE))


def save_state(
    folder: Path,
    position: Position,
    model: CaptioningModel,
    average: CaptioningModel,
    optimizer: Optimizer,
) -> None:
    """Write weights, averaged weights, optimizer, random states and position; all or nothing.

    The state that was saved before it is kept beside it. Of the averaged weights it has only those
    that differ from the model's: the frozen ones are the same. Of several processes, the first one
    writes, and the random states are its own.
    """
    if not distributed.is_first():
        return
    weights = named_tensors(model)
    tensors = {f"model.{name}": value for name, value in weights.items()}
    for name, value in named_tensors(average).items():
        if not torch.equal(value, weights[name]):
            tensors[f"average.{name}"] = value
    names = _parameter_names(model, optimizer)
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{names[index]}.{key}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    device = model.encoder.positions.device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {
        "position": json.dumps(dataclasses.asdict(position)),
        "vocabularies": json.dumps(words_of(model)),
    }
    if (folder / LAST).exists():
        _keep(folder / LAST, folder / BEFORE)
    write_tensors(tensors, metadata, folder / LAST)


def _keep(file: Path, name: Path) -> None:
    """Give a file, which is about to be replaced, a second name."""
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, name)


def read_state(folder: Path, note: Callable[[str], None]) -> SavedState:
    """The last state that was saved, or if it is damaged or gone, with a note, the one before.

    That one is the last from then on. Raises CaptionerError where neither can be read.
    """
    last, before = folder / LAST, folder / BEFORE
    try:
        return _read(last)
    except CaptionerError:
        if not before.exists():
            raise
        saved = _read(before)
        note(f"{last} is damaged or gone: going on from the one before it, {before.name}")
    os.replace(before, last)
    return saved


def _read(file: Path) -> SavedState:
    tensors, metadata = read_tensors(file)
    try:
        position = _read_position(metadata["position"])
        vocabularies = json.loads(metadata.get("vocabularies", "[]"))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CaptionerError(f"{file}: not a captioner training state") from error
    return SavedState(file, position, vocabularies, tensors)


def _read_position(text: str) -> Position:
    """The opposite of json.dumps(asdict(position)); earlier releases had fewer of its parts."""
    values = json.loads(text)
    for name, kind in (("start", Validation), ("gain", Interval)):
        if values.get(name) is not None:
            values[name] = kind(**values[name])
    return Position(**values)


def restore_model(state: SavedState, model: CaptioningModel) -> None:
    """Give a freshly built model the weights of a saved state, before anything depends on them.

    Raises CaptionerError where the state was saved with another model or vocabulary.
    """
    if state.vocabularies != words_of(model):
        raise CaptionerError(
            f"{state.file}: saved with other words or answers; the training texts have changed "
            "since: put them back, or start anew in another folder"
        )
    fill(model, _part(state.tensors, "model."), state.file)


def load_state(
    saved: SavedState, model: CaptioningModel, average: CaptioningModel, optimizer: Optimizer
) -> Position:
    """Restore everything that `save_state` wrote.

    Raises CaptionerError where it is of another model.
    """
    fill(model, _part(saved.tensors, "model."), saved.file)
    if average is not model:
        averaged = _part(saved.tensors, "model.") | _part(saved.tensors, "average.")
        fill(average, averaged, saved.file)
    indices = {name: index for index, name in enumerate(_parameter_names(model, optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(saved.tensors, "optimizer.").items():
        parameter, _, key = name.rpartition(".")
        # Earlier releases counted the parameters instead of naming them.
        index = int(parameter) if parameter.isdecimal() else indices[parameter]
        state.setdefault(index, {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(saved.tensors["random.cpu"])
    device = model.encoder.positions.device
    if device.type == "cuda" and "random.cuda" in saved.tensors:
        torch.cuda.set_rng_state(saved.tensors["random.cuda"], device)
    return saved.position


def _parameter_names(model: CaptioningModel, optimizer: Optimizer) -> list[str]:
    """The names of the optimizer's parameters in its own order, which settings can change."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[p] for group in optimizer.param_groups for p in group["params"]]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def words_of(model: CaptioningModel) -> list[list[str]]:
    """Everything that numbers in the weights stand for: words of both tasks, and answers."""
    vocabularies = (model.vocabulary, model.question_vocabulary)
    words = [list(vocabulary.words) if vocabulary else [] for vocabulary in vocabularies]
    return [*words, list(model.answer_texts)]
