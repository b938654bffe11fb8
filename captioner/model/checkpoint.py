"""Checkpoints: one .safetensors file with weights and everything needed to use them; no pickle."""

import dataclasses
import json
import os
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from captioner.config.settings import DecodingConfig, ModelConfig, from_dict, without_retired
from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD
from captioner.data.vocabulary import SPECIAL_TOKENS, VOCABULARIES, Vocabulary
from captioner.errors import CaptionerError
from captioner.files import atomic_write, exclusive_lock
from captioner.model.captioning_model import CaptioningModel
from captioner.version import __version__

FORMAT = "captioner"
FORMAT_VERSION = 1
CHECKSUM = "checksum"


@dataclass
class Checkpoint:
    """A model and what is known of it: how it was trained, how to decode, how it scored.

    training: the settings it was trained with, as they were recorded, of whatever release: they
    are read by people and decide nothing. scores: what was measured, each {"set", "values"} and,
    where there is one, "signature". data: names of the files it was trained on, numbers of pictures
    and captions.
    """

    model: CaptioningModel
    training: dict[str, Any]
    decoding: DecodingConfig
    scores: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once, under the first of its names."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def save(checkpoint: Checkpoint, file: Path, *, half: bool = False) -> None:
    """Write atomically; half stores float16.

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
        tensors[name] = tensor.half() if half and tensor.dtype == torch.float32 else tensor
    metadata = {
        "format_version": FORMAT_VERSION,
        "model": dataclasses.asdict(checkpoint.model.config),
        "vocabulary": _own_words(checkpoint.model.vocabulary),
        "question_vocabulary": _own_words(checkpoint.model.question_vocabulary),
        "answers": list(checkpoint.model.answer_texts),
        "preprocessing": _preprocessing(checkpoint.model.config),
        "training": checkpoint.training,
        "decoding": dataclasses.asdict(checkpoint.decoding),
        "scores": checkpoint.scores,
        "data": checkpoint.data,
        "versions": _versions(),
    }
    write_tensors(tensors, {FORMAT: json.dumps(metadata)}, file)


def add_score(file: Path, score: dict[str, Any]) -> None:
    """Write a score into a checkpoint's description of itself, in place of one of the same set."""
    with exclusive_lock(file.with_name(f".{file.name}.lock"), wait=True):
        tensors, metadata = read_tensors(file)
        about = json.loads(metadata[FORMAT])
        others = [kept for kept in about["scores"] if kept["set"] != score["set"]]
        about["scores"] = [*others, score]
        write_tensors(tensors, {FORMAT: json.dumps(about)}, file)


def load(file: Path) -> Checkpoint:
    """Read and check a checkpoint; the model comes in evaluation mode, float32, on the CPU.

    Raises CaptionerError for a file that is absent, corrupt, of a newer format, or whose weights
    do not fit its own settings.
    """
    tensors, metadata = read_tensors(file)
    if FORMAT not in metadata:
        raise CaptionerError(f"{file}: holds tensors but is not a captioner checkpoint")
    try:
        return _interpret(json.loads(metadata[FORMAT]), tensors, file)
    except CaptionerError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CaptionerError(
            f"{file}: the checkpoint's description of itself is damaged ({error!r}); "
            "copy or train it again"
        ) from error


def _interpret(about: dict[str, Any], tensors: dict[str, Tensor], file: Path) -> Checkpoint:
    version = about["format_version"]
    if version != FORMAT_VERSION:
        raise CaptionerError(
            f"{file}: checkpoint format {version}, this captioner reads format {FORMAT_VERSION}; "
            "install the captioner release that wrote it, or a newer one"
        )
    source = f"{file} model"
    config = from_dict(ModelConfig, without_retired(about["model"], source), source)
    if about["preprocessing"] != _preprocessing(config):
        raise CaptionerError(
            f"{file}: pictures were prepared as {about['preprocessing']}, "
            f"this captioner prepares them as {_preprocessing(config)}"
        )
    words, questions = about["vocabulary"], about.get("question_vocabulary")
    with _WithoutRandomWeights():
        model = CaptioningModel(
            config,
            None if words is None else VOCABULARIES[config.tokens](words),
            None if questions is None else Vocabulary(questions),
            tuple(about.get("answers", ())),
        )
    fill(model, tensors, file)
    return Checkpoint(
        model=model.eval(),
        training=dict(about["training"]),
        decoding=from_dict(
            DecodingConfig, without_retired(about["decoding"], f"{file} decoding"), file.name
        ),
        scores=about["scores"],
        data=about["data"],
    )


class _WithoutRandomWeights(TorchFunctionMode):
    """Modules are made without drawing their first weights, which a checkpoint replaces all.

    Half of the time that loading one takes, most of it for orthogonal matrices.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        if function is torch.linalg.qr:
            return args[0], args[0].new_zeros(args[0].shape[1], args[0].shape[1])
        return function(*args, **kwargs)


def _own_words(vocabulary: Vocabulary | None) -> list[str] | None:
    return None if vocabulary is None else list(vocabulary.words[len(SPECIAL_TOKENS) :])


def named(setting: str) -> Path:
    """The checkpoint that a setting names: a file, or "shipped", the bundled one."""
    return default_checkpoint() if setting == "shipped" else Path(setting)


def default_checkpoint() -> Path:
    """The bundled checkpoint: in an installed package, or beside the package in a clone."""
    here = Path(__file__).parents[1]
    for folder in (here, here.parent):
        file = folder / "checkpoints" / "default.safetensors"
        if file.is_file():
            return file
    raise CaptionerError(
        "no checkpoint is bundled with this installation; give one with --checkpoint FILE"
    )


def fill(model: nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    """Copy tensors into a model of exactly these names and shapes, or raise CaptionerError."""
    expected = named_tensors(model)
    wrong = sorted(set(expected) ^ set(tensors)) or [
        name for name, tensor in expected.items() if tensor.shape != tensors[name].shape
    ]
    if wrong:
        raise CaptionerError(
            f"{file}: weights do not fit its settings: {len(wrong)} tensors, first {wrong[0]} "
            f"expected {_shape(expected, wrong[0])}, given {_shape(tensors, wrong[0])}"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])


def _shape(tensors: dict[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], file: Path) -> None:
    """A .safetensors file, whole or not at all; CaptionerError when it cannot be written.

    Its metadata gets a checksum of everything in it, which `read_tensors` verifies.
    """
    metadata = metadata | {CHECKSUM: _checksum(tensors, metadata)}

    def write(partial: Path) -> None:
        partial.touch()
        mode = partial.stat().st_mode  # safetensors would leave a file that only its owner reads
        # It writes under a random name first; in a folder of its own, nothing of a killed
        # process stays for good.
        folder = partial.with_name(f"{partial.name}.folder")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            save_file(tensors, folder / file.name, metadata=metadata)
            os.replace(folder / file.name, partial)
        except SafetensorError as error:  # its name for any failure to write, a full disk too
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        partial.chmod(mode)

    atomic_write(file, write)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a .safetensors file.

    Raises CaptionerError where it cannot be read, or holds a checksum that does not fit the rest.
    """
    if not file.is_file():
        raise CaptionerError(f"{file}: no such checkpoint file")
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CaptionerError(
            f"{file}: not a readable .safetensors checkpoint ({error}); "
            "it may be truncated: copy or train it again"
        ) from error
    written = metadata.pop(CHECKSUM, None)
    if written not in (None, _checksum(tensors, metadata)):
        raise CaptionerError(
            f"{file}: damaged since it was written (its checksum is another); "
            "copy or train it again"
        )
    return tensors, metadata


def _checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """CRC-32 of the metadata and of the tensors' names, types, shapes and values."""
    names = sorted(tensors)
    about = [(name, str(tensors[name].dtype), list(tensors[name].shape)) for name in names]
    checksum = zlib.crc32(json.dumps([sorted(metadata.items()), about]).encode())
    for name in names:
        values = tensors[name].reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(values.numpy().data, checksum)
    return f"{checksum:08x}"


def _preprocessing(config: ModelConfig) -> dict[str, Any]:
    return {
        "size": config.image_size,
        "resize": "squash",
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
    }


def _versions() -> dict[str, str]:
    import torchvision

    return {
        "captioner": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
