"""Text from elsewhere, such as file names and servers' answers, made safe to print."""

import re
import sys

# Control characters, among them the escape that terminals obey, line separators, and what turns
# the direction of writing around.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """The text on one line, without tabs: what a terminal might obey is written as Python does."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def print_error(error: object) -> None:
    """Print an error on stderr, on one line."""
    _print("error", error)


def print_warning(warning: object) -> None:
    """Print a warning on stderr, on one line."""
    _print("warning", warning)


def print_summary(text: str) -> None:
    """Print the last line of a command on stderr: what it wrote, how good it is, what next."""
    print(printable(text), file=sys.stderr, flush=True)


def _print(kind: str, message: object) -> None:
    line = printable(" ".join(str(message).split()))
    print(f"captioner: {kind}: {line}", file=sys.stderr, flush=True)
