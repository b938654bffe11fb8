"""Scores of captions and of answers, as printed tables and as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from captioner.cli.printable import print_warning, printable

if TYPE_CHECKING:
    from captioner.metrics import CaptionScores
    from captioner.metrics.bootstrap import Difference, Interval
    from captioner.metrics.calibration import Calibration
    from captioner.metrics.vqa_accuracy import AnswerScores, GroupAccuracy

MOST_TYPES = 15  # question types in the table; VQA v2 has 65
COMMONEST = "commonest answer"

_Group = tuple[str, str]  # the part of the record, and the name in it if the part has several


def show_captions(
    scores: "CaptionScores",
    intervals: "dict[str, Interval]",
    differences: "dict[str, Difference] | None",
    calibration: "Calibration | None",
    *,
    as_json: bool,
) -> None:
    """Print scores of captions as JSON or as a table, and what is suspicious on stderr."""
    if as_json:
        print(json.dumps(captions_record(scores, intervals, differences, calibration)))
    else:
        print_captions(scores, intervals, differences, calibration)
    for warning in scores.warnings:
        print_warning(warning)


def show_answers(
    scores: "AnswerScores",
    baselines: "Mapping[str, AnswerScores]",
    calibration: "Calibration | None",
    *,
    as_json: bool,
) -> None:
    """Print scores of answers as JSON or as a table, and what is suspicious on stderr.

    baselines: as in answers_record; the warnings are those of the scores alone.
    """
    if as_json:
        print(json.dumps(answers_record(scores, baselines, calibration)))
    else:
        print_answers(scores, baselines, calibration)
    for warning in scores.warnings:
        print_warning(warning)


def captions_record(
    scores: "CaptionScores",
    intervals: "dict[str, Interval]",
    differences: "dict[str, Difference] | None",
    calibration: "Calibration | None",
) -> dict[str, object]:
    """Return all scores, those of each picture too, ready for JSON."""
    record: dict[str, object] = {
        "scores": scores.values,
        "intervals": {name: [found.low, found.high] for name, found in intervals.items()},
        "diversity": scores.diversity,
        "pictures": len(scores.pictures),
        "signature": scores.signature,
        "warnings": list(scores.warnings),
        "per_picture": [
            {"image_id": picture}
            | {name: float(values[row]) for name, values in scores.per_picture.items()}
            for row, picture in enumerate(scores.pictures)
        ],
    }
    if differences is not None:
        record["differences"] = {
            name: {"value": gap.value, "interval": [gap.low, gap.high], "p_value": gap.p_value}
            for name, gap in differences.items()
        }
    if calibration is not None:
        record["calibration"] = dataclasses.asdict(calibration)
    return record


def print_captions(
    scores: "CaptionScores",
    intervals: "dict[str, Interval]",
    differences: "dict[str, Difference] | None",
    calibration: "Calibration | None",
) -> None:
    """Print scores as fractions with their intervals, the diversity and the signature."""
    width = max(map(len, (*scores.values, *scores.diversity)))
    heading = f"{'':{width}}  score   95% interval"
    print(heading if differences is None else f"{heading}      difference, 95% interval, p-value")
    for name, value in scores.values.items():
        line = f"{name:{width}}  {value:.4f}"
        if name in intervals:
            line += f"  [{intervals[name].low:.4f}, {intervals[name].high:.4f}]"
        if differences is not None and name in differences:
            gap = differences[name]
            line += f"  {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] p {gap.p_value:.3f}"
        print(line)
    for name, value in scores.diversity.items():
        print(f"{name:{width}}  {value:g}")
    if calibration is not None:
        print(f"{'confidence':{width}}  {calibration.confidence:.4f}, mean over captions")
        print(f"{'right words':{width}}  {calibration.accuracy:.4f}, mean share per caption")
        print(f"{'their gap':{width}}  {calibration.error:.4f}, expected calibration error")
    print(scores.signature)


def answers_record(
    scores: "AnswerScores",
    baselines: "Mapping[str, AnswerScores]",
    calibration: "Calibration | None",
) -> dict[str, object]:
    """Return all accuracies, those of each question type and question too, ready for JSON.

    baselines: name -> scores of other answers to the same questions, with the same options. They
    and the commonest answer are in every group.
    """
    groups = {
        key: {
            "accuracy": group.accuracy,
            "questions": group.questions,
            "baselines": _baselines_of(key, group, baselines),
        }
        for key, group in _groups(scores).items()
    }

    def named(part: str) -> dict[str, object]:
        return {name: group for (key, name), group in groups.items() if key == part}

    record: dict[str, object] = {
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
    if calibration is not None:
        record["calibration"] = dataclasses.asdict(calibration)
    return record


def print_answers(
    scores: "AnswerScores",
    baselines: "Mapping[str, AnswerScores]",
    calibration: "Calibration | None",
) -> None:
    """Print accuracies as fractions, a row per group, a column per baseline, and the signature.

    baselines: as in answers_record.
    """
    groups = _groups(scores)
    for name in list(scores.question_types)[MOST_TYPES:]:
        del groups["question_types", name]
    titles = {key: printable(_title(*key)) for key in groups}
    width = max(map(len, titles.values()))
    interval = f"[{scores.interval.low:.4f}, {scores.interval.high:.4f}]"
    columns = [COMMONEST, *baselines]
    print("  ".join([f"{'':{width}}", "accuracy", "95% interval    ", "questions", *columns]))
    for key, group in groups.items():
        others = _baselines_of(key, group, baselines)
        cells = [
            f"{titles[key]:{width}}",
            f"{group.accuracy:8.4f}",
            f"{interval if key[0] == 'overall' else '':16}",
            f"{group.questions:>9,}",
            *(f"{others[column]:>{len(column)}.4f}" for column in columns),
        ]
        print("  ".join(cells))
    hidden = len(scores.question_types) - MOST_TYPES
    if hidden > 0:
        print(f"{hidden} more question types: --json has all")
    print(f"{COMMONEST}: {printable(scores.commonest_answer)}")
    if calibration is not None:
        print(
            f"confidence: {calibration.confidence:.4f}, mean over answers; "
            f"expected calibration error: {calibration.error:.4f}"
        )
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


def _baselines_of(
    key: _Group, group: "GroupAccuracy", baselines: "Mapping[str, AnswerScores]"
) -> dict[str, float]:
    """Return the accuracy of the commonest answer and of each baseline on the same questions."""
    others = {title: _groups(found)[key].accuracy for title, found in baselines.items()}
    return {COMMONEST: group.commonest} | others
