"""How sure a model is of a caption, from the probabilities of its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from captioner.errors import CaptionerError

LEAST_PROBABLE = 3  # most words of a caption are function words, of which a model is always sure
_SMALLEST = 1e-6  # of a probability or its distance from 1
_ITERATIONS = 50


@dataclass(frozen=True)
class ConfidenceCurve:
    """The expected share of a caption's words that people use for the picture.

    It is sigmoid(intercept + slope * logit(p)), where p is the mean of the caption's three least
    probable words: the scaling of Platt (1999), on a set of captions with references.
    """

    slope: float
    intercept: float

    def __call__(self, probabilities: Sequence[float]) -> float:
        """The share expected of a caption of words of these probabilities; 0 of one without."""
        if not probabilities:
            return 0.0
        return 1 / (1 + math.exp(-(self.intercept + self.slope * _logit(probabilities))))

    @staticmethod
    def fit(captions: Sequence[Sequence[float]], shares: Sequence[float]) -> ConfidenceCurve:
        """The likeliest curve for captions, each the probabilities of its words, and their shares.

        shares: of each caption's words, those that a reference has, from 0 to 1; captions without
        words are left out. Raises CaptionerError where the captions do not determine a curve: they
        are all alike, or all right, or all wrong.
        """
        kept = [(words, share) for words, share in zip(captions, shares, strict=True) if words]
        inputs = np.array([[1.0, _logit(words)] for words, _ in kept]).reshape(-1, 2)
        wanted = np.array([share for _, share in kept])
        weights, step = np.zeros(2), np.full(2, np.inf)  # of intercept and slope
        if len(np.unique(inputs[:, 1])) > 1 and 0 < wanted.mean() < 1:
            for _ in range(_ITERATIONS):  # Newton's method
                expected = 1 / (1 + np.exp(-inputs @ weights))
                curvature = inputs.T @ (inputs * (expected * (1 - expected))[:, None])
                step = np.linalg.lstsq(curvature, inputs.T @ (wanted - expected))[0]
                weights += step
        if np.abs(step).max() > _SMALLEST:
            raise CaptionerError(
                f"confidence cannot be calibrated on these {len(kept)} captions: all are alike, "
                "right or wrong; give more captions with references"
            )
        return ConfidenceCurve(slope=float(weights[1]), intercept=float(weights[0]))


def read_curve(about: dict[str, Any]) -> ConfidenceCurve | None:
    """The curve in a checkpoint's description of itself, or None; ValueError if it is damaged."""
    kept = about.get("confidence")
    if kept is None:
        return None
    curve = ConfidenceCurve(slope=float(kept["slope"]), intercept=float(kept["intercept"]))
    if not (math.isfinite(curve.slope) and math.isfinite(curve.intercept)):
        raise ValueError(f"confidence {kept} is not finite")
    return curve


def _logit(probabilities: Sequence[float]) -> float:
    """The logit of the mean of the least probable words."""
    least = sorted(probabilities)[:LEAST_PROBABLE]
    mean = min(max(sum(least) / len(least), _SMALLEST), 1 - _SMALLEST)
    return math.log(mean / (1 - mean))
