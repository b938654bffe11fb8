"""The backbones of an encoder: torchvision's classification networks and EfficientNet-Lite."""

from torch import nn

from captioner.errors import CaptionerError
from captioner.model.efficientnet_lite import SCALES, EfficientNetLite

# These normalise pictures again inside forward() and have auxiliary classifiers in training.
UNSUPPORTED = ("googlenet", "inception_v3")


def build_backbone(name: str) -> nn.Module:
    """A torchvision classification network, or EfficientNet-Lite, with random weights.

    Raises CaptionerError for any other name and for networks that cannot be an encoder.
    """
    if name in SCALES:
        width, depth = SCALES[name]
        return EfficientNetLite(width=width, depth=depth)
    from torchvision import models  # imported only here, since it is as slow to import as torch

    supported = [known for known in models.list_models(module=models) if known not in UNSUPPORTED]
    if name not in supported:
        raise CaptionerError(
            f"encoder {name!r} is not a supported classification backbone; "
            f"choose one of {', '.join([*supported, *SCALES])}"
        )
    return models.get_model(name, weights=None)
