"""VQA accuracy: rules worked by hand, parity with the official code, groups and baselines."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner import CaptionerError
from captioner.data.answer_text import normalise, normalise_list, strip_signs
from captioner.data.question_files import QuestionRecord
from captioner.metrics.result_files import read_answers
from captioner.metrics.vqa_accuracy import AnswerScores, GroupAccuracy, score_answers, vqa_accuracy

CASES = Path(__file__).parents[3] / "shared/data/metrics/vqa_accuracy_cases.json"


@pytest.mark.parametrize(
    ("matches", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)]
)
def test_four_of_ten_people_make_an_answer_fully_right(matches: int, accuracy: float) -> None:
    people = ["red"] * matches + ["blue"] * (10 - matches)
    assert vqa_accuracy("red", people) == accuracy


@given(st.lists(st.sampled_from(["red", "blue", "green"]), min_size=2, max_size=11))
def test_accuracy_is_the_mean_over_leaving_one_person_out(people: list[str]) -> None:
    chosen = list(combinations(people, len(people) - 1))
    expected = sum(min(others.count("red") / 3, 1) for others in chosen) / len(chosen)
    assert vqa_accuracy("red", people) == pytest.approx(expected, abs=1e-12)


def test_no_human_answers_raise() -> None:
    with pytest.raises(CaptionerError, match="no answers to compare with"):
        vqa_accuracy("red", [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The YES.", "yes"),
        ("an apple on a table", "apple on table"),
        ("Two dogs", "2 dogs"),
        ("none", "0"),
        ("eleven", "eleven"),
        ("ten to one", "10 to 1"),
        ("yes!", "yes"),
        ("t-shirt", "t shirt"),  # beside no space: it becomes one
        ("t- shirt", "t shirt"),
        ("rock-n -roll", "rockn roll"),  # a space beside one of them: all go
        ("red, green", "red green"),
        ("red,green", "red green"),
        ("1,000", "1000"),
        ("1,000-2,000", "10002000"),  # a comma in a number: every sign goes
        ("2.5 m.", "2.5 m"),
        ("a.m.", "am"),
        ("10:50", "10:50"),
        ("mac & cheese", "mac & cheese"),
        ("man's", "man's"),
        ("dont know", "don't know"),
        ("shouldnt've", "shouldn't've"),
        ("shouldntve", "shouldntve"),  # not in the official table
        ("lets", "lets"),
        ("somebody'd", "somebodyd"),
        ("a", ""),
        (" the\n cat\tsat ", "cat sat"),
    ],
)
def test_predictions_are_normalised_like_the_official_code(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


def test_human_answers_only_lose_their_punctuation() -> None:
    assert strip_signs("The none, dont!") == "The none dont "
    assert vqa_accuracy("red green", ["red, green"] * 4 + ["blue"] * 6) == 1
    assert vqa_accuracy("none", ["none"] * 9 + ["no"]) == 0  # 0 is not none
    assert vqa_accuracy("0", ["none"] * 9 + ["0"]) == 0.3


def test_equal_human_answers_are_normalised_only_on_request() -> None:
    shirts = ["t-shirt"] * 10
    assert vqa_accuracy("t-shirt", shirts) == 0
    assert vqa_accuracy("t-shirt", shirts, normalise_unanimous=True) == 1
    assert vqa_accuracy("t-shirt", [*shirts[:9], "shirt"]) == 1
    assert vqa_accuracy("The YES.", ["yes"] * 10) == 1


@given(st.text("ab1 ,.-!'"))
def test_unanimous_answer_is_right_with_normalise_unanimous(answer: str) -> None:
    assert vqa_accuracy(answer, [answer] * 10, normalise_unanimous=True) == 1
    assert vqa_accuracy(answer, [answer]) == 1


@pytest.mark.skipif(not CASES.is_file(), reason="the official results are not beside the project")
def test_accuracy_equals_the_official_code() -> None:
    cases = json.loads(CASES.read_text())
    assert len(cases) == 500
    for case in cases:
        assert 100 * vqa_accuracy(case["prediction"], case["answers"]) == case["accuracy"], case


@pytest.mark.parametrize(
    ("prediction", "answer", "accuracy"),
    [
        ("Lamp, the night-stand", "lamp, night stand", 1.0),
        ("two", "2", 1.0),
        ("lamp night stand", "lamp, night stand", 0.0),  # a list is no longer name
        ("night stand, lamp", "lamp, night stand", 0.0),
        ("lamp", "lamp, night stand", 0.0),
        ("none", "none", 1.0),
    ],
)
def test_single_answer_must_match_completely(prediction: str, answer: str, accuracy: float) -> None:
    assert vqa_accuracy(prediction, [answer]) == accuracy


def test_lists_keep_their_commas() -> None:
    assert normalise_list("the lamp, Three chairs, 1,000 books") == "lamp, 3 chairs, 1000 books"


def question(number: int, image: int, answers: Sequence[str], **fields: Any) -> QuestionRecord:
    standard = {"text": "Is it?", "question_type": "is it", "answer_type": "other", "made": False}
    return QuestionRecord(
        question_id=number, image_id=image, answers=tuple(answers), **(standard | fields)
    )


ASKED = [
    question(1, 7, ["yes"] * 10, answer_type="yes/no", text="Is it RED?"),
    question(2, 7, ["no"] * 8 + ["yes"] * 2, answer_type="yes/no"),
    question(3, 8, ["none"] * 10, question_type="how many", text="How many?"),
    question(4, 9, ["red"] * 9 + ["yes"], question_type=""),
]
PREDICTIONS = {1: "Yes.", 2: "yes", 3: "none", 4: "red"}


def test_accuracy_overall_and_by_type() -> None:
    scores = score_answers(PREDICTIONS, ASKED)
    assert scores.questions == (1, 2, 3, 4)
    assert scores.per_question.tolist() == [1.0, 0.6, 0.0, 1.0]
    # Always "yes": 1, 0.6, 0 and 0.3.
    assert scores.commonest_answer == "yes"
    assert scores.overall == GroupAccuracy(4, pytest.approx(0.65), pytest.approx(1.9 / 4))
    assert scores.answer_types == {
        "other": GroupAccuracy(2, 0.5, 0.15),
        "yes/no": GroupAccuracy(2, 0.8, 0.8),
    }
    assert list(scores.question_types) == ["is it", "how many", "not given"]
    assert scores.question_types["not given"] == GroupAccuracy(1, 1.0, 0.3)
    assert scores.unseen is None


def test_normalise_unanimous_applies_to_the_commonest_answer_too() -> None:
    asked = [question(n, n, ["t-shirt"] * 10) for n in (5, 6, 7)] + ASKED[:1]
    predictions = {record.question_id: "T-shirt!" for record in asked}
    plain = score_answers(predictions, asked)
    assert (plain.overall, plain.commonest_answer) == (GroupAccuracy(4, 0.0, 0.25), "yes")
    normalised = score_answers(predictions, asked, normalise_unanimous=True)
    assert normalised.overall == GroupAccuracy(4, 0.75, 0.75)
    assert normalised.commonest_answer == "t shirt"


answers = st.lists(
    st.sampled_from(["red", "t-shirt", "none", "The dog", "0"]), min_size=4, max_size=4
)


@settings(deadline=None, max_examples=25)  # each call draws pictures a thousand times
@given(st.lists(answers, min_size=1, max_size=5), st.booleans())
def test_commonest_is_the_best_constant_answer(people: list[list[str]], unanimous: bool) -> None:
    asked = [question(number, 0, texts) for number, texts in enumerate(people)]

    def always(answer: str) -> AnswerScores:
        predictions = dict.fromkeys(range(len(asked)), answer)
        return score_answers(predictions, asked, normalise_unanimous=unanimous)

    scores = always("red")
    best = max(always(text).overall.accuracy for texts in people for text in texts)
    assert scores.overall.commonest == pytest.approx(best)
    if best:
        assert always(scores.commonest_answer).overall.accuracy == pytest.approx(best)


def test_unseen_questions_have_words_not_in_training() -> None:
    scores = score_answers(PREDICTIONS, ASKED, seen=["is it red", "Is it...?", "what?"])
    assert scores.unseen == GroupAccuracy(1, 0.0, 0.0)  # "How many?"
    assert score_answers(PREDICTIONS, ASKED, seen=["is it", "is it red", "how many"]).unseen is None


def test_interval_is_over_pictures() -> None:
    """Repeating each question five times does not make the interval narrower."""
    once = [question(n, n, ["yes"] if n % 3 else ["no"]) for n in range(60)]
    often = [
        question(100 * n + k, n, ["yes"] if n % 3 else ["no"]) for n in range(60) for k in range(5)
    ]
    few, many = (
        score_answers({q.question_id: "yes" for q in asked}, asked) for asked in (once, often)
    )
    assert few.interval == many.interval
    assert few.interval.value == pytest.approx(2 / 3)
    # The normal approximation for 60 independent values.
    spread = 1.96 * np.sqrt(2 / 9 / 60)
    assert few.interval.high - few.interval.low == pytest.approx(2 * spread, rel=0.15)


def test_picture_with_more_questions_counts_more() -> None:
    asked = [question(n, 1, ["yes"]) for n in range(9)] + [question(9, 2, ["no"])]
    interval = score_answers(dict.fromkeys(range(10), "yes"), asked).interval
    assert (interval.value, interval.low, interval.high) == (0.9, 0.0, 1.0)


def test_signature_says_what_was_scored_and_how() -> None:
    parts = score_answers(PREDICTIONS, ASKED, model="tiny").signature.split("|")
    assert {"accuracy:vqa-leave-one-out", "questions:4", "pictures:3", "answers:10"} < set(parts)
    assert {"normalised:vqa,unanimous-as-given", "model:tiny"} < set(parts)
    normalised = score_answers(PREDICTIONS, ASKED, normalise_unanimous=True).signature
    assert "|normalised:vqa,unanimous-normalised|" in normalised
    exact = score_answers({1: "yes"}, [question(1, 1, ["yes"])]).signature
    assert exact.startswith("accuracy:exact|questions:1|pictures:1|answers:1|normalised:vqa,lists")
    made = score_answers({1: "yes"}, [question(1, 1, ["yes"], made=True)]).signature
    assert "|questions:1, 1 made from captions|" in made


@pytest.mark.parametrize(
    ("predictions", "asked", "message"),
    [
        ({1: "yes"}, ASKED, r"no answer to 3 questions \(2, 3, 4\); add them, or score the rest"),
        (PREDICTIONS | {9: "a"}, ASKED, "answers to unknown question 9; remove them"),
        (PREDICTIONS | {5: "a"}, [*ASKED, question(5, 1, [])], "no human answers to question 5"),
        (PREDICTIONS | {2: 2}, ASKED, "predictions must be text, got int for question 2"),
        (PREDICTIONS, [*ASKED, ASKED[0]], "5 questions have only 4 different ids"),
        ({9: "yes"}, ASKED, "no question is in both: answers to question 9"),
        ({}, ASKED, "no question is in both"),
        (
            PREDICTIONS | {5: "a"},
            [*ASKED, question(5, 1, ["a"])],
            "question 5 of 5 have one human answer",
        ),
    ],
)
def test_mismatched_answers_and_questions_raise(predictions: Any, asked: Any, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        score_answers(predictions, asked)


def test_allow_partial_scores_the_common_questions() -> None:
    scores = score_answers({4: "red", 9: "a"}, [*ASKED, question(5, 1, [])], allow_partial=True)
    assert scores.questions == (4,)
    assert "|questions:1 of 6, partial|" in scores.signature


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, "is a file of annotations, not of results"),
        ({"a": 1}, "1 as the answer to question 'a'"),
        ([], "is not a results file"),
        (["yes"], "record 1 is not a result"),
        ([{"image_id": 1, "caption": "a dog"}], "record 1 is not a result"),
        ([{"question_id": 1}], "record 1 is not a result"),
        ([{"question_id": 1, "answer": None}], "None as the answer to question 1"),
        ([{"question_id": 1, "answer": "a"}] * 2, "more than one answer for question 1;"),
    ],
)
def test_bad_results_raise(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    with pytest.raises(CaptionerError, match=message):
        read_answers(file)


def test_good_results_are_read(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text('[{"question_id": 1, "answer": "yes"}, {"question_id": "b", "answer": "2"}]')
    assert read_answers(file) == {1: "yes", "b": "2"}
