"""A caption file before its form is known, and what recognises and reads a form."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from captioner.data.records import CaptionFile, parse_json, read_text


class CaptionSource:
    """A file, or a folder, that holds captions; read and parsed once, when first asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def text(self) -> str:
        """All of the text; CaptionerError where it cannot be read."""
        return read_text(self.file)

    @cached_property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return next((line for line in self.text.split("\n") if line.strip()), "")

    @cached_property
    def looks_like_json(self) -> bool:
        """Whether the text begins as a JSON list or object does."""
        return self.text.lstrip()[:1] in ("{", "[") or self.file.suffix.lower() == ".json"

    def parsed_json(self) -> Any:
        """The value of a JSON file, None of another; CaptionerError for a broken one."""
        return self._json if self.looks_like_json else None

    @cached_property
    def _json(self) -> Any:
        return parse_json(self.text, f"{self.file}:")


class CaptionReader(NamedTuple):
    """A row of the table of caption file forms."""

    name: str  # for the message that lists them
    recognises: Callable[[CaptionSource], bool]
    read: Callable[[CaptionSource], CaptionFile]  # raises CaptionerError that names the place
