"""Caption and Answer as values: what they print, equal and turn into."""

import json
from dataclasses import replace

import numpy as np
import pytest

from captioner import Answer, AnswerChoice, Caption, CaptionerError, Word

MAPS = np.array([[[0.25, 0.75]], [[1.0, 0.0]]], np.float32)  # (T, rows, columns) = (2, 1, 2)


def a_dog() -> Caption:
    return Caption("a dog", (Word("a", 0.5), Word("dog", 0.25)), -2.5, MAPS.copy(), None, (4, 7))


def yes() -> Answer:
    choices = (AnswerChoice("yes", 0.75), AnswerChoice("no", 0.25))
    return Answer("yes", 0.75, choices, MAPS.copy(), "a dog?")


def test_a_result_prints_as_its_text_and_its_repr_as_one_line() -> None:
    assert (str(a_dog()), str(yes())) == ("a dog", "yes")
    assert repr(a_dog()) == "Caption('a dog', log_probability=-2.50, confidence=0.38)"
    assert repr(yes()) == "Answer('yes', probability=0.75)"
    assert "\n" not in repr(replace(a_dog(), text="a\ndog"))


def test_the_confidence_of_an_answer_is_its_probability() -> None:
    assert yes().confidence == 0.75
    assert a_dog().confidence == 0.375


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "a cat"},
        {"words": (Word("a", 0.5), Word("dog", 0.26))},
        {"log_probability": -2.6},
        {"attention": MAPS[::-1]},
        {"attention": MAPS[:1]},
        {"looking": np.ones(2)},
        {"tokens": (4, 8)},
    ],
)
def test_captions_are_equal_if_all_that_was_computed_is(changes: dict[str, object]) -> None:
    looked = replace(a_dog(), looking=np.array([0.5, 0.75]))
    assert a_dog() == a_dog() and looked == replace(looked, looking=looked.looking.copy())
    assert replace(a_dog(), picture=object()) == a_dog()  # type: ignore[arg-type]
    assert replace(a_dog(), **changes) != a_dog()
    assert a_dog() in [replace(a_dog(), **changes), a_dog()]
    assert len({a_dog(), a_dog(), replace(a_dog(), **changes)}) == 2


def test_an_answer_equals_only_an_answer_to_the_same_question() -> None:
    assert yes() == yes() and hash(yes()) == hash(yes())
    assert yes() != replace(yes(), question="a cat?")
    assert yes() != replace(yes(), attention=MAPS[::-1])
    assert yes() != "yes"
    assert yes() != Caption("yes", (), 0.0, MAPS)


def test_dictionaries_go_through_json_with_arrays_only_when_asked() -> None:
    words = [{"word": "a", "probability": 0.5}, {"word": "dog", "probability": 0.25}]
    plain = {"text": "a dog", "log_probability": -2.5, "confidence": 0.375, "words": words}
    assert json.loads(json.dumps(a_dog().to_dict())) == plain
    looked = replace(a_dog(), looking=np.array([0.5, 0.75]))
    assert json.loads(json.dumps(looked.to_dict(arrays=True))) == plain | {
        "attention": [[[0.25, 0.75]], [[1.0, 0.0]]],
        "looking": [0.5, 0.75],
    }
    top = [{"text": "yes", "probability": 0.75}, {"text": "no", "probability": 0.25}]
    plain = {"question": "a dog?", "text": "yes", "probability": 0.75, "top": top}
    assert json.loads(json.dumps(yes().to_dict())) == plain
    assert yes().to_dict(arrays=True) == plain | {"attention": MAPS.tolist()}


def test_a_result_without_a_picture_says_where_to_get_one() -> None:
    for result in (a_dog(), yes()):
        assert result._repr_html_() is None
        for draw in (result.show, lambda shown=result: shown.save("maps.png")):
            with pytest.raises(CaptionerError, match=r"has no picture .* Captioner\.caption"):
                draw()
