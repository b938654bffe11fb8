"""Bootstrap intervals and comparisons of made-up systems."""

import numpy as np
import pytest

from captioner import CaptionerError
from captioner.metrics import CaptionScores, score_captions
from captioner.metrics.bootstrap import differences, intervals

REFERENCES = {number: [f"a dog number{number} runs on the green grass"] for number in range(60)}


def system(right: int) -> CaptionScores:
    """Score a system that has the first captions right and the rest half wrong."""
    candidates = {
        number: texts[0] if number < right else f"a cat number{number} sits"
        for number, texts in REFERENCES.items()
    }
    return score_captions(candidates, REFERENCES)


def test_interval_contains_its_value_and_matches_the_standard_error() -> None:
    scores = system(30)
    for name, interval in intervals(scores).items():
        assert interval.low < scores.values[name] == interval.value < interval.high
    rouge = intervals(scores)["ROUGE-L"]
    error = scores.per_picture["ROUGE-L"].std() / np.sqrt(len(REFERENCES))
    assert rouge.high - rouge.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_same_input_gives_the_same_interval() -> None:
    assert intervals(system(30)) == intervals(system(30))


def test_interval_of_constant_scores_has_no_width() -> None:
    interval = intervals(system(60))["ROUGE-L"]
    assert (interval.low, interval.high) == (1, 1)


def test_differences_between_a_better_a_worse_and_the_same_system() -> None:
    better, worse = system(40), system(10)
    for name, difference in differences(better, worse).items():
        assert difference.value == pytest.approx(better.values[name] - worse.values[name])
        assert difference.low > 0 and difference.p_value < 0.01
    for difference in differences(worse, better).values():
        assert difference.high < 0
    for difference in differences(better, better).values():
        assert (difference.value, difference.low, difference.high, difference.p_value) == (
            0,
            0,
            0,
            1,
        )


def test_pairing_finds_a_difference_between_overlapping_intervals() -> None:
    first, second = system(34), system(28)
    assert intervals(second)["CIDEr"].high >= intervals(first)["CIDEr"].low
    assert differences(first, second)["CIDEr"].low > 0


def test_systems_on_different_pictures_raise() -> None:
    other = score_captions({1: "a dog"}, {1: ["a dog"]})
    with pytest.raises(CaptionerError, match="the same pictures only"):
        differences(system(3), other)
