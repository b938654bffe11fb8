"""A small dataset that the training tests share."""

import json
from pathlib import Path

import pytest
import torch
from helpers import COLOURS
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torchvision.models import get_model

from captioner.data.images import open_picture, to_tensor


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of a box or a ball in four colours, each with two captions."""
    folder = tmp_path_factory.mktemp("set")
    lines = []
    for colour, rgb in COLOURS.items():
        for shape in ("box", "ball"):
            picture = Image.new("RGB", (64, 64), (90, 90, 90))
            draw = ImageDraw.Draw(picture)
            (draw.rectangle if shape == "box" else draw.ellipse)((12, 12, 50, 50), fill=rgb)
            name = f"{colour} {shape}.png"
            picture.save(folder / name)
            lines += [
                {"image": name, "caption": f"A {colour} {shape}."},
                {"image": name, "caption": f"There is a {shape} that is {colour}."},
            ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "captions.jsonl").write_text(text)
    save_file(random_backbone(folder), folder / "encoder.safetensors")
    return folder


def random_backbone(folder: Path) -> dict[str, torch.Tensor]:
    """Random weights with batch norm statistics of the pictures, so that features differ."""
    torch.manual_seed(0)
    backbone = get_model("mobilenet_v2", weights=None).features
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        backbone(torch.stack([to_tensor(open_picture(f), 64) for f in folder.glob("*.png")]))
    return {f"features.{name}": value for name, value in backbone.state_dict().items()}
