"""A picture to a grid of features, by any classification backbone."""

import hashlib
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from captioner.errors import CaptionerError
from captioner.model.backbones import build_backbone

Module = TypeVar("Module", bound=nn.Module)

# Larger maps between layers leave a processor's cache, and the allocator returns each to the
# system and fetches it anew, zeroed: twice the time a picture.
_PIXELS_AT_ONCE = 4 * 225**2


class Encoder(nn.Module):
    """A backbone cut before its pooling, then an adapter to D features per location.

    Its layers are the backbone's stages and the adapter (Linear, LayerNorm, ReLU). `trunk` runs the
    frozen ones, so its result can be cached; `head` runs the others and adds a learned vector per
    location, without which attention could not tell left from right. A frozen layer gets no
    gradient and stays in evaluation mode, so that neither its weights nor its batch-norm statistics
    change. At first the backbone is frozen; `fine_tune` and `freeze` decide otherwise.

    backbone: a name that `build_backbone` knows; last_stage: where to cut it, such as "features.13"
    (empty: before the pooling); image_size: side of the square input in pixels. Raises
    CaptionerError for a backbone or a stage that does not exist or gives no grid of features.
    """

    def __init__(
        self,
        *,
        backbone: str,
        last_stage: str,
        image_size: int,
        feature_size: int,
        feature_dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        named = _stages(backbone, last_stage)
        self.stage_names = [name for name, _ in named]
        self.stages = nn.Sequential(*(stage for _, stage in named))
        self.stages.to(memory_format=torch.channels_last)
        self.image_size = image_size
        materialise(self.stages)  # memory, which they do not have yet while a checkpoint loads
        channels, rows, columns = _output_shape(self.stages, backbone, image_size)
        self.grid = (rows, columns)
        self.adapter = nn.Sequential(
            nn.Linear(channels, feature_size), nn.LayerNorm(feature_size), nn.ReLU()
        )
        self.positions = nn.Parameter(torch.empty(rows * columns, feature_size))
        nn.init.normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(feature_dropout)
        self.frozen_count = len(named)  # of the stages and the adapter after them
        self.update_batch_norm = False
        self.folded = False
        self.stages.requires_grad_(False)

    def fine_tune(self, first_stage: str, *, update_batch_norm: bool) -> None:
        """Train the weights from this stage on; update_batch_norm: and their running statistics.

        Raises CaptionerError for a stage that the backbone does not have.
        """
        self.frozen_count = _index(self.stage_names, first_stage, self.backbone)
        self.update_batch_norm = update_batch_norm
        for index, stage in enumerate(self.stages):
            stage.requires_grad_(index >= self.frozen_count)

    def freeze(self) -> None:
        """Train nothing, not even the adapter, after which `trunk` then ends."""
        self.frozen_count = len(self.stages) + 1
        self.requires_grad_(False)

    @property
    def layers(self) -> list[nn.Module]:
        """The stages and the adapter, in order."""
        return [*self.stages, self.adapter]

    def frozen_fingerprint(self) -> str:
        """A text that differs where the maps of `trunk` may: of the frozen layers' weights."""
        frozen = self.layers[: self.frozen_count]
        digest = hashlib.sha256(f"{self.backbone} {len(frozen)}".encode())
        for layer in frozen:
            for tensor in layer.state_dict().values():
                # A weight of -0.0, which becomes 0.0 in an average of itself, is the same.
                digest.update((tensor.cpu() + 0).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def halve_frozen(self) -> None:
        """Round frozen layers to float16, as a checkpoint in half precision stores them.

        The cached features are then those of that checkpoint's encoder, and a run that is
        fine-tuned from it can use the same cache.
        """
        layers = nn.ModuleList(self.layers[: self.frozen_count])
        frozen = [*layers.state_dict().values()]
        frozen += [] if self.positions.requires_grad else [self.positions]
        with torch.no_grad():
            for tensor in frozen:
                if tensor.is_floating_point():
                    tensor.copy_(tensor.half())

    def train(self, mode: bool = True) -> "Encoder":
        """Training mode, except for frozen stages and for batch norm with fixed statistics."""
        super().train(mode)
        for index, stage in enumerate(self.stages):
            if index < self.frozen_count:
                stage.eval()
            elif not self.update_batch_norm:
                for module in stage.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self

    def trunk(self, pictures: Tensor) -> Tensor:
        """The frozen layers: pictures (B, 3, S, S) to maps (B, rows, columns, channels)."""
        with torch.no_grad():
            batch = len(pictures)
            if pictures.device.type == "cpu":
                batch = max(1, _PIXELS_AT_ONCE // self.image_size**2)
            parts = pictures.permute(0, 2, 3, 1).contiguous().split(batch)  # (batch, S, S, 3) each
            return torch.cat([self._run(part, 0, self.frozen_count) for part in parts])

    def head(self, maps: Tensor) -> Tensor:
        """The other layers: maps (B, rows, columns, channels) of `trunk` to features (B, N, D)."""
        maps = self._run(maps, self.frozen_count, len(self.stages) + 1)  # (B, rows, columns, D)
        return self.dropout(maps.flatten(1, 2) + self.positions)  # (B, N, D)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), ImageNet-normalised, to features (B, N, D), row by row."""
        return self.head(self.trunk(pictures))

    def _run(self, maps: Tensor, first: int, last: int) -> Tensor:
        """Layers from first to before last, on maps (B, rows, columns, channels)."""
        maps = maps.permute(0, 3, 1, 2)  # (B, channels, rows, columns)
        for stage in self.stages[first:last]:
            maps = stage(maps)
        maps = maps.permute(0, 2, 3, 1)  # (B, rows, columns, channels)
        return self.adapter(maps) if first <= len(self.stages) < last else maps

    def fold_batch_norms(self) -> None:
        """Fold each batch norm into the convolution before it: the same features, sooner.

        Equal up to rounding, and for inference only: what is left cannot be trained or saved, and
        its weights have other names. Norms that follow no convolution of the same stage stay.
        """
        self.folded = True
        for stage in self.eval().stages:
            for module in stage.modules():
                _fold_batch_norms(module)
        self.stages.requires_grad_(False).to(memory_format=torch.channels_last)


def _fold_batch_norms(module: nn.Module) -> None:
    """Where one follows the other: in a Sequential, or as conv1 and bn1 of a residual block."""
    for (name, layer), (next_name, norm) in pairwise(list(module.named_children())):
        follows = isinstance(module, nn.Sequential) or next_name == name.replace("conv", "bn")
        if not (follows and isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            continue
        mean, variance = norm.running_mean, norm.running_var
        if mean is not None and variance is not None:
            layer.weight, layer.bias = fuse_conv_bn_weights(
                layer.weight, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias
            )
            setattr(module, next_name, nn.Identity())


def materialise(module: Module) -> Module:
    """Give tensors on the device "meta" memory on the CPU, without any particular values."""

    def allocate(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")

    return module._apply(allocate)


def _stages(backbone: str, last_stage: str) -> list[tuple[str, nn.Module]]:
    """The backbone's stages in order, up to the pooling or to last_stage, by torchvision's name."""
    stages: list[tuple[str, nn.Module]] = []
    for name, child in build_backbone(backbone).named_children():
        if name in ("avgpool", "classifier", "fc", "head", "heads"):
            break
        if name in ("features", "layers") and isinstance(child, nn.Sequential):
            stages += [(f"{name}.{inner}", stage) for inner, stage in child.named_children()]
        else:
            stages.append((name, child))
    if backbone.startswith("densenet"):
        stages.append(("relu", nn.ReLU()))  # no module in torchvision, but part of its forward()
    if last_stage:
        cut = _index([name for name, _ in stages], last_stage, backbone) + 1
        # Swin's features are (B, rows, columns, channels) up to here.
        stages = stages[:cut] + [stage for stage in stages[cut:] if stage[0] == "permute"]
    return stages


def _index(names: list[str], stage: str, backbone: str) -> int:
    if stage not in names:
        raise CaptionerError(
            f"{backbone} has no stage {stage!r}; its stages are {', '.join(names)}"
        )
    return names.index(stage)


def _output_shape(stages: nn.Sequential, backbone: str, image_size: int) -> tuple[int, int, int]:
    """Channels, rows and columns of the last stage's maps, found by an empty batch of pictures."""
    stages.eval()
    try:
        with torch.no_grad():
            pictures = torch.zeros(0, 3, image_size, image_size, device="cpu")
            _, channels, rows, columns = stages(pictures).shape
    except Exception as error:
        raise CaptionerError(
            f"{backbone} cannot be run stage by stage on {image_size} x {image_size} pixels to a "
            "grid of features; choose a larger image_size or another backbone, such as "
            "mobilenet_v2, resnet50 or convnext_tiny"
        ) from error
    return channels, rows, columns
