"""Reads answers from a VQA result file and checks that they fit the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from captioner.data.question_files import AskedQuestion, Id, QuestionRecord
from captioner.data.records import read_json
from captioner.errors import CaptionerError
from captioner.metrics.caption_results import name_first

RESULTS_FORM = 'a list of {"question_id": ..., "answer": "..."}'

Question = QuestionRecord | AskedQuestion


def read_answers(file: Path) -> dict[Id, str]:
    """Read a VQA result file: question id -> answer.

    Raises CaptionerError if the file is not `RESULTS_FORM`, answers a question twice or has an
    answer that is no text. One that is empty, where no answer could be given, is wrong.
    """
    content = read_json(file)
    if not isinstance(content, list) or not content:
        what = "no results file"
        if isinstance(content, dict) and ("annotations" in content or "questions" in content):
            what = "a file of questions or annotations, not of results"
        raise CaptionerError(f"{file} is {what}; expected {RESULTS_FORM}")
    answers: dict[Id, str] = {}
    twice = []
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict) or not isinstance(record.get("question_id"), int | str):
            raise CaptionerError(
                f"{file}: record {number} has no valid question_id; expected {RESULTS_FORM}"
            )
        question, answer = record["question_id"], record.get("answer")
        if not isinstance(answer, str):
            raise CaptionerError(
                f"{file}: {answer!r} as the answer to question {question!r}; expected text"
            )
        if question in answers:
            twice.append(question)
        answers[question] = answer
    if twice:
        raise CaptionerError(
            f"{file} has more than one answer to {name_first(twice, 'question')}; keep one each"
        )
    return answers


def matched_questions(
    predictions: Mapping[Id, str], questions: Sequence[Question], allow_partial: bool = False
) -> list[Question]:
    """List the questions to score, in their order.

    Raises CaptionerError if a prediction is no text, a question id stands twice, nothing is left
    to score, or people gave some questions one answer and others several; and, unless
    allow_partial leaves them out, if a question has no prediction, a prediction has no question,
    or people gave no answer.
    """
    wrong = [key for key, answer in predictions.items() if not isinstance(answer, str)]
    if wrong:
        kind = type(predictions[wrong[0]]).__name__
        raise CaptionerError(
            f"predictions must be text, got {kind} for {name_first(wrong, 'question')}"
        )
    asked = {question.question_id: question for question in questions}
    if len(asked) < len(questions):
        raise CaptionerError(
            f"{len(questions):,} questions have {len(asked):,} ids; give each its own"
        )
    common = [key for key in asked if key in predictions and asked[key].answers]
    remedy = "or score the rest with --allow-partial (allow_partial=True)"
    if not common:
        answered = [key for key in asked if asked[key].answers]
        raise CaptionerError(
            f"no question is in both: answers to {name_first(list(predictions), 'question')}, "
            f"annotations for {name_first(answered, 'question')}. Ids must be equal, and a number "
            "is not equal to a text."
        )
    if not allow_partial:
        for ids, what, do in (
            ([key for key in asked if key not in predictions], "no answer to", "add them"),
            ([key for key in predictions if key not in asked], "answers to unknown", "remove them"),
            (
                [key for key in asked if not asked[key].answers],
                "no people's answers to",
                "add them",
            ),
        ):
            if ids:
                raise CaptionerError(f"{what} {name_first(ids, 'question')}; {do}, {remedy}")
    single = [key for key in common if len(asked[key].answers) == 1]
    if single and len(single) < len(common):
        raise CaptionerError(
            f"{name_first(single, 'question')} of {len(common):,} have one answer, the others "
            "several: they are scored in different ways; score them apart"
        )
    return [asked[key] for key in common]
