"""Weights for a fresh encoder: downloaded, from a file, or none."""

import hashlib
import re
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from captioner.errors import CaptionerError
from captioner.model.description import read_description
from captioner.model.efficientnet_lite import SCALES, normalise_as_imagenet, rename_published
from captioner.model.encoder import Encoder

# torchvision's files of DenseNet weights name a layer norm.1 that the module names norm1.
_DENSENET_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])")


def load_weights(encoder: Encoder, source: str) -> None:
    """Fill the backbone's stages: "torchvision", "none", or a file.

    A file is a state dict of the same torchvision model (.pth or .safetensors; float16 is
    widened; a classifier is ignored), of EfficientNet-Lite as published for PyTorch, or a captioner
    checkpoint with the same backbone. Raises CaptionerError where the weights cannot be had or are
    not those of this network: some missing, of another shape or unknown.
    """
    if source == "none":
        return
    state = _downloaded(encoder.backbone) if source == "torchvision" else _read(Path(source))
    published = encoder.backbone in SCALES and "_conv_stem.weight" in state
    renamed = rename_published(state, encoder.stages) if published else _renamed(state, encoder)
    expected = encoder.stages.state_dict()
    unfit = [
        name
        for name, value in expected.items()
        if not name.endswith("num_batches_tracked")
        and (name not in renamed or renamed[name].shape != value.shape)
    ]
    unfit += [name for name in renamed if name not in expected]
    if unfit:
        own = _encoder_of(Path(source))
        raise CaptionerError(
            f"{source}: weights do not fit {encoder.backbone}: {len(unfit)} tensors missing, of "
            f"another shape or not among its {len(expected)}, first {unfit[0]}; give the weights "
            f"of that same network{f', or set encoder to {own}' if own else ''}"
        )
    fitting = {name: value.float() for name, value in renamed.items()}
    encoder.stages.load_state_dict(fitting, strict=False)
    if published:
        normalise_as_imagenet(encoder.stages)


def _renamed(state: dict[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """The weights of the encoder's stages, by their names in it, from torchvision's names or from
    those of a captioner checkpoint."""
    state = {_DENSENET_LAYER.sub(r"\1\2", name): value for name, value in state.items()}
    ours = any(name.startswith("encoder.stages.") for name in state)
    return {
        f"{index}.{name.removeprefix(prefix)}": value
        for index, stage in enumerate(encoder.stage_names)
        for prefix in [f"encoder.stages.{index}." if ours else f"{stage}."]
        for name, value in state.items()
        if name.startswith(prefix)
    }


def _encoder_of(file: Path) -> str:
    """The encoder's name in a captioner checkpoint; empty for any other file."""
    try:
        return str(read_description(file).about["model"]["encoder"])
    except (CaptionerError, LookupError, TypeError):
        return ""


def _downloaded(backbone: str) -> dict[str, Tensor]:
    if backbone in SCALES:
        raise CaptionerError(
            f"torchvision has no weights of {backbone}; give a file of them with --encoder-weights "
            "FILE (docs/training.md says where those of efficientnet_lite0, 1 and 2 are), or "
            "--encoder-weights none to start from random ones"
        )
    from torchvision.models import get_model_weights  # all of torchvision: only when needed

    url = get_model_weights(backbone).DEFAULT.url
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    checksum = file.stem.rpartition("-")[2]  # the first digits of its SHA-256
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), checksum)
        with file.open("rb") as opened:
            intact = hashlib.file_digest(opened, "sha256").hexdigest().startswith(checksum)
    # torch.hub raises RuntimeError for a file with another checksum than its name says.
    except (OSError, HTTPException, RuntimeError) as error:
        raise CaptionerError(
            f"the ImageNet weights of {backbone} cannot be downloaded ({error}); give a file with "
            "--encoder-weights FILE, --encoder efficientnet_lite2 --encoder-weights shipped for "
            "the bundled encoder, or --encoder-weights none to start from random ones"
        ) from error
    if not intact:
        raise CaptionerError(
            f"{file}: damaged or not torchvision's (its SHA-256 does not begin with {checksum}); "
            "delete it, and it is downloaded again"
        )
    return _read(file)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise CaptionerError(f"{file}: cannot read encoder weights ({error})") from error
    except Exception as error:  # torch.load raises many kinds for a file that is no state dict
        raise CaptionerError(
            f"{file}: not a state dict that can be read safely; "
            "expected a .pth or .safetensors file of tensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CaptionerError(f"{file}: expected a state dict, tensors by name")
    return state
