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
    """List the questions to score, in the order given.

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
            f"{len(questions):,} questions have only {len(asked):,} different ids; "
            "give every question its own id"
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
        missing = [key for key in asked if key not in predictions]
        unknown = [key for key in predictions if key not in asked]
        unanswered = [key for key in asked if not asked[key].answers]
        for ids, problem, advice in (
            (missing, "no answer to", "add them"),
            (unknown, "answers to unknown", "remove them"),
            (unanswered, "no human answers to", "add them"),
        ):
            if ids:
                raise CaptionerError(f"{problem} {name_first(ids, 'question')}; {advice}, {remedy}")
    single = [key for key in common if len(asked[key].answers) == 1]
    if single and len(single) < len(common):
        raise CaptionerError(
            f"{name_first(single, 'question')} of {len(common):,} have one human answer, the "
            "others several; these are scored in different ways, so score them separately"
        )
    return [asked[key] for key in common]
