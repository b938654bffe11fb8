"""Which questions can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captioner.data.question_files import AskedQuestion, Id, QuestionRecord
from captioner.errors import CaptionerError
from captioner.metrics.result_files import name_first

Question = QuestionRecord | AskedQuestion


def matched_questions(
    predictions: Mapping[Id, str], questions: Sequence[Question], allow_partial: bool = False
) -> list[Question]:
    """List the questions to score, in their order.

    Raises CaptionerError if a prediction is no text, two questions have the same id, nothing is
    left to score, or people gave some questions one answer and others several; and, unless
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
            f"annotations for {name_first(answered, 'question')}"
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
