"""Backbones: torchvision's networks, and EfficientNet-Lite without torchvision."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model

from captioner.errors import CaptionerError
from captioner.model import backbones

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "camera.jpg"


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "densenet121", "efficientnet_b0"])
def test_backbone_equals_the_one_of_torchvision(name: str) -> None:
    torch.manual_seed(3)
    backbone = backbones.build_backbone(name).eval()
    torch.manual_seed(3)
    expected = get_model(name, weights=None).eval()
    assert str(backbone) == str(expected)
    pixels = torch.randn(2, 3, 67, 67)
    with torch.no_grad():
        assert torch.equal(backbone(pixels), expected(pixels))


def test_captioning_with_the_bundled_model_does_not_import_torchvision() -> None:
    script = (
        "import sys\n"
        "from captioner import Captioner\n"
        "Captioner.load(device='cpu').caption(sys.argv[1])\n"
        "slow = {'torchvision', 'torch._dynamo', 'matplotlib', 'nltk', 'pycocotools', 'rich'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(SAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


# Functions of torchvision that are not classification networks, or not supported.
@pytest.mark.parametrize("name", ["conv3x3", "_resnet", "fasterrcnn_resnet50_fpn", "googlenet", ""])
def test_unsupported_backbones_raise(name: str) -> None:
    with pytest.raises(
        CaptionerError,
        match=f"encoder '{name}' is not .* choose one of alexnet.* efficientnet_lite0",
    ):
        backbones.build_backbone(name)
