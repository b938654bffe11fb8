"""The command line: one module a command; nothing but arguments, progress and printing.

Nothing here, nor at the top of a command's module, imports torch, numpy or anything else that takes
long: those load inside the command functions, so that --help and wrong arguments answer at once.
"""

import io
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from captioner.cli import (
    ask,
    attend,
    average,
    bulk,
    caption,
    data,
    evaluate,
    export,
    gradients,
    info,
    match,
    score,
    serve,
    settings,
    train,
)
from captioner.cli.help_pages import Command, examples
from captioner.cli.printable import print_error, print_warning
from captioner.cli.usage_errors import UsageError, usage_message
from captioner.errors import CaptionerError, CaptionerWarning
from captioner.version import __version__

app = typer.Typer(
    help="Say what is in a photograph, answer questions about it, and show where it looked.",
    epilog=examples(
        "captioner caption photo.jpg",
        'captioner ask photo.jpg "what color is the dog?"',
        "captioner COMMAND --help",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(cls=Command, epilog=caption.EXAMPLES)(caption.caption)
app.command(cls=Command, epilog=bulk.EXAMPLES)(bulk.bulk)
app.command(cls=Command, epilog=ask.EXAMPLES)(ask.ask)
app.command(cls=Command, epilog=attend.EXAMPLES)(attend.attend)
app.command(cls=Command, epilog=match.EXAMPLES)(match.match)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(score.app, name="score")
app.command(cls=Command, epilog=train.EXAMPLES)(train.train)
app.command(cls=Command, epilog=average.EXAMPLES)(average.average)
app.add_typer(data.app, name="data")
app.command(cls=Command, epilog=info.EXAMPLES)(info.info)
app.command(cls=Command, epilog=export.EXAMPLES)(export.export)
app.command(cls=Command, epilog=settings.EXAMPLES)(settings.settings)
app.command(cls=Command, epilog=gradients.EXAMPLES)(gradients.gradients)
app.command(cls=Command, epilog=serve.EXAMPLES)(serve.serve)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"captioner {__version__}")
        raise typer.Exit()


@app.callback()
def captioner(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit status."""
    end_process(run(sys.argv[1:] or ["--help"]))


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print one of captioner's warnings as one line on stderr."""
    print_warning(message)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; a foreseeable failure is one line and 2."""
    warnings.simplefilter("default", CaptionerWarning)
    warnings.showwarning = show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # print file names that are not UTF-8 as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        status = app(args=arguments, prog_name="captioner", standalone_mode=False)
        if sys.stdout:  # None where it was closed from the start
            sys.stdout.flush()
    except UsageError as error:
        return fail(usage_message(error, arguments))
    except CaptionerError as error:
        return fail(str(error))
    except OSError as error:
        # If it was stdout that failed, it would fail once more when it is flushed at the end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        where = f"{error.filename}: " if error.filename else ""
        return fail(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status or 0  # of an interrupt, typer makes 130 as well


def fail(message: str) -> int:
    """Print one line on stderr and return exit status 2."""
    print_error(message)
    return 2


def end_process(status: int) -> NoReturn:
    """End the process at once, with nothing left to write.

    Python would first wait for threads that are still at their batches after an interrupt, and
    then take torch apart, which lasts a third as long as captioning a picture.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while the first is obeyed
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # closed by who read it, or from the start
            stream.flush()
    os._exit(status)
