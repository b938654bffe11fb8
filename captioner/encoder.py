"""A picture to a grid of features, by any classification backbone."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from captioner.backbones import build_backbone
from captioner.errors import CaptionerError

# Larger maps between layers leave a processor's cache, and the allocator returns each to the
# system and fetches it anew, zeroed: twice the time a picture.
_PIXELS_AT_ONCE = 4 * 225**2


class Encoder(nn.Module):
    """A backbone cut before its pooling, then an adapter to D features a location.

    The backbone's stages are frozen until `fine_tune` is called: no gradient, and always in
    evaluation mode, so that neither weights nor batch-norm statistics move. `trunk` runs the
    frozen stages, and its result can be cached; `head` runs the rest. The adapter is Linear,
    LayerNorm, ReLU and a learned vector a location, without which attention could not tell left
    from right.

    backbone: a name that `build_backbone` knows; last_stage: where to cut it, such as "features.13"
    (empty: before the pooling); image_size: side of the square input in pixels. fine_stage: an
    earlier stage whose finer grid the features have: the last stage's, projected to D and enlarged
    to it (bilinear), plus a projection of this stage's (the lateral connection of Lin et al. 2017,
    figure 3). It is a Linear over the channels of both side by side, at a fraction of the cost.
    Raises CaptionerError for a backbone or stage that does not exist or is no grid of features,
    and for a fine_stage whose grid is not finer.
    """

    def __init__(
        self,
        *,
        backbone: str,
        last_stage: str,
        image_size: int,
        feature_size: int,
        feature_dropout: float,
        fine_stage: str = "",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        named = _stages(backbone, last_stage)
        self.stage_names = [name for name, _ in named]
        self.stages = nn.Sequential(*(stage for _, stage in named))
        self.stages.to(memory_format=torch.channels_last)
        self.frozen_stages = len(named)
        self.update_batch_norm = False
        self.frozen = False
        self.folded = False
        self.shapes = _shapes(self.stages, backbone, image_size)
        channels, rows, columns = self.shapes[-1]
        self.image_size = image_size
        self.fine_stage = fine_stage
        self.lateral: nn.Linear | None = None
        if fine_stage:
            coarse = rows * columns
            rows, columns, fine_channels = self._fine_shape()
            if rows * columns <= coarse:
                raise CaptionerError(
                    f"fine_stage {fine_stage!r} has a grid of {rows} x {columns}, which is not "
                    "finer than the last stage's; choose an earlier stage or leave it out"
                )
            self.lateral = nn.Linear(fine_channels, feature_size, bias=False)
        self.grid = (rows, columns)
        self.adapter = nn.Sequential(
            nn.Linear(channels, feature_size), nn.LayerNorm(feature_size), nn.ReLU()
        )
        self.positions = nn.Parameter(torch.randn(rows * columns, feature_size) * 0.02)
        self.dropout = nn.Dropout(feature_dropout)
        self.stages.requires_grad_(False)

    def fine_tune(self, first_stage: str, *, update_batch_norm: bool) -> None:
        """Train the weights from this stage on; update_batch_norm: and their running statistics.

        Raises CaptionerError for a stage that the backbone does not have.
        """
        self.frozen_stages = _index(self.stage_names, first_stage, self.backbone)
        self.update_batch_norm = update_batch_norm
        for index, stage in enumerate(self.stages):
            stage.requires_grad_(index >= self.frozen_stages)

    def freeze(self) -> None:
        """Train nothing, the adapter neither: `trunk` then ends after it, so a cache is smaller."""
        self.frozen = True
        self.frozen_stages = len(self.stages)
        self.requires_grad_(False)

    def halve_frozen(self) -> None:
        """Round what is frozen to float16, as a checkpoint in half precision stores it.

        What is cached is then what that checkpoint's encoder sees, and a run that goes on from it
        can use the same cache.
        """
        frozen = self if self.frozen else self.stages[: self.frozen_stages]
        with torch.no_grad():
            for tensor in frozen.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(tensor.half())

    def train(self, mode: bool = True) -> "Encoder":
        """Training mode, except for frozen stages and for batch norm with fixed statistics."""
        super().train(mode)
        for index, stage in enumerate(self.stages):
            if index < self.frozen_stages:
                stage.eval()
            elif not self.update_batch_norm:
                for module in stage.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self

    def trunk(self, pictures: Tensor) -> Tensor:
        """The frozen part: pictures (B, 3, S, S) to maps (B, rows, columns, channels).

        Where frozen stages follow the fine one, both its maps and theirs are needed, which have
        different grids: a picture's are then one row of numbers (B, M).
        """
        with torch.no_grad():
            few = len(pictures)
            if pictures.device.type == "cpu":
                few = max(1, _PIXELS_AT_ONCE // self.image_size**2)
            parts = pictures.contiguous(memory_format=torch.channels_last).split(few)
            return torch.cat([self._run_frozen(part) for part in parts])

    def _run_frozen(self, pictures: Tensor) -> Tensor:
        maps, fine = self._run(pictures, None, 0, self.frozen_stages)
        if self.frozen:
            return self._adapt(maps, fine)
        maps = maps.permute(0, 2, 3, 1)
        if fine is None or not self._packs():
            return maps
        return torch.cat([fine.permute(0, 2, 3, 1).flatten(1), maps.flatten(1)], dim=1)

    def head(self, maps: Tensor) -> Tensor:
        """The rest: maps of `trunk` to features (B, N, D)."""
        if not self.frozen:
            maps, fine = self._unpack(maps)
            maps, fine = self._run(maps, fine, self.frozen_stages, len(self.stages))
            maps = self._adapt(maps, fine)
        return self.dropout(maps.flatten(1, 2) + self.positions)

    def _run(
        self, maps: Tensor, fine: Tensor | None, first: int, last: int
    ) -> tuple[Tensor, Tensor | None]:
        """Stages from first to before last; and the fine stage's maps, if it is among them."""
        for index in range(first, last):
            maps = self.stages[index](maps)
            if self.stage_names[index] == self.fine_stage:
                fine = maps
        return maps, fine

    def _packs(self) -> bool:
        return self.fine_stage in self.stage_names[: max(0, self.frozen_stages - 1)]

    def _unpack(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """What `trunk` gave, as the stages gave it: the last frozen one's and the fine one's."""
        if not self._packs():
            maps = maps.permute(0, 3, 1, 2)
            last = self.stage_names[: self.frozen_stages][-1:]
            return maps, maps if last == [self.fine_stage] else None
        shapes = [
            self.shapes[index]
            for index in (self.stage_names.index(self.fine_stage), self.frozen_stages - 1)
        ]
        parts = maps.split([math.prod(shape) for shape in shapes], dim=1)
        fine, maps = (
            part.unflatten(1, (rows, columns, channels)).permute(0, 3, 1, 2)
            for part, (channels, rows, columns) in zip(parts, shapes, strict=True)
        )
        return maps, fine

    def _adapt(self, maps: Tensor, fine: Tensor | None) -> Tensor:
        """The last stage's maps and the fine one's to (B, rows, columns, D)."""
        maps = maps.permute(0, 2, 3, 1)
        if self.lateral is None or fine is None:
            return self.adapter(maps)
        projected = self.adapter[0](maps).permute(0, 3, 1, 2)
        enlarged = nn.functional.interpolate(projected, self.grid, mode="bilinear")
        fine = fine if self._rows_first() else fine.permute(0, 2, 3, 1)
        return self.adapter[1:](enlarged.permute(0, 2, 3, 1) + self.lateral(fine))

    def _fine_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the fine stage's maps."""
        index = _index(self.stage_names, self.fine_stage, self.backbone)
        first, second, third = self.shapes[index]
        return (first, second, third) if self._rows_first() else (second, third, first)

    def _rows_first(self) -> bool:
        """Whether the fine stage gives (B, rows, columns, channels), as Swin's until they end."""
        return "permute" in self.stage_names[self.stage_names.index(self.fine_stage) + 1 :]

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), ImageNet-normalised, to features (B, N, D), row by row."""
        return self.head(self.trunk(pictures))

    def unmirror(self, features: Tensor) -> Tensor:
        """Features (B, N, D) of mirror images with each at its place in the picture itself.

        Attention reads locations in any order, so what a decoder makes of them stays the same, but
        where it looked is then said of the picture and not of its mirror image.
        """
        return features.unflatten(1, self.grid).flip(2).flatten(1, 2)

    def fold_batch_norms(self) -> None:
        """Fold each batch norm into the convolution before it: the same features, sooner.

        Up to rounding, and for inference alone: what is left cannot be trained, and its weights go
        by other names. Norms that follow no convolution of the same stage stay.
        """
        self.folded = True
        for stage in self.eval().stages:  # what a stage gives may be cached or read: not across two
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


def _shapes(stages: nn.Sequential, backbone: str, image_size: int) -> list[tuple[int, int, int]]:
    """The shape of what each stage makes of a picture, found by running them on none, which takes
    no time; of the last one channels, rows and columns."""
    stages.eval()
    shapes = []
    try:
        with torch.no_grad():
            maps = torch.zeros(0, 3, image_size, image_size)
            for stage in stages:
                maps = stage(maps)
                _, first, second, third = maps.shape
                shapes.append((first, second, third))
    except Exception as error:
        raise CaptionerError(
            f"{backbone} cannot be run stage by stage on {image_size} x {image_size} pixels to a "
            "grid of features; choose a larger image_size or another backbone, such as "
            "mobilenet_v2, resnet50 or convnext_tiny"
        ) from error
    return shapes
