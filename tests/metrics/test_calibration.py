"""The calibration error of hand-worked cases."""

import pytest

from captioner import CaptionerError
from captioner.metrics import score_captions
from captioner.metrics.calibration import calibration, caption_calibration


def test_the_error_is_the_weighted_gap_of_each_bin() -> None:
    """Bins 0.6 to 0.7 and 0.9 to 1: |0.5 - 0.65| of two thirds, |0 - 1| of one third."""
    found = calibration([0.62, 0.68, 1.0], [1.0, 0.0, 0.0])
    assert found.confidence == pytest.approx((0.62 + 0.68 + 1) / 3)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.error == pytest.approx(0.15 * 2 / 3 + 1 * 1 / 3)


def test_gaps_of_opposite_sign_in_two_bins_do_not_cancel() -> None:
    assert calibration([0.25, 0.75], [0.75, 0.25]).error == pytest.approx(0.5)
    assert calibration([0.71, 0.79], [1.0, 0.5]).error == pytest.approx(0)


def test_a_word_of_a_caption_is_right_where_a_reference_has_it() -> None:
    """Two of four words and all of two; "a" stands once in each reference, so counts once."""
    scores = score_captions({2: "a dog", 1: "a cat a mat"}, {1: ["a cat sits"], 2: ["a dog runs"]})
    found = caption_calibration(scores, {1: 0.55, 2: 0.95})
    assert found.accuracy == pytest.approx((2 / 4 + 1) / 2)
    assert found.confidence == pytest.approx(0.75)
    assert found.error == pytest.approx(0.05)


@pytest.mark.parametrize("confidences", [[], [0.5, 0.5]])
def test_unequal_or_empty_input_is_an_error(confidences: list[float]) -> None:
    with pytest.raises(CaptionerError, match="one of each per prediction"):
        calibration(confidences, [1.0] if confidences else [])
