"""VQA accuracy of answers, equal to the official evaluation code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.data.answer_text import normalise, normalise_list, strip_signs
from captioner.data.question_files import Id
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError
from captioner.metrics import bootstrap
from captioner.metrics.answer_results import Question, matched_questions
from captioner.metrics.result_files import with_known_ids
from captioner.version import __version__

ENOUGH = 3  # matching answers that make a prediction fully right
USUAL_ANSWERS = 10  # people who answer each question of VQA v2
NOT_GIVEN = "not given"  # the type of questions whose annotations give none


@dataclass(frozen=True)
class GroupAccuracy:
    """The accuracy on a group of questions, and that of always giving the most common answer."""

    questions: int
    accuracy: float
    commonest: float


@dataclass(frozen=True)
class AnswerScores:
    """The accuracies of one answer to each of Q questions, as fractions."""

    overall: GroupAccuracy
    interval: bootstrap.Interval  # of the overall accuracy, over pictures
    answer_types: dict[str, GroupAccuracy]  # the largest first
    question_types: dict[str, GroupAccuracy]  # the largest first
    unseen: GroupAccuracy | None  # questions not in training; None if none or unknown
    commonest_answer: str  # which constant answer does best on this set, chosen in hindsight
    signature: str  # how it was computed; compare only accuracies with equal signatures
    warnings: tuple[str, ...]  # what is suspicious, a sentence each
    questions: tuple[Id, ...]  # the ids, in the order of the array below
    per_question: NDArray[np.float64]  # (Q,)


def vqa_accuracy(
    prediction: str, answers: Sequence[str], *, normalise_unanimous: bool = False
) -> float:
    """Return the VQA accuracy of a prediction, as a fraction.

    With several human answers: the mean of min(matches / 3, 1) over all ways to leave one of them
    out (Antol et al. 2015). As in the official code, the prediction is fully normalised, while
    human answers only lose their punctuation, and only if they are not all equal;
    normalise_unanimous fully normalises equal ones too, so that a prediction equal to all of them
    is right. With one human answer: whether the two are equal, both normalised as lists. Raises
    CaptionerError if there are no answers.
    """
    if not answers:
        raise CaptionerError("no answers to compare with; give at least one human answer")
    return _accuracy(prediction, _prepare_answers(answers, normalise_unanimous))


def score_answers(
    predictions: Mapping[Id, str],
    questions: Sequence[Question],
    *,
    normalise_unanimous: bool = False,
    allow_partial: bool = False,
    seen: Iterable[str] | None = None,
    model: str = "unknown",
) -> AnswerScores:
    """Score one answer per question, overall and by type, beside the best constant answer.

    predictions: question id -> answer. normalise_unanimous: see vqa_accuracy. allow_partial: score
    only the questions in both, and say so in the signature. seen: the texts of the training
    questions; questions with other words are also scored separately. model: its name, for the
    signature. Raises CaptionerError as matched_questions does.
    """
    ids = [question.question_id for question in questions]
    predictions = with_known_ids(predictions, ids, "question")
    asked = matched_questions(predictions, questions, allow_partial)
    compared = [_prepare_answers(question.answers, normalise_unanimous) for question in asked]
    predicted = (predictions[question.question_id] for question in asked)
    accuracies = np.array(list(map(_accuracy, predicted, compared)))
    answer, constant = _best_constant(compared)

    def group(indices: Sequence[int]) -> GroupAccuracy:
        chosen = list(indices)
        return GroupAccuracy(
            len(chosen), float(accuracies[chosen].mean()), float(constant[chosen].mean())
        )

    new: list[int] = []
    if seen is not None:
        known = {tuple(split_words(text)) for text in seen}
        new = [n for n, item in enumerate(asked) if tuple(split_words(item.text)) not in known]
    all_ids = set(predictions) | {question.question_id for question in questions}
    answer_types = _indices_by_name([question.answer_type or NOT_GIVEN for question in asked])
    question_types = _indices_by_name([question.question_type or NOT_GIVEN for question in asked])
    return AnswerScores(
        overall=group(range(len(asked))),
        interval=_interval(asked, accuracies),
        answer_types={name: group(indices) for name, indices in answer_types.items()},
        question_types={name: group(indices) for name, indices in question_types.items()},
        unseen=group(new) if new else None,
        commonest_answer=answer,
        warnings=_find_warnings(asked, all_seen=seen is not None and not new),
        signature=_signature(asked, len(all_ids), normalise_unanimous, model),
        questions=tuple(question.question_id for question in asked),
        per_question=accuracies,
    )


def _find_warnings(asked: Sequence[Question], *, all_seen: bool) -> tuple[str, ...]:
    warnings = []
    few = [question for question in asked if 1 < len(question.answers) < USUAL_ANSWERS]
    if few:
        warnings.append(
            f"{len(few):,} of {len(asked):,} questions have fewer than {USUAL_ANSWERS} answers; "
            "the accuracy is lower than with ten, as an answer needs three equal ones to be fully "
            "right"
        )
    if all_seen:
        warnings.append("every question is among the training questions too")
    return tuple(warnings)


def _prepare_answers(answers: Sequence[str], normalise_unanimous: bool) -> list[str]:
    """Prepare human answers for comparison with a normalised prediction."""
    if len(answers) == 1:
        return [normalise_list(answers[0])]
    if len(set(answers)) > 1:
        return [strip_signs(answer) for answer in answers]
    return [normalise(answer) for answer in answers] if normalise_unanimous else list(answers)


def _normalised(prediction: str, people: int) -> str:
    """Normalise a prediction for comparison with the answers of so many people."""
    return normalise_list(prediction) if people == 1 else normalise(prediction)


def _accuracy(prediction: str, compared: Sequence[str]) -> float:
    return _leave_one_out(compared.count(_normalised(prediction, len(compared))), len(compared))


def _leave_one_out(matches: int, people: int) -> float:
    if people == 1:
        return float(matches)
    other_left_out = (people - matches) * min(matches, ENOUGH)
    match_left_out = matches * min(max(matches - 1, 0), ENOUGH)
    return (other_left_out + match_left_out) / (ENOUGH * people)


def _best_constant(compared: Sequence[Sequence[str]]) -> tuple[str, NDArray[np.float64]]:
    """Return the best constant answer and its accuracy on each question."""
    accuracies: dict[str, dict[int, float]] = defaultdict(dict)
    for index, wanted in enumerate(compared):
        for answer in dict.fromkeys(wanted):
            accuracies[answer][index] = _leave_one_out(wanted.count(answer), len(wanted))
    # An answer that normalisation changes, such as "none", never matches a prediction.
    people = len(compared[0])
    possible = [answer for answer in accuracies if _normalised(answer, people) == answer]
    best = max(possible, key=lambda answer: sum(accuracies[answer].values()), default="")
    constant = np.zeros(len(compared))
    for index, accuracy in accuracies.get(best, {}).items():
        constant[index] = accuracy
    return best, constant


def _indices_by_name(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of each name, the most frequent name first (ties by spelling)."""
    indices: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        indices[name].append(index)
    return dict(sorted(indices.items(), key=lambda item: (-len(item[1]), item[0])))


def _interval(asked: Sequence[Question], accuracies: NDArray[np.float64]) -> bootstrap.Interval:
    pictures = {question.image_id: None for question in asked}
    numbers = {image_id: number for number, image_id in enumerate(pictures)}
    picture = np.array([numbers[question.image_id] for question in asked])
    return bootstrap.mean_interval(np.bincount(picture, accuracies), np.bincount(picture))


def _signature(
    asked: Sequence[Question], questions: int, normalise_unanimous: bool, model: str
) -> str:
    """The signature: everything that the accuracy depends on besides the answers."""
    people = [len(question.answers) for question in asked]
    fewest, most = min(people), max(people)
    exact = most == 1
    partial = f" of {questions}, partial" if len(asked) < questions else ""
    made = sum(question.made for question in asked)
    unanimous = "normalised" if normalise_unanimous else "as-given"
    return "|".join(
        [
            f"accuracy:{'exact' if exact else 'vqa-leave-one-out'}",
            f"questions:{len(asked)}{partial}{f', {made} made from captions' if made else ''}",
            f"pictures:{len({question.image_id for question in asked})}",
            f"answers:{fewest if fewest == most else f'{fewest}-{most}'}",
            "normalised:vqa,lists-by-part" if exact else f"normalised:vqa,unanimous-{unanimous}",
            f"interval:pictures,bootstrap{bootstrap.DRAWS}",
            f"model:{model}",
            f"captioner:{__version__}",
        ]
    )
