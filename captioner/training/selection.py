"""Which model of a run is the best, and whether it beats the model that the run started from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from captioner.metrics.bootstrap import Interval, percentiles, resampled_means


@dataclass
class Validation:
    """The scores of a model, and what each held-out picture adds to them.

    captions: the CIDEr of each captioned picture and 1; answers: for each picture with questions,
    the sum of their accuracies and their number. Both are in the same order for all models of a
    run.
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
    """The CIDEr, accuracy or both of a model less those of the start, with the 95% interval.

    Both are scored on the same draws of the pictures (paired bootstrap, Koehn 2004). CIDEr in place
    of BLEU-4, which says little about few pictures: it is 0 where no four words are right.
    """
    value, drawn = 0.0, np.zeros(1)
    for own, others in ((model.captions, start.captions), (model.answers, start.answers)):
        if own:
            (total, count), (other_total, _) = np.array(own).T, np.array(others).T
            value += float((total - other_total).sum() / count.sum())
            drawn = drawn + resampled_means(total - other_total, count)
    return Interval(value, *percentiles(drawn))
