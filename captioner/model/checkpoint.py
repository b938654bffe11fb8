"""Checkpoints: one .safetensors file with weights and everything needed to use them; no pickle."""

import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from captioner.config.settings import DecodingConfig, ModelConfig
from captioner.data.vocabulary import SPECIAL_TOKENS, Vocabulary
from captioner.errors import CaptionerError
from captioner.files import best_of_run, default_checkpoint, exclusive_lock
from captioner.model.captioning_model import CaptioningModel
from captioner.model.confidence import ConfidenceCurve
from captioner.model.contents import (
    FORMAT_VERSION,
    damage_reported,
    preprocessing,
    read_contents,
)
from captioner.model.description import FORMAT
from captioner.model.encoder import materialise
from captioner.model.tensor_file import read_tensors, write_tensors
from captioner.version import __version__


@dataclass
class Checkpoint:
    """A model and what is known of it: how it was trained, how to decode, how it scored.

    training: the settings it was trained with, as they were recorded, of whatever release: they
    are read by people and decide nothing. scores: what was measured, each {"set", "values"} and,
    where there is one, "signature". data: names of the files it was trained on, numbers of pictures
    and captions. confidence_curve: None where the confidence of captions was not calibrated.
    """

    model: CaptioningModel
    training: dict[str, Any]
    decoding: DecodingConfig
    scores: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    confidence_curve: ConfidenceCurve | None = None


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once, under the first of its names."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def save(checkpoint: Checkpoint, file: Path, *, half: bool = False) -> None:
    """Write atomically; half stores float16 where no value is too large for it.

    Raises CaptionerError when it cannot be written, and for a model whose batch norms are folded.
    """
    if checkpoint.model.encoder.folded:
        raise CaptionerError(
            f"{file}: this model was made ready to describe pictures, its batch norms folded into "
            "its convolutions; save one that checkpoint.load gives"
        )
    tensors = {}
    for name, tensor in named_tensors(checkpoint.model).items():
        tensor = tensor.detach().cpu().contiguous()
        if half and tensor.dtype == torch.float32 and _is_finite(tensor.half()):
            tensor = tensor.half()
        tensors[name] = tensor
    metadata = {
        "format_version": FORMAT_VERSION,
        "model": dataclasses.asdict(checkpoint.model.config),
        "vocabulary": _own_words(checkpoint.model.vocabulary),
        "question_vocabulary": _own_words(checkpoint.model.question_vocabulary),
        "answers": list(checkpoint.model.answer_texts),
        "preprocessing": preprocessing(checkpoint.model.config),
        "training": checkpoint.training,
        "decoding": dataclasses.asdict(checkpoint.decoding),
        "scores": checkpoint.scores,
        "data": checkpoint.data,
        "confidence": _as_dict(checkpoint.confidence_curve),
        "versions": _versions(),
    }
    write_tensors(tensors, {FORMAT: json.dumps(metadata)}, file)


def add_score(file: Path, score: dict[str, Any]) -> None:
    """Write a score into a checkpoint's description of itself, in place of one of the same set."""
    with _description_of(file) as about:
        others = [kept for kept in about["scores"] if kept["set"] != score["set"]]
        about["scores"] = [*others, score]


def set_confidence(file: Path, curve: ConfidenceCurve) -> None:
    """Write into a checkpoint how the confidence of its captions is computed."""
    with _description_of(file) as about:
        about["confidence"] = _as_dict(curve)


@contextmanager
def _description_of(file: Path) -> Iterator[dict[str, Any]]:
    """A checkpoint's description of itself, to be changed; written when the context ends."""
    file = best_of_run(file) if file.is_dir() else file
    with exclusive_lock(file.with_name(f".{file.name}.lock"), wait=True):
        tensors, metadata = read_tensors(file)
        about = json.loads(metadata[FORMAT])
        yield about
        write_tensors(tensors, {FORMAT: json.dumps(about)}, file)


def _as_dict(curve: ConfidenceCurve | None) -> dict[str, float] | None:
    return None if curve is None else dataclasses.asdict(curve)


def load(file: Path) -> Checkpoint:
    """Read and check a checkpoint; the model comes in evaluation mode, float32, on the CPU.

    Raises CaptionerError for a file that is absent, corrupt, of a newer format, or whose weights
    do not fit its own settings.
    """
    if file.is_dir():
        file = best_of_run(file)
    tensors, metadata = read_tensors(file)
    if FORMAT not in metadata:
        raise CaptionerError(f"{file}: holds tensors but is not a captioner checkpoint")
    with damage_reported(file):
        return _interpret(json.loads(metadata[FORMAT]), tensors, file)


def _interpret(about: dict[str, Any], tensors: dict[str, Tensor], file: Path) -> Checkpoint:
    contents = read_contents(about, file)
    questions = contents.question_vocabulary
    _check_bounds(contents.config, tensors, file, asked=questions is not None)
    with _WithoutValues():
        model = CaptioningModel(
            contents.config, contents.vocabulary, questions, contents.answer_texts
        )
    _check_fit(model, tensors, file)
    fill(materialise(model), tensors, file)
    return Checkpoint(
        model=model.eval(),
        training=dict(about["training"]),
        decoding=contents.decoding,
        scores=contents.scores,
        data=dict(about["data"]),
        confidence_curve=contents.confidence_curve,
    )


def _check_bounds(
    config: ModelConfig, tensors: dict[str, Tensor], file: Path, *, asked: bool
) -> None:
    """Before a model is built, see that its settings cannot name a far larger one than the file."""
    layers = config.layers + config.glimpses * asked
    if layers > len(tensors):
        raise CaptionerError(
            f"{file}: weights do not fit its settings: layers {config.layers} and glimpses "
            f"{config.glimpses} need more tensors than its {len(tensors)}"
        )
    positions = tensors.get("encoder.positions")
    cells = positions.shape[0] if positions is not None and positions.ndim else 0
    if config.image_size > 64 * (math.isqrt(cells) + 1):  # no backbone has a stride of 64
        raise CaptionerError(
            f"{file}: weights do not fit its settings: image_size {config.image_size} gives more "
            f"grid cells than its {cells}"
        )


class _WithoutValues(TorchFunctionMode):
    """Modules are made of tensors on the device "meta", which have a shape but take no memory.

    Their first values are not drawn, since a checkpoint replaces all. torch.device("meta") would
    have networks that compute with tensors while they are made, as RegNet, fail.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        factory = function in (torch.empty, torch.zeros, torch.randn)
        if factory and kwargs.get("device") is None:
            return torch.empty(*args, **(kwargs | {"device": "meta"}))
        return function(*args, **kwargs)


def _own_words(vocabulary: Vocabulary | None) -> list[str] | None:
    return None if vocabulary is None else list(vocabulary.words[len(SPECIAL_TOKENS) :])


def checkpoint_path(setting: str) -> Path:
    """The checkpoint that a setting names: a file, or "shipped", the bundled one."""
    return default_checkpoint() if setting == "shipped" else Path(setting)


def fill(model: nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    """Copy tensors into a model of exactly these names and shapes, or raise CaptionerError.

    It is raised too for values that are not finite.
    """
    _check_fit(model, tensors, file)
    damaged = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if damaged:
        raise CaptionerError(
            f"{file}: weights are damaged: {len(damaged)} tensors hold NaN or infinity, "
            f"first {damaged[0]}; copy or train it again"
        )
    with torch.no_grad():
        for name, tensor in named_tensors(model).items():
            tensor.copy_(tensors[name])


def _check_fit(model: nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    expected = named_tensors(model)
    wrong = sorted(set(expected) ^ set(tensors)) or [
        name for name, tensor in expected.items() if tensor.shape != tensors[name].shape
    ]
    if wrong:
        raise CaptionerError(
            f"{file}: weights do not fit its settings: {len(wrong)} tensors, first {wrong[0]} "
            f"expected {_shape(expected, wrong[0])}, given {_shape(tensors, wrong[0])}"
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(math.isfinite(extreme) for extreme in torch.aminmax(tensor.detach()))


def _shape(tensors: dict[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"


def _versions() -> dict[str, str]:
    import torchvision

    return {
        "captioner": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
