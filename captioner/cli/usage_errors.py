"""Wrong options and arguments in one line: what was given, what was expected, what to do."""

import re
from difflib import get_close_matches
from typing import Any, cast

import typer

# What Typer raises for unknown options, missing arguments and values of the wrong type. Typer
# brings its own copy of Click, so the parent of its one public name is the right class to catch.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)


def usage_message(error: typer.BadParameter, arguments: list[str]) -> str:
    """The message for an error of Typer's, ending in the command whose help says more."""
    # Typer does not say in which command an option lacks its value.
    command = error.ctx.command_path if error.ctx else " ".join(["captioner", *arguments[:1]])
    message = _wrong_value(error) or _unknown_option(error) or error.format_message()
    # Of a command that does not exist, Typer writes the nearest as a sentence of its own.
    message = re.sub(r"\. Did you mean (.*)\?$", r" (did you mean \1?)", message)
    return f"{message.rstrip('.')}; see {command} --help"


def _unknown_option(error: Any) -> str | None:
    """The message for an option that the command does not have, or None for other errors."""
    if not hasattr(error, "possibilities") or error.ctx is None:
        return None
    known = [option for param in error.ctx.command.get_params(error.ctx) for option in param.opts]
    nearest = nearest_option(error.option_name, known)
    return f"{error.message} (did you mean {nearest}?)" if nearest else error.message


def nearest_option(given: str, known: list[str]) -> str | None:
    """The option that was probably meant, if there is one.

    Underscores count as hyphens; of options that begin as given the shortest is meant, else the
    one most similar.
    """
    given = given.replace("_", "-").lower()
    known = [option for option in known if option.startswith("--")]
    begun = sorted((option for option in known if option.startswith(given)), key=len)
    return next(iter(begun or get_close_matches(given, known, n=1)), None)


def _wrong_value(error: Any) -> str | None:
    """The message for a value of the wrong type or out of range, or None for other errors."""
    details = getattr(error.__cause__, "errors", None)  # pydantic's, by which Typer checks values
    if details is None or not getattr(error, "param", None):
        return None
    detail = details()[0]
    kind, bounds = detail["type"], detail.get("ctx", {})
    if "ge" in bounds:
        expected = f"{bounds['ge']:g} or more"
    elif "le" in bounds:
        expected = f"{bounds['le']:g} or less"
    elif kind.startswith("int"):
        expected = "a whole number"
    elif kind.startswith("float"):
        expected = "a number"
    else:
        return None
    name = error.param.opts[-1] if error.param.opts else error.param.name
    return f"{name} is {detail['input']!r}; expected {expected}"
