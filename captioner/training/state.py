"""What training needs to go on where it stopped, as one .safetensors file."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from captioner.errors import CaptionerError
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import fill, named_tensors, read_tensors, write_tensors


@dataclass
class Position:
    """Where a run is: steps taken, the epoch and the next batch in it, and the best so far."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float = -1.0
    epochs_since_best: int = 0


def save_state(
    file: Path,
    position: Position,
    model: CaptioningModel,
    average: CaptioningModel,
    optimizer: Optimizer,
) -> None:
    """Write weights, averaged weights, optimizer, random states and position; all or nothing."""
    tensors = {f"model.{name}": value for name, value in named_tensors(model).items()}
    if average is not model:
        averaged = named_tensors(average).items()
        tensors |= {f"average.{name}": value for name, value in averaged}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    device = model.encoder.positions.device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {
        "position": json.dumps(dataclasses.asdict(position)),
        "vocabularies": json.dumps(_words(model)),
    }
    write_tensors(tensors, metadata, file)


def restore_model(file: Path, model: CaptioningModel) -> None:
    """Give a freshly built model the weights of a saved state, before anything depends on them.

    Raises CaptionerError where the state is corrupt or was saved with another model or vocabulary.
    """
    tensors, metadata = read_tensors(file)
    if json.loads(metadata.get("vocabularies", "[]")) != _words(model):
        raise CaptionerError(
            f"{file}: saved with other words or answers; the training texts have changed since: "
            "put them back, or start anew in another folder"
        )
    fill(model, _part(tensors, "model."), file)


def load_state(
    file: Path, model: CaptioningModel, average: CaptioningModel, optimizer: Optimizer
) -> Position:
    """Put everything that `save_state` wrote back in its place.

    Raises CaptionerError where the file is corrupt or of another model.
    """
    tensors, metadata = read_tensors(file)
    if "position" not in metadata:
        raise CaptionerError(f"{file}: not a captioner training state")
    fill(model, _part(tensors, "model."), file)
    if average is not model:
        fill(average, _part(tensors, "average."), file)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(tensors["random.cpu"])
    device = model.encoder.positions.device
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    return Position(**json.loads(metadata["position"]))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _words(model: CaptioningModel) -> list[list[str]]:
    """Everything that numbers in the weights stand for: words of both tasks, and answers."""
    vocabularies = (model.vocabulary, model.question_vocabulary)
    words = [list(vocabulary.words) if vocabulary else [] for vocabulary in vocabularies]
    return [*words, list(model.answer_texts)]
