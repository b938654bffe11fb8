"""The accuracy of answers as a table and as JSON, beside that of baselines."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captioner.metrics.vqa_accuracy import AnswerScores, GroupAccuracy

MOST_TYPES = 15  # question types in the table; VQA v2 has 65
COMMONEST = "commonest answer"

_Group = tuple[str, str]  # the part of the record, and the name in it if the part has several


def answers_record(
    scores: "AnswerScores", baselines: "Mapping[str, AnswerScores] | None" = None
) -> dict[str, object]:
    """All that the table says, every question type and each question, ready for JSON.

    baselines: what they are -> scores of other answers to the same questions, with the same
    options. They and the commonest answer stand in every group.
    """
    groups = {
        key: {
            "accuracy": group.accuracy,
            "questions": group.questions,
            "baselines": _beside(key, group, baselines),
        }
        for key, group in _groups(scores).items()
    }

    def named(part: str) -> dict[str, object]:
        return {name: group for (place, name), group in groups.items() if place == part}

    return {
        "accuracy": scores.overall.accuracy,
        "interval": [scores.interval.low, scores.interval.high],
        "questions": scores.overall.questions,
        "baselines": groups["overall", ""]["baselines"],
        "commonest_answer": scores.commonest_answer,
        "unseen": groups.get(("unseen", "")),
        "answer_types": named("answer_types"),
        "question_types": named("question_types"),
        "signature": scores.signature,
        "per_question": [
            {"question_id": question, "accuracy": float(accuracy)}
            for question, accuracy in zip(scores.questions, scores.per_question, strict=True)
        ],
    }


def print_answers(
    scores: "AnswerScores", baselines: "Mapping[str, AnswerScores] | None" = None
) -> None:
    """Print accuracies as fractions, a row a group and a column a baseline, and the signature.

    baselines: as answers_record has them.
    """
    groups = _groups(scores)
    for name in list(scores.question_types)[MOST_TYPES:]:
        del groups["question_types", name]
    titles = {key: _title(*key) for key in groups}
    width = max(map(len, titles.values()))
    interval = f"[{scores.interval.low:.4f}, {scores.interval.high:.4f}]"
    columns = [COMMONEST, *(baselines or {})]
    print("  ".join([f"{'':{width}}", "accuracy", "95% interval    ", "questions", *columns]))
    for key, group in groups.items():
        beside = _beside(key, group, baselines)
        cells = [
            f"{titles[key]:{width}}",
            f"{group.accuracy:8.4f}",
            f"{interval if key[0] == 'overall' else '':16}",
            f"{group.questions:>9,}",
            *(f"{beside[column]:>{len(column)}.4f}" for column in columns),
        ]
        print("  ".join(cells))
    hidden = len(scores.question_types) - MOST_TYPES
    if hidden > 0:
        print(f"{hidden} more question types: --json has all")
    print(f"{COMMONEST}: {scores.commonest_answer}")
    print(scores.signature)


def _groups(scores: "AnswerScores") -> "dict[_Group, GroupAccuracy]":
    groups = {("overall", ""): scores.overall}
    if scores.unseen is not None:
        groups["unseen", ""] = scores.unseen
    for part, types in (
        ("answer_types", scores.answer_types),
        ("question_types", scores.question_types),
    ):
        groups |= {(part, name): group for name, group in types.items()}
    return groups


def _title(part: str, name: str) -> str:
    return {
        "overall": "overall",
        "unseen": "questions not in training",
        "answer_types": f"answer type: {name}",
        "question_types": f"question type: {name}",
    }[part]


def _beside(
    key: _Group, group: "GroupAccuracy", baselines: "Mapping[str, AnswerScores] | None"
) -> dict[str, float]:
    """The accuracy of the commonest answer and of each baseline on the same questions."""
    others = {title: _groups(found)[key].accuracy for title, found in (baselines or {}).items()}
    return {COMMONEST: group.commonest} | others
