"""captioner bulk: captions for an archive of pictures, on one machine or on a Ray cluster."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import CLUSTER, OUTPUT, PICTURES, examples
from captioner.cli.printable import print_error, print_summary, printable
from captioner.cli.progress import Progress
from captioner.errors import CaptionerError

if TYPE_CHECKING:
    from captioner.bulk.run import Status

EXAMPLES = examples(
    "captioner bulk photos --output captions",
    "captioner bulk 'shards/{000..099}.tar' --output captions --format parquet",
    "captioner bulk 's3://bucket/*.parquet' --output s3://bucket/captions --engine ray",
)


def bulk(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a list (.txt), .parquet files or .tar shards; patterns such as * and "
            "{00..99}; paths or addresses such as s3://bucket/key.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="A new folder, or that of a run to go on.", rich_help_panel=OUTPUT
        ),
    ],
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORM", help="jsonl or parquet.", rich_help_panel=OUTPUT),
    ] = "jsonl",
    pictures_per_part: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Of a folder or list, how many go into a file of the output.",
            rich_help_panel=PICTURES,
        ),
    ] = 1000,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of Parquet files: where the bytes, paths or addresses are.",
            rich_help_panel=PICTURES,
            show_default="picture, image, bytes, path, url ...",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="local: this process; ray: a cluster.", rich_help_panel=CLUSTER
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The cluster, or auto for the one of this machine.",
            rich_help_panel=CLUSTER,
            show_default="a new one here",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default="as many as fit", rich_help_panel=CLUSTER),
    ] = None,
    cpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="N", help="Processors.", show_default="1", rich_help_panel=CLUSTER
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="GPUs, such as 0.25.",
            show_default="1 where there are any",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    beam_size: options.BeamSize = None,
    max_words: options.MaxWords = None,
    length_penalty: options.LengthPenalty = None,
    block_ngrams: options.BlockNgrams = None,
    batch_size: options.BatchSize = 32,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
) -> None:
    """Caption an archive of pictures into files of captions.

    Each line or row is a picture with its caption, the mean probability of its words, or its error.
    Start it again to go on after a break: what is done is skipped. The exit status is 1 if a
    picture or a part could not be read. A cluster needs the extra `cluster`.
    """
    arguments = locals()
    if engine not in ("local", "ray"):
        raise CaptionerError(f"--engine is {engine!r}; expected local or ray")
    of_cluster = (address, workers, cpus_per_worker, gpus_per_worker)
    if engine == "local" and of_cluster != (None,) * 4:
        raise CaptionerError("--address, --workers and what they take are for --engine ray; add it")

    from captioner.api import Captioner
    from captioner.bulk.engines import Cluster
    from captioner.bulk.run import Archive, caption_archive

    model = Captioner.load(checkpoint, device if engine == "local" else "cpu", runtime=None)
    stored = replace(model.decoding, num_captions=1)
    statuses = caption_archive(
        Archive(source, output, form, pictures_per_part, column),
        model,
        options.choose_decoding(stored, arguments),
        checkpoint=checkpoint,
        batch_size=batch_size,
        device=device,
        cluster=Cluster(address, workers, cpus_per_worker or 1, gpus_per_worker)
        if engine == "ray"
        else None,
    )
    _follow(statuses, output)


def _follow(statuses: "Iterator[Status]", output: str) -> None:
    """Show how far the run is, and at its end what there is; exit with 1 if anything failed."""
    pictures = failed = problems = 0
    # What Ray prints of its own, such as that a worker has ended, belongs on stderr.
    with redirect_stdout(sys.stderr), Progress() as progress:
        for status in statuses:
            outcome = status.outcome
            if outcome is not None:
                pictures += outcome.pictures
                failed += outcome.failed
                if outcome.problem is not None:
                    problems += 1
                    print_error(outcome.problem)
            elif status.done:
                progress.note(f"{status.done} of {status.parts} parts are done already")
            detail = f"{pictures} pictures, {failed} unreadable"
            progress.update("captioning", status.done, status.parts, unit="parts", detail=detail)
    print(printable(output))
    damaged = f", {problems} parts damaged or left out" if problems else ""
    print_summary(f"{output}: {pictures} pictures, {failed} of them unreadable{damaged}")
    if failed or problems:
        raise typer.Exit(1)
