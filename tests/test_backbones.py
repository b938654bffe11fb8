"""Backbones: torchvision's own networks, without the rest of torchvision where that is possible."""

import subprocess
import sys

import pytest
import torch
from torchvision.models import get_model

from captioner import backbones
from captioner.errors import CaptionerError


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "densenet121", "efficientnet_b0"])
def test_it_is_the_network_that_torchvision_builds(name: str) -> None:
    torch.manual_seed(3)
    ours = backbones.build_backbone(name).eval()
    torch.manual_seed(3)
    theirs = get_model(name, weights=None).eval()
    assert str(ours) == str(theirs)
    pixels = torch.randn(2, 3, 67, 67)
    with torch.no_grad():
        assert torch.equal(ours(pixels), theirs(pixels))


def test_a_captioner_without_torchvision_and_all_of_it_for_others(tiny_checkpoint) -> None:
    script = (
        "import sys\n"
        "from captioner import Captioner\n"
        "Captioner.load(sys.argv[1], 'cpu')\n"
        "slow = {'torchvision', 'torch._dynamo', 'matplotlib', 'nltk', 'pycocotools', 'rich'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "import torch, torchvision\n"
        "boxes = torch.tensor([[0., 0., 4., 4.], [0., 0., 4., 4.]])\n"
        "assert torchvision.ops.nms(boxes, torch.tensor([0.2, 0.9]), 0.5).tolist() == [1]\n"
        "assert torchvision.models.get_model('mobilenet_v2', weights=None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_checkpoint)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("failure", [ImportError, AttributeError, ValueError])
def test_all_of_torchvision_where_its_files_lie_otherwise(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def fail(name: str) -> object:
        raise failure

    monkeypatch.setattr(backbones, "_import_alone", fail)
    network = backbones.build_backbone("mobilenet_v2")
    assert type(network).__module__ == "torchvision.models.mobilenetv2"


# Functions of torchvision's files, but no classification networks.
@pytest.mark.parametrize("name", ["conv3x3", "_resnet", "fasterrcnn_resnet50_fpn", "googlenet", ""])
def test_what_is_no_encoder_is_refused(name: str) -> None:
    with pytest.raises(
        CaptionerError,
        match=f"encoder '{name}' is not .* choose one of alexnet.* efficientnet_lite0",
    ):
        backbones.build_backbone(name)
