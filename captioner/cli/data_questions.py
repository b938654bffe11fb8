"""captioner data questions and balance: questions made from captions, and balanced ones."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import DATA, OUTPUT, examples
from captioner.cli.progress import show_progress

Folder = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder to put the files in.", rich_help_panel=OUTPUT)
]
Name = Annotated[
    str,
    typer.Option(
        help="Ends the files' names: questions_NAME.json.", metavar="NAME", rich_help_panel=OUTPUT
    ),
]

QUESTIONS_EXAMPLES = examples(
    "captioner data questions --captions captions_train.json --output made --name train",
    "captioner data questions --captions own.csv --images photos --output made --name own",
)
BALANCE_EXAMPLES = examples(
    "captioner data balance --questions questions.json --annotations annotations.json \\",
    "    --output balanced --name train",
    "captioner data balance --questions questions.json --annotations annotations.json \\",
    "    --output balanced --name other --seed 1",
)


def questions(
    captions: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="Any caption file that data/README.md shows; may be repeated: captions of the "
            "same picture are joined.",
            rich_help_panel=DATA,
        ),
    ],
    output: Folder,
    name: Name,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Check that the pictures are here; may be repeated.",
            rich_help_panel=DATA,
        ),
    ] = None,
    split: options.Split = "train",
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="The same seed makes the same questions.", metavar="N", rich_help_panel=DATA
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="The table as JSON.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Make balanced questions and answers from captions.

    They are balanced so that guessing without the picture is no use.
    """
    from captioner.data.caption_files import read_caption_file
    from captioner.data.picture_files import require_pictures
    from captioner.questions.balanced_set import (
        join_pictures,
        make_questions,
        summarize,
        write_questions,
    )

    pictures = join_pictures(read_caption_file(file, split).records for file in captions)
    if images:
        names = [record.file_name for record in pictures.values()]
        require_pictures(names, images, captions[0])
    made = make_questions(show_progress(pictures.items(), total=len(pictures)), seed)
    write_questions(output, name, pictures, made, seed)
    summaries = summarize(made)
    if as_json:
        print(json.dumps([dataclasses.asdict(summary) for summary in summaries]))
        return
    print(f"{'kind':<10} {'questions':>9} {'texts':>6} {'answers':>7} {'best blind guess':>16}")
    for found in summaries:
        counts = f"{found.questions:>9} {found.texts:>6} {found.answers:>7}"
        print(f"{found.kind:<10} {counts} {found.blind_accuracy:>16.3f}")


def balance(
    questions: Annotated[
        Path, typer.Option(metavar="FILE", help="In the form of VQA v2.", rich_help_panel=DATA)
    ],
    annotations: Annotated[
        Path, typer.Option(metavar="FILE", help="People's answers to them.", rich_help_panel=DATA)
    ],
    output: Folder,
    name: Name,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="The same seed keeps the same questions.", metavar="N", rich_help_panel=DATA
        ),
    ] = 0,
) -> None:
    """Keep questions that have each of their answers equally often.

    Questions are the same where they are so word for word.
    """
    from captioner.questions.vqa_balancing import write_balanced

    before, after = write_balanced(questions, annotations, output, name, seed)
    print(f"{after} of {before} questions")
