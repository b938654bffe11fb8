"""The confidence of a caption: by hand, and fitted to captions that follow a known curve."""

import numpy as np
import pytest

from captioner import CaptionerError
from captioner.model.confidence import ConfidenceCurve


def test_the_three_least_probable_words_decide() -> None:
    """Their mean is 0.5, whose logit is 0: sigmoid(log 3) = 3/4, whatever the other words."""
    curve = ConfidenceCurve(slope=2.0, intercept=np.log(3))
    assert curve([0.9, 0.4, 0.5, 0.6]) == pytest.approx(0.75)
    assert curve([1.0, 1.0, 0.6, 0.4, 0.5]) == pytest.approx(0.75)
    assert curve([0.5]) == pytest.approx(0.75)
    assert curve([]) == 0
    assert 0.75 < curve([1.0, 1.0]) <= 1


def test_a_fit_finds_the_curve_that_made_the_shares() -> None:
    made = ConfidenceCurve(slope=0.4, intercept=0.9)
    captions = np.random.default_rng(0).uniform(0.01, 0.99, (200, 8)).tolist()
    found = ConfidenceCurve.fit([*captions, []], [*map(made, captions), 0.0])
    assert (found.slope, found.intercept) == pytest.approx((0.4, 0.9), abs=1e-6)


@pytest.mark.parametrize(
    ("captions", "shares"),
    [
        ([], []),
        ([[0.5]], [0.5]),
        ([[0.5], [0.5]], [0.2, 0.8]),
        ([[0.2], [0.8]], [1.0, 1.0]),
        ([[0.2], [0.8]], [0.0, 0.0]),
    ],
)
def test_captions_that_determine_no_curve_are_an_error(
    captions: list[list[float]], shares: list[float]
) -> None:
    with pytest.raises(CaptionerError, match="cannot be calibrated on these"):
        ConfidenceCurve.fit(captions, shares)
