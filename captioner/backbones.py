"""torchvision's classification networks, one at a time, and EfficientNet-Lite.

`import torchvision` takes about as long as `import torch`, for operators of object detection and a
compiler that no classification network needs. The file that defines one network takes a fiftieth.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from captioner.efficientnet_lite import SCALES, EfficientNetLite
from captioner.errors import CaptionerError

# These normalise their pictures once more inside forward() and train with classifiers in between.
UNFIT = ("googlenet", "inception_v3")

# The name under which single files of torchvision are imported. It is not torchvision's own, so
# that whoever imports that, before or after or in another thread, gets all of it.
_ALONE = "captioner._torchvision"
_EMPTY_PACKAGES = ("", ".models", ".ops")


def build_backbone(name: str) -> nn.Module:
    """A torchvision classification network, or EfficientNet-Lite, with random weights.

    Raises CaptionerError for a name that is neither's or that cannot be an encoder.
    """
    if name in SCALES:
        width, depth = SCALES[name]
        return EfficientNetLite(width=width, depth=depth)
    if name not in UNFIT:
        try:
            return _import_alone(name).get_model(name, weights=None)
        except (ImportError, AttributeError, ValueError):
            pass  # another layout of torchvision's files, or no such network
    from torchvision import models

    fit = [known for known in models.list_models(module=models) if known not in UNFIT]
    if name not in fit:
        raise CaptionerError(
            f"encoder {name!r} is not a classification backbone that fits; "
            f"choose one of {', '.join([*fit, *SCALES])}"
        )
    return models.get_model(name, weights=None)


def _import_alone(name: str) -> ModuleType:
    """torchvision.models._api, knowing the networks of no file but the one that defines `name`.

    Raises ImportError or ValueError where that does not work.
    """
    specification = importlib.util.find_spec("torchvision")
    if specification is None or not specification.submodule_search_locations:
        raise ImportError("torchvision is not installed")
    root = Path(specification.submodule_search_locations[0])
    defining = [
        file.stem
        for file in (root / "models").glob("*.py")
        if f"\ndef {name}(" in file.read_text(encoding="utf-8")
    ]
    if len(defining) != 1:
        raise ValueError(f"no file of torchvision.models defines {name}")
    for package in _EMPTY_PACKAGES:  # instead of their __init__.py, which import everything
        module = sys.modules.setdefault(_ALONE + package, ModuleType(_ALONE + package))
        module.__path__ = [str(root / package.removeprefix("."))]
    importlib.import_module(f"{_ALONE}.models.{defining[0]}")
    return importlib.import_module(f"{_ALONE}.models._api")
