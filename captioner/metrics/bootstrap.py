"""Confidence intervals of scores: paired bootstrap resampling over pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from captioner.errors import CaptionerError
from captioner.metrics import bleu
from captioner.metrics.caption_scores import METRICS, CaptionScores

DRAWS = 1000
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value and the 95% percentile interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The score of one system minus that of another, its 95% interval and p-value."""

    value: float
    low: float
    high: float
    p_value: float


def intervals(scores: CaptionScores) -> dict[str, Interval]:
    """Return the 95% interval of each score, from 1,000 draws of the pictures with replacement.

    CIDEr keeps the document frequencies of all pictures. The random seed is fixed, so that the same
    input gives the same interval.
    """
    drawn = _resample(scores)
    return {
        name: Interval(scores.values[name], *percentiles(values)) for name, values in drawn.items()
    }


def differences(first: CaptionScores, second: CaptionScores) -> dict[str, Difference]:
    """Compare two systems on the same pictures (Koehn 2004, "Statistical significance tests").

    Both are scored on the same 1,000 draws; the two-sided p-value is twice the share of draws in
    which the difference has the other sign. Raises CaptionerError if the two systems were not
    scored on the same pictures with the same metrics.
    """
    if first.pictures != second.pictures:
        raise CaptionerError(
            f"compare two systems on the same pictures only; got {len(first.pictures):,} and "
            f"{len(second.pictures):,} different pictures."
        )
    if first.values.keys() != second.values.keys():
        raise CaptionerError("compare two systems on the same metrics only.")
    drawn, others = _resample(first), _resample(second)
    results = {}
    for name, values in drawn.items():
        gaps = values - others[name]
        # Add one to both counts, so that the p-value is never 0.
        opposite = 1 + min((gaps <= 0).sum(), (gaps >= 0).sum())
        p_value = min(1.0, 2 * opposite / (DRAWS + 1))
        results[name] = Difference(
            first.values[name] - second.values[name], *percentiles(gaps), float(p_value)
        )
    return results


def mean_interval(totals: np.ndarray, counts: np.ndarray) -> Interval:
    """Return the mean of values that are grouped by picture, with its 95% interval.

    totals, counts (P,): the sum and the number of the values of each picture. A picture is drawn
    with all its values, since values of one picture are not independent.
    """
    return Interval(
        float(totals.sum() / counts.sum()), *percentiles(resampled_means(totals, counts))
    )


def resampled_means(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean on each draw of the P pictures, (DRAWS,); totals, counts as `mean_interval`.

    The draws are the same for every P pictures, so that two results are paired.
    """
    table = np.column_stack([totals, counts]).astype(float)
    sums = np.array([multiplicity @ table for multiplicity in _draws(len(table))])
    return sums[:, 0] / sums[:, 1]


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95% interval of drawn values, (DRAWS,)."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resample(scores: CaptionScores) -> dict[str, np.ndarray]:
    """Score pictures drawn with replacement: for each metric the scores, (DRAWS,)."""
    counts = scores.bleu_counts
    # METEOR is not a mean over pictures and gets no interval.
    means = [metric.name for metric in METRICS if metric.is_mean and metric.name in scores.values]
    columns = [counts.matches, counts.ngrams, counts.lengths, counts.reference_lengths]
    columns += [scores.per_picture[name] for name in means]
    table = np.column_stack(columns)
    totals = np.array([multiplicity @ table for multiplicity in _draws(len(table))])
    n = bleu.ORDERS
    by_order = bleu.from_counts(
        totals[:, :n], totals[:, n : 2 * n], totals[:, 2 * n], totals[:, 2 * n + 1]
    )
    drawn = {f"BLEU-{order + 1}": by_order[:, order] for order in range(n)}
    for index, name in enumerate(means):
        drawn[name] = totals[:, 2 * n + 2 + index] / len(table)
    return drawn


def _draws(pictures: int) -> Iterator[np.ndarray]:
    """Yield, for each draw, the number of times each picture was drawn, (P,)."""
    generator = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        drawn = generator.integers(0, pictures, pictures)
        yield np.bincount(drawn, minlength=pictures).astype(float)
