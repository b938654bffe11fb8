"""captioner score: score result files, without a model and without Java."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, SCORES, Command, examples, show_help_alone
from captioner.cli.printable import print_warning
from captioner.cli.score_table import show_answers, show_captions
from captioner.errors import CaptionerError
from captioner.files import atomic_write, check_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from captioner.metrics import CaptionScores
    from captioner.metrics.result_files import Id

REPORT_PIXELS = 320  # the longer side of a picture on the page

app = typer.Typer(
    help="Score result files; no model is run.",
    callback=show_help_alone,
    invoke_without_command=True,
)


@app.command(
    cls=Command,
    epilog=examples(
        "captioner score captions results.json captions_val.json",
        "captioner score captions results.json captions_val.json --against others.json",
        "captioner score captions results.json val.json --html scores.html --images photos",
    ),
)
def captions(
    results: Annotated[
        Path, typer.Argument(help="Captions, as a COCO result file.", metavar="RESULTS")
    ],
    annotations: Annotated[
        Path, typer.Argument(help="References: a caption file of any form.", metavar="ANNOTATIONS")
    ],
    split: options.Split = "val",
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Other results: is the difference more than chance?",
            rich_help_panel=SCORES,
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Score the pictures that all files have.",
            rich_help_panel=SCORES,
        ),
    ] = False,
    training: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Training annotations: how many captions are novel?",
            rich_help_panel=SCORES,
        ),
    ] = None,
    meteor: Annotated[
        bool, typer.Option("--meteor", help="METEOR too (needs Java).", rich_help_panel=SCORES)
    ] = False,
    spice: Annotated[
        bool, typer.Option("--spice", help="SPICE too (needs Java).", rich_help_panel=SCORES)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The scores as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page with the worst and best pictures.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Show the pictures of this folder on the page of --html.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score captions with BLEU, ROUGE-L and CIDEr.

    They equal those of the official COCO code. Each score comes with its 95% interval over pictures
    (1,000 bootstrap draws), and all with a signature: scores compare where the signatures are
    equal.
    """
    from captioner.metrics import bootstrap, score_captions
    from captioner.metrics.caption_results import read_references, shared_pictures
    from captioner.metrics.result_files import read_results, with_known_ids
    from captioner.visualization import score_report

    if html is not None:
        check_output(html)
    elif images:
        raise CaptionerError("--images shows pictures on the page of --html; give --html FILE too")
    references = read_references(annotations, split)

    def read(file: Path) -> dict[int | str, str]:
        return with_known_ids(read_results(file), list(references), "picture")

    said, other = read(results), None if against is None else read(against)
    seen = None
    if training is not None:
        seen = [text for texts in read_references(training, "train").values() for text in texts]
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
    comparison = differences = None
    if against is not None and other is not None:
        others = score_one(other)
        differences = bootstrap.differences(scores, others)
        comparison = score_report.Comparison(against.name, other, others, differences)
    if html is not None:
        rows = score_report.shown_pictures(scores, comparison)
        shown = [scores.pictures[row] for row in rows]
        page = score_report.page_html(
            results.name,
            scores,
            intervals,
            said,
            references,
            comparison=comparison,
            pictures=small_pictures(shown, annotations, split, images or []),
        )
        atomic_write(html, lambda partial: partial.write_text(page, encoding="utf-8"))
    show_captions(scores, intervals, differences, None, as_json=as_json)


def small_pictures(
    shown: "Sequence[Id]", annotations: Path, split: str, images: list[Path]
) -> "dict[Id, str]":
    """The pictures of these ids in the folders, small, as data: addresses; warns of missing ones.

    Raises CaptionerError where one of the folders is not there.
    """
    if not images:
        return {}
    from captioner.data.caption_files import read_caption_file
    from captioner.data.images import open_picture
    from captioner.data.picture_files import find_pictures
    from captioner.visualization.preview import data_uri

    wanted = set(shown)
    names = {
        record.image_id: record.file_name
        for record in read_caption_file(annotations, split).records
        if record.image_id in wanted and record.file_name
    }
    paths = find_pictures(names.values(), images).paths
    found = {}
    for picture, name in names.items():
        with suppress(CaptionerError):  # one that cannot be read is not shown
            if name in paths:
                found[picture] = data_uri(open_picture(paths[name]), pixels=REPORT_PIXELS)
    if len(found) < len(wanted):
        folders = ", ".join(map(str, images))
        missing = f"{len(wanted) - len(found)} of {len(wanted)} pictures"
        print_warning(f"{missing} cannot be shown: no such file that can be read in {folders}")
    return found


@app.command(
    cls=Command,
    epilog=examples(
        "captioner score answers results.json questions_val.json annotations_val.json",
        "captioner score answers results.json questions_val.json annotations_val.json --json",
    ),
)
def answers(
    results: Annotated[
        Path, typer.Argument(help="Answers, as a VQA result file.", metavar="RESULTS")
    ],
    questions: Annotated[
        Path, typer.Argument(help="Questions, in the form of VQA v2.", metavar="QUESTIONS")
    ],
    annotations: Annotated[
        Path, typer.Argument(help="People's answers, as VQA annotations.", metavar="ANNOTATIONS")
    ],
    normalise_unanimous: options.NormaliseUnanimous = False,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Score the questions that all files have.",
            rich_help_panel=SCORES,
        ),
    ] = False,
    training_questions: options.TrainingQuestions = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The accuracies as JSON.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Score answers with the VQA accuracy, or exact match.

    The accuracy equals that of the official code. Where people gave one answer per question, as in
    DAQUAR, a right answer is an equal one. The 95% interval is over pictures (1,000 bootstrap
    draws). Beside each accuracy is that of always giving the answer that does best on these
    questions.
    """
    from captioner.data.question_files import read_question_file
    from captioner.metrics.result_files import read_answers
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
    show_answers(scores, {}, None, as_json=as_json)
