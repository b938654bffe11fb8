"""Which model of a run is the best, and whether it beats the model that the run started from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.metrics import bleu
from captioner.metrics.bootstrap import DRAWS, Interval, percentiles, resampled_sums

# BLEU-4 of captions without any right n-gram is not 0, but up to 1e-4.
NEGLIGIBLE = 1e-3


@dataclass
class Validation:
    """The scores of a model, and what each held-out picture adds to them.

    captions: the rows of `BleuCounts.table` of the captioned pictures, P lists of 10; answers: for
    each picture with questions, the sum of their accuracies and their number. Both are in the same
    order for every model of a run.
    """

    scores: dict[str, float] = field(default_factory=dict)
    captions: list[list[float]] = field(default_factory=list)
    answers: list[list[float]] = field(default_factory=list)


def selection_score(scores: dict[str, Any]) -> float:
    """What the best model has most of: BLEU-4 and the accuracy of the answers, added."""
    return scores.get("BLEU-4", 0.0) + scores.get("accuracy", 0.0)


def validation_loss(scores: dict[str, Any]) -> float:
    """The validation losses of both tasks, added."""
    return scores.get("validation loss", 0.0) + scores.get("validation answer loss", 0.0)


def gain(model: Validation, start: Validation) -> Interval:
    """The selection score of a model minus that of the start, with its 95% interval.

    Both are scored on the same 1,000 draws of the pictures (paired bootstrap, Koehn 2004).
    """
    difference = selection_score(model.scores) - selection_score(start.scores)
    return Interval(difference, *percentiles(_drawn_scores(model) - _drawn_scores(start)))


def is_beyond_chance(gained: Interval) -> bool:
    """Whether a gain is more than the choice of the pictures explains."""
    return gained.low > NEGLIGIBLE


def _drawn_scores(validation: Validation) -> NDArray[np.float64]:
    """The selection score on each draw of the pictures, (DRAWS,)."""
    drawn = np.zeros(DRAWS)
    if validation.captions:
        drawn += bleu.from_table(resampled_sums(np.array(validation.captions)))[:, bleu.ORDERS - 1]
    if validation.answers:
        right, asked = resampled_sums(np.array(validation.answers)).T
        drawn += right / asked
    return drawn
