"""captioner evaluate: caption a data set, or answer its questions, and score the result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.evaluate_attention import EXAMPLES, attention
from captioner.cli.help_pages import OUTPUT, PICTURES, Command, examples, show_help_alone
from captioner.cli.printable import print_error
from captioner.cli.progress import show_progress
from captioner.cli.score_table import COMMONEST, show_answers, show_captions
from captioner.errors import CaptionerError
from captioner.files import atomic_write, check_output

if TYPE_CHECKING:
    from captioner.api import Captioner
    from captioner.data.question_files import AskedQuestion
    from captioner.decoding.outputs import Caption
    from captioner.evaluation import Reply

app = typer.Typer(
    help="Decode a data set and score the result.",
    callback=show_help_alone,
    invoke_without_command=True,
)

GREY_PICTURE = "grey picture"
ASKED_AT_ONCE = 1000


@app.command(
    cls=Command,
    epilog=examples(
        "captioner evaluate captions --images photos --annotations captions_val.json",
        "captioner evaluate captions --images photos --annotations captions_val.json \\",
        "    --beam-size 1 --results results.json --json",
    ),
)
def captions(
    images: options.Images,
    annotations: Annotated[
        Path,
        typer.Option(
            "--annotations",
            "--captions",
            metavar="FILE",
            help="Reference captions.",
            rich_help_panel=PICTURES,
        ),
    ],
    split: options.Split = "val",
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the captions as COCO results.", rich_help_panel=OUTPUT
        ),
    ] = None,
    record: options.Record = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the confidence to these captions, and keep it in the --checkpoint given.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    skip_missing: options.SkipMissing = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The scores as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    beam_size: options.BeamSize = None,
    max_words: options.MaxWords = None,
    length_penalty: options.LengthPenalty = None,
    block_ngrams: options.BlockNgrams = None,
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    batch_size: options.BatchSize = 32,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    precision: options.Precision = options.PrecisionName.FLOAT32,
) -> None:
    """Caption every picture of a set and score the captions.

    Prints BLEU, ROUGE-L and CIDEr with a signature that says how they were computed, and how far
    the confidence of the captions is from the share of their words that a reference has. The
    references are a caption file of any form that data/README.md shows; of one without captions,
    as of a test set, only the results are written. Pictures that cannot be read are named and left
    out, and the exit status is 1. Decoding options that are not given come from the checkpoint.
    """
    arguments = locals()
    changing = ["--record"] * (record is not None) + ["--calibrate"] * calibrate
    _check_outputs(results, checkpoint, changing)

    from captioner.api import Captioner
    from captioner.data.caption_files import has_captions, locate_pictures, read_caption_file
    from captioner.evaluation import describe_decoding
    from captioner.metrics import bootstrap, score_captions
    from captioner.metrics.calibration import caption_calibration, right_shares
    from captioner.metrics.caption_results import references_of
    from captioner.model.checkpoint import add_score, set_confidence
    from captioner.model.confidence import ConfidenceCurve

    content = read_caption_file(annotations, split)
    has_references = has_captions(content)
    if not has_references:
        _require_unscored(results, changing, f"{annotations} has no captions to compare with")
    pictures = locate_pictures(
        content, images, annotations, skip_missing=skip_missing, uncaptioned=not has_references
    )
    model = Captioner.load(checkpoint, device, precision=precision)
    decoding = options.choose_decoding(model.decoding, arguments | {"num_captions": 1})
    paths = [picture.path for picture in pictures]
    captioned = model.caption_each(paths, decoding=decoding, batch_size=batch_size)
    best: dict[int | str, Caption] = {}
    failed = 0
    for picture, (_, result) in zip(
        pictures, show_progress(captioned, total=len(paths)), strict=True
    ):
        if isinstance(result, CaptionerError):
            failed += 1
            print_error(result)
        else:
            best[picture.image_id] = result[0]
    said = {key: caption.text for key, caption in best.items()}
    if results is not None:
        write_records([{"image_id": key, "caption": text} for key, text in said.items()], results)
    if not said or not has_references:
        raise typer.Exit(1 if failed else 0)
    scores = score_captions(
        said,
        references_of(content),
        allow_partial=skip_missing or bool(failed),
        decoding=describe_decoding(decoding) + _precision_suffix(precision),
    )
    intervals = bootstrap.intervals(scores)
    if calibrate and checkpoint is not None:
        curve = ConfidenceCurve.fit(
            [best[key].probabilities for key in scores.pictures], right_shares(scores)
        )
        set_confidence(checkpoint, curve)
        best = {key: replace(caption, confidence_curve=curve) for key, caption in best.items()}
    sure = caption_calibration(scores, {key: caption.confidence for key, caption in best.items()})
    show_captions(scores, intervals, None, sure, as_json=as_json)
    if record is not None and checkpoint is not None:
        kept = {"set": record, "values": scores.values, "signature": scores.signature}
        add_score(checkpoint, kept)
    if failed:
        raise typer.Exit(1)


@app.command(
    cls=Command,
    epilog=examples(
        "captioner evaluate answers --images photos --questions questions_val.json \\",
        "    --annotations annotations_val.json",
        "captioner evaluate answers --images photos --questions questions_test.json \\",
        "    --results results.json",
    ),
)
def answers(
    images: options.Images,
    questions: Annotated[
        Path, typer.Option(metavar="FILE", help="In the form of VQA v2.", rich_help_panel=PICTURES)
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="People's answers to them; none for a test set.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    image_names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON map from image id to file name, if not named as COCO's.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    training_questions: options.TrainingQuestions = None,
    normalise_unanimous: options.NormaliseUnanimous = False,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the answers as VQA results.", rich_help_panel=OUTPUT
        ),
    ] = None,
    record: options.Record = None,
    skip_missing: options.SkipMissing = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The accuracies as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    batch_size: options.BatchSize = 16,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    precision: options.Precision = options.PrecisionName.FLOAT32,
) -> None:
    """Answer every question of a set and score the answers.

    The score is the VQA accuracy; the expected calibration error says how far the probabilities of
    answers are from it. Also scores two baselines that do not see the picture: always
    giving the one best answer, and the same model given an empty grey picture. A model trained with
    --glimpses 0 is a stronger baseline. Without --annotations, as for a test set, only the results
    are written. Pictures that cannot be read are named, their questions are left out, and the exit
    status is 1.
    """
    changing = ["--record"] * (record is not None)
    _check_outputs(results, checkpoint, changing)

    from captioner.api import Captioner
    from captioner.data.question_files import read_question_file, read_questions
    from captioner.evaluation import answer_questions, group_by_picture
    from captioner.files import default_checkpoint
    from captioner.metrics.calibration import calibration
    from captioner.metrics.vqa_accuracy import score_answers
    from captioner.model.checkpoint import add_score

    asked = read_questions(questions, annotations, images, image_names, skip_missing=skip_missing)
    has_answers = any(question.answers for question in asked)
    if not has_answers:
        _require_unscored(results, changing, f"{questions} has no answers without --annotations")
    seen = None
    if training_questions:
        seen = [
            question.text for file in training_questions for question in read_question_file(file)
        ]
    model = Captioner.load(checkpoint, device, precision=precision)
    groups = group_by_picture(asked)
    replies: dict[int | str, Reply] = {}
    failed = 0
    for found in show_progress(answer_questions(model, groups, batch_size), total=len(groups)):
        if isinstance(found, CaptionerError):
            failed += 1
            print_error(found)
        else:
            replies |= found
    said = {key: reply.text for key, reply in replies.items()}
    if results is not None:
        write_records([{"question_id": key, "answer": text} for key, text in said.items()], results)
    if not said or not has_answers:
        raise typer.Exit(1 if failed else 0)
    said_blind = _answer_blind(model, [item for item in asked if item.question_id in said])
    scores, blind = (
        score_answers(
            given,
            asked,
            normalise_unanimous=normalise_unanimous,
            allow_partial=bool(failed),
            seen=seen,
            model=(checkpoint or default_checkpoint()).name + _precision_suffix(precision),
        )
        for given in (said, said_blind)
    )
    sure = calibration(
        [replies[key].confidence for key in scores.questions], scores.per_question.tolist()
    )
    show_answers(scores, {GREY_PICTURE: blind}, sure, as_json=as_json)
    if record is not None and checkpoint is not None:
        kept = {
            "set": record,
            "values": {
                "accuracy": scores.overall.accuracy,
                GREY_PICTURE: blind.overall.accuracy,
                COMMONEST: scores.overall.commonest,
            },
            "signature": scores.signature,
        }
        add_score(checkpoint, kept)
    if failed:
        raise typer.Exit(1)


app.command(cls=Command, epilog=EXAMPLES)(attention)


def _precision_suffix(precision: options.PrecisionName) -> str:
    """What a signature says of it: nothing of float32."""
    return "" if precision == options.PrecisionName.FLOAT32 else f",{precision}"


def _answer_blind(model: "Captioner", asked: "Sequence[AskedQuestion]") -> dict[int | str, str]:
    """The answers to questions about an empty grey picture, by question id."""
    from captioner.data.images import grey_picture
    from captioner.evaluation import answer_questions

    grey = grey_picture(model.config.image_size)
    parts = [asked[i : i + ASKED_AT_ONCE] for i in range(0, len(asked), ASKED_AT_ONCE)]
    answered = answer_questions(model, [(grey, part) for part in parts], batch_size=1)
    said: dict[int | str, str] = {}
    for found in show_progress(answered, total=len(parts), unit="batches"):
        if isinstance(found, CaptionerError):
            raise found
        said |= {key: reply.text for key, reply in found.items()}
    return said


def write_records(records: Sequence[Mapping[str, object]], file: Path) -> None:
    """Write a COCO or VQA result file."""
    atomic_write(file, lambda partial: partial.write_text(json.dumps(records), encoding="utf-8"))


def _check_outputs(results: Path | None, checkpoint: Path | None, changing: Sequence[str]) -> None:
    """Check that what the command makes can be written, before minutes of work.

    changing: the options given that change the checkpoint.
    """
    if results is not None:
        check_output(results)
    if changing and checkpoint is None:
        raise CaptionerError(
            f"{changing[0]} keeps what it finds in the checkpoint; name that one with --checkpoint"
        )


def _require_unscored(results: Path | None, changing: Sequence[str], reason: str) -> None:
    """Check that a set which cannot be scored has a file for its results, and nothing is kept."""
    if results is None:
        raise CaptionerError(f"{reason}, so nothing can be scored; write results with --results")
    if changing:
        raise CaptionerError(f"{reason}, so there is nothing to keep; leave {changing[0]} out")
