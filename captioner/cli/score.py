"""captioner score: score results that are in files; no model, no Java."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.answer_table import answers_record, print_answers
from captioner.errors import CaptionerError
from captioner.files import atomic_write

if TYPE_CHECKING:
    from captioner.metrics import CaptionScores
    from captioner.metrics.bootstrap import Difference, Interval

app = typer.Typer()


@app.callback()
def score() -> None:
    """Score result files that exist; no model is run."""


@app.command()
def captions(
    results: Annotated[Path, typer.Argument(help="Captions, as a COCO result file.")],
    annotations: Annotated[Path, typer.Argument(help="References, as COCO caption annotations.")],
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Other results: is the difference more than chance?"),
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Score the pictures that all files have.")
    ] = False,
    training: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Training annotations: how many captions are novel?"),
    ] = None,
    meteor: Annotated[bool, typer.Option("--meteor", help="METEOR too (needs Java).")] = False,
    spice: Annotated[bool, typer.Option("--spice", help="SPICE too (needs Java).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The scores as JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with the worst and best pictures."),
    ] = None,
) -> None:
    """Score captions with BLEU, ROUGE-L and CIDEr, equal to the official COCO code.

    Each score comes with its 95% interval over pictures (1,000 bootstrap draws), and all with a
    signature: scores compare where the signatures are equal.
    """
    from captioner.metrics import bootstrap, score_captions
    from captioner.metrics.caption_results import read_references, read_results, shared_pictures
    from captioner.visualization import score_report as report

    if html is not None and not html.parent.is_dir():
        raise CaptionerError(f"{html}: there is no folder {html.parent}; make it first")
    said, references = read_results(results), read_references(annotations)
    other = None if against is None else read_results(against)
    seen = None
    if training is not None:
        seen = [text for texts in read_references(training).values() for text in texts]
    if other is not None and allow_partial:
        said, other = shared_pictures(said, other)

    def score_one(captions: dict[int | str, str]) -> "CaptionScores":
        return score_captions(
            captions,
            references,
            seen=seen,
            allow_partial=allow_partial,
            with_meteor=meteor,
            with_spice=spice,
        )

    scores = score_one(said)
    intervals = bootstrap.intervals(scores)
    differences = None
    if other is not None:
        differences = bootstrap.differences(scores, score_one(other))
    if html is not None:
        page = report.write_page(results.name, scores, intervals, said, references)
        atomic_write(html, lambda partial: partial.write_text(page, encoding="utf-8"))
    if as_json:
        print(json.dumps(as_record(scores, intervals, differences)))
    else:
        print_table(scores, intervals, differences)
    for warning in scores.warnings:
        typer.echo(f"captioner: warning: {warning}", err=True)


@app.command()
def answers(
    results: Annotated[Path, typer.Argument(help="Answers, as a VQA result file.")],
    questions: Annotated[Path, typer.Argument(help="Questions, in the form of VQA v2.")],
    annotations: Annotated[Path, typer.Argument(help="People's answers, as VQA annotations.")],
    normalise_unanimous: options.NormaliseUnanimous = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Score the questions that all files have.")
    ] = False,
    training_questions: options.TrainingQuestions = None,
    as_json: Annotated[bool, typer.Option("--json", help="The accuracies as JSON.")] = False,
) -> None:
    """Score answers with the VQA accuracy, equal to the official code, or exact match.

    Where people gave one answer a question, as in DAQUAR, a right answer is an equal one. The 95%
    interval is over pictures (1,000 bootstrap draws). Beside each accuracy stands that of always
    giving the answer that does best on these questions.
    """
    from captioner.data.question_files import read_question_file
    from captioner.metrics.answer_results import read_answers
    from captioner.metrics.vqa_accuracy import score_answers

    asked = read_question_file(questions, annotations)
    seen = None
    if training_questions:
        seen = [record.text for file in training_questions for record in read_question_file(file)]
    scores = score_answers(
        read_answers(results),
        asked,
        normalise_unanimous=normalise_unanimous,
        allow_partial=allow_partial,
        seen=seen,
    )
    if as_json:
        print(json.dumps(answers_record(scores)))
    else:
        print_answers(scores)
    if seen is not None and scores.unseen is None:
        typer.echo("captioner: every question stands in the training questions too", err=True)


def as_record(
    scores: "CaptionScores",
    intervals: "dict[str, Interval]",
    differences: "dict[str, Difference] | None",
) -> dict[str, object]:
    """Everything that the table says, and each picture's scores, ready for JSON."""
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
    return record


def print_table(
    scores: "CaptionScores",
    intervals: "dict[str, Interval]",
    differences: "dict[str, Difference] | None",
) -> None:
    """Print scores as fractions with their intervals, how the words vary, and the signature."""
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
    print(scores.signature)
