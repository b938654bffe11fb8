"""Calibration: whether what a model is 70% sure of is right 70% of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import CaptionerError
from captioner.metrics.caption_scores import CaptionScores
from captioner.metrics.result_files import Id

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """The means of confidence and accuracy, and the calibration error, each from 0 to 1."""

    confidence: float
    accuracy: float
    error: float


def calibration(confidences: Sequence[float], accuracies: Sequence[float]) -> Calibration:
    """Compare the confidence of each of P predictions with its accuracy, both from 0 to 1.

    The error is the expected calibration error (Guo et al. 2017, equation 3): in each of ten bins
    of equal width of the confidence, the difference between the mean confidence and the mean
    accuracy; the mean of these, weighted by the predictions in the bin. Raises CaptionerError if
    the two differ in length or are empty.
    """
    sure, right = np.asarray(confidences, dtype=float), np.asarray(accuracies, dtype=float)
    if sure.shape != right.shape or not sure.size:
        raise CaptionerError(
            f"calibration got {sure.size} confidences and {right.size} accuracies; give one of "
            "each per prediction."
        )
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)  # (P,); a confidence of 1 is in the last
    gaps = np.bincount(bins, weights=right - sure, minlength=BINS)  # (BINS,)
    return Calibration(
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        error=float(np.abs(gaps).sum() / sure.size),
    )


def caption_calibration(scores: CaptionScores, confidences: Mapping[Id, float]) -> Calibration:
    """Compare the confidence of each scored caption with the share of its words that are right.

    confidences: by picture id.
    """
    sure = [confidences[picture] for picture in scores.pictures]
    return calibration(sure, right_shares(scores))


def right_shares(scores: CaptionScores) -> list[float]:
    """Of each scored caption's words, the share that a reference of its picture has (BLEU-1)."""
    counts = scores.bleu_counts
    return (counts.matches[:, 0] / np.maximum(1, counts.ngrams[:, 0])).tolist()  # (P,)
