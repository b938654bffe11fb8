"""The command line: one module a command; nothing but arguments, progress and printing.

Nothing here, nor at the top of a command's module, imports torch or numpy: those load inside the
command functions, so that --help and wrong arguments answer at once.
"""

import sys
from typing import Annotated, NoReturn, cast

import typer

from captioner import CaptionerError, __version__
from captioner.cli import attend, caption

# What Typer raises for unknown options, missing arguments and values of the wrong type. Typer
# brings its own copy of Click, so the parent of its one public name is the right class to catch.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)

app = typer.Typer(
    help="Say what is in a photograph, and show where each word looked.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(caption.caption)
app.command()(attend.attend)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"captioner {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with status 2."""
    print(f"captioner: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Run the command line; every foreseeable failure becomes one line and exit status 2."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        status = app(args=arguments, prog_name="captioner", standalone_mode=False)
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "captioner"
        fail(f"{error.format_message()} See {command} --help.")
    except CaptionerError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
    sys.exit(status)
