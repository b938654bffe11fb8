"""EfficientNet-Lite compared with its published architecture, written out with functions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD
from captioner.errors import CaptionerError
from captioner.model.efficientnet_lite import SCALES, EfficientNetLite
from captioner.model.encoder import Encoder
from captioner.model.pretrained import load_weights

# The blocks of EfficientNet-Lite0: channels, kernel, stride, expansion.
LITE0 = (
    [(16, 3, 1, 1)]
    + [(24, 3, 2, 6), (24, 3, 1, 6)]
    + [(40, 5, 2, 6), (40, 5, 1, 6)]
    + [(80, 3, 2, 6), (80, 3, 1, 6), (80, 3, 1, 6)]
    + [(112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6)]
    + [(192, 5, 2, 6), (192, 5, 1, 6), (192, 5, 1, 6), (192, 5, 1, 6)]
    + [(320, 3, 1, 6)]
)


def published_weights() -> dict[str, Tensor]:
    """Random weights with the names and the order of the published files."""
    torch.manual_seed(5)
    state: dict[str, Tensor] = {}

    def layer(convolution: str, norm: str, size: int, inputs: int, kernel: int) -> None:
        fan = inputs * kernel * kernel
        state[f"{convolution}.weight"] = torch.randn(size, inputs, kernel, kernel) / fan**0.5
        state[f"{norm}.weight"] = torch.rand(size) + 0.5
        state[f"{norm}.bias"] = torch.randn(size)
        state[f"{norm}.running_mean"] = torch.randn(size) * 0.1
        state[f"{norm}.running_var"] = torch.rand(size) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    layer("_conv_stem", "_bn0", 32, 3, 3)
    channels = 32
    for index, (size, kernel, _, expansion) in enumerate(LITE0):
        block, wide = f"_blocks.{index}.", channels * expansion
        if expansion > 1:
            layer(f"{block}_expand_conv", f"{block}_bn0", wide, channels, 1)
        layer(f"{block}_depthwise_conv", f"{block}_bn1", wide, 1, kernel)
        layer(f"{block}_project_conv", f"{block}_bn2", size, wide, 1)
        channels = size
    layer("_conv_head", "_bn1", 1280, channels, 1)
    state["_fc.weight"], state["_fc.bias"] = torch.randn(1000, 1280), torch.randn(1000)
    return state


def published_features(pixels: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The features of the published network for pixels 0..255, with TensorFlow's SAME padding.

    Only the padding of the picture itself has ImageNet's mean colour, as in captioner.
    """

    def convolve(maps: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        side, kernel = maps.shape[-1], weight.shape[-1]
        padding = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        before, after = padding // 2, padding - padding // 2
        maps = functional.pad(maps, (before, after, before, after))
        return functional.conv2d(maps, weight, stride=stride, groups=groups)

    def normalise(maps: Tensor, name: str) -> Tensor:
        values = [state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        scales = [state[f"{name}.{part}"] for part in ("weight", "bias")]
        return functional.batch_norm(maps, *values, *scales, eps=1e-3)

    side = pixels.shape[-1]
    colour = 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    padded = colour.expand(len(pixels), 3, side + 2, side + 2).clone()
    padded[:, :, 1:-1, 1:-1] = pixels
    stem = functional.conv2d((padded - 127) / 128, state["_conv_stem.weight"], stride=2)
    maps = functional.relu6(normalise(stem, "_bn0"))
    for index, (size, _, stride, expansion) in enumerate(LITE0):
        block, inputs = f"_blocks.{index}.", maps
        if expansion > 1:
            maps = convolve(maps, f"{block}_expand_conv")
            maps = functional.relu6(normalise(maps, f"{block}_bn0"))
        maps = convolve(maps, f"{block}_depthwise_conv", stride, groups=maps.shape[1])
        maps = functional.relu6(normalise(maps, f"{block}_bn1"))
        maps = normalise(convolve(maps, f"{block}_project_conv"), f"{block}_bn2")
        if stride == 1 and inputs.shape[1] == size:
            maps = maps + inputs
    return functional.relu6(normalise(convolve(maps, "_conv_head"), "_bn1"))


def make_encoder(backbone: str = "efficientnet_lite0", last_stage: str = "") -> Encoder:
    return Encoder(
        backbone=backbone,
        last_stage=last_stage,
        image_size=97,
        feature_size=6,
        feature_dropout=0.0,
    )


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return published_weights()


def test_published_weights_give_the_published_features(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "lite0.pth")
    encoder = make_encoder()
    load_weights(encoder, str(tmp_path / "lite0.pth"))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = torch.rand(2, 3, 97, 97) * 255
    with torch.no_grad():
        features = encoder.trunk((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
        encoder.fold_batch_norms()
        folded = encoder.trunk((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    expected = published_features(pixels, state)
    assert expected.std() > 0.1
    torch.testing.assert_close(features, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(folded, expected, atol=1e-3, rtol=1e-3)


def test_published_weights_in_an_encoder_with_fewer_stages(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "lite0.pth")
    whole, short = make_encoder(), make_encoder(last_stage="features.4")
    for encoder in (whole, short):
        load_weights(encoder, str(tmp_path / "lite0.pth"))
    pictures = torch.randn(1, 3, 97, 97)
    with torch.no_grad():
        maps = short.trunk(pictures)
        assert maps.shape == (1, 7, 7, 80)
        torch.testing.assert_close(maps.permute(0, 3, 1, 2), whole.stages[:5](pictures))


# Numbers of weights with the classifier of 1,000; published as 4.7, 5.4, 6.1, 8.2 and 13.0 million.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("efficientnet_lite0", 4_652_008),
        ("efficientnet_lite1", 5_416_680),
        ("efficientnet_lite2", 6_092_072),
        ("efficientnet_lite3", 8_197_096),
        ("efficientnet_lite4", 13_006_568),
    ],
)
def test_sizes(name: str, count: int) -> None:
    width, depth = SCALES[name]
    network = EfficientNetLite(width=width, depth=depth)
    assert sum(weight.numel() for weight in network.parameters()) + 1281 * 1000 == count


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {name: value for name, value in state.items() if "_blocks.9." not in name},
        lambda state: {name: value for name, value in state.items() if "_bn0.running" not in name},
        lambda state: state | {"_conv_stem.weight": torch.randn(32, 4, 3, 3)},
        # EfficientNet-B0 has the same names and shapes, but also squeeze and excitation.
        lambda state: state | {"_blocks.3._se_reduce.weight": torch.randn(6, 144, 1, 1)},
    ],
    ids=["missing block", "missing norms", "another stem", "squeeze and excitation"],
)
def test_other_weights_raise(state: dict[str, Tensor], tmp_path: Path, change: Change) -> None:
    file = tmp_path / "other.safetensors"
    save_file(change(state), file)
    with pytest.raises(CaptionerError, match="other.safetensors: weights do not fit efficientnet_"):
        load_weights(make_encoder(), str(file))


def test_weights_of_a_larger_network_raise_and_those_of_the_same_load(tmp_path: Path) -> None:
    """With the same width, the larger network has all names of the smaller one."""
    width, depth = SCALES["efficientnet_lite1"]
    save_file(EfficientNetLite(width=width, depth=depth).state_dict(), tmp_path / "1.safetensors")
    with pytest.raises(CaptionerError, match="not among its"):
        load_weights(make_encoder(), str(tmp_path / "1.safetensors"))
    width, depth = SCALES["efficientnet_lite0"]
    same = EfficientNetLite(width=width, depth=depth)
    save_file(same.state_dict(), tmp_path / "0.safetensors")
    encoder = make_encoder()
    load_weights(encoder, str(tmp_path / "0.safetensors"))
    pictures = torch.randn(1, 3, 97, 97)
    with torch.no_grad():
        maps = encoder.trunk(pictures).permute(0, 3, 1, 2)
        torch.testing.assert_close(maps, same.eval()(pictures))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite4"])
def test_downloading_weights_raises(name: str) -> None:
    with pytest.raises(CaptionerError, match=f"torchvision has no weights of {name}; give a file"):
        load_weights(make_encoder(name), "torchvision")
