"""The networks that an encoder can be made of: torchvision's classifiers and EfficientNet-Lite."""

from torch import nn

from captioner.errors import CaptionerError
from captioner.model.efficientnet_lite import SCALES, EfficientNetLite

# These normalise their pictures once more inside forward() and train with classifiers in between.
UNFIT = ("googlenet", "inception_v3")


def build_backbone(name: str) -> nn.Module:
    """A torchvision classification network, or EfficientNet-Lite, with random weights.

    Raises CaptionerError for a name that is neither's or that cannot be an encoder.
    """
    if name in SCALES:
        width, depth = SCALES[name]
        return EfficientNetLite(width=width, depth=depth)
    from torchvision import models  # as slow to import as torch: only when it is needed

    fit = [known for known in models.list_models(module=models) if known not in UNFIT]
    if name not in fit:
        raise CaptionerError(
            f"encoder {name!r} is not a classification backbone that fits; "
            f"choose one of {', '.join([*fit, *SCALES])}"
        )
    return models.get_model(name, weights=None)
