"""What training steps measure: it stays on the device until it is read, which waits for a GPU."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captioner.errors import CaptionerError


@dataclass(frozen=True)
class Measurement:
    """What one step has measured: values by their names, on the device.

    Among the names are "loss" and "gradient norm" (before clipping). texts: learned from.
    """

    step: int
    texts: int
    names: tuple[str, ...]
    values: Tensor


def read(measurements: Sequence[Measurement]) -> list[dict[str, float]]:
    """The values of several steps as numbers, and "texts"; fetched from the device all at once.

    Raises CaptionerError where a loss or a gradient is not finite.
    """
    if not measurements:
        return []
    values = torch.stack([measured.values for measured in measurements]).tolist()
    return [
        _check(dict(zip(measured.names, row, strict=True)), measured.step)
        | {"texts": measured.texts}
        for measured, row in zip(measurements, values, strict=True)
    ]


def _check(values: dict[str, float], step: int) -> dict[str, float]:
    for name in ("loss", "gradient norm"):
        if not math.isfinite(values[name]):
            raise CaptionerError(
                f"the {name} is {values[name]} at step {step}; the checkpoints before it are kept: "
                "lower learning_rate, raise warm_up_steps or turn autocast off, all of which can "
                "change with --resume"
            )
    return values
