"""What settings may be, and the checks: a CaptionerError names the setting and its range."""

import dataclasses
import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from captioner.errors import CaptionerError

RANGE = "range"  # of a field's metadata

Value = TypeVar("Value")

MAX_NUMBER = 2**63 - 1  # beyond it torch would not know what to do


def check_names(names: Iterable[str], known: Iterable[str], message: str) -> None:
    """Check that all names are known; the error suggests the nearest or lists all of them."""
    known = list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        rest = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise CaptionerError(f"{message} {', '.join(unknown)}; {rest}")


def check_types(config: Any, prefix: str = "") -> None:
    """Check that each value has the type of its default.

    An int becomes a float where the default is one, a list a tuple. prefix: comes before the names
    of the settings in messages.
    """
    for f in dataclasses.fields(config):
        value, default, name = getattr(config, f.name), f.default, prefix + f.name
        if type(value) is int and abs(value) > MAX_NUMBER:
            raise CaptionerError(
                f"{name} is a number of {len(str(abs(value)))} digits; expected a smaller one"
            )
        if isinstance(default, float) and type(value) is int:
            object.__setattr__(config, f.name, float(value))
        elif isinstance(default, tuple) and isinstance(value, list):
            object.__setattr__(config, f.name, tuple(value))
        elif isinstance(default, tuple) and not isinstance(value, tuple):
            raise CaptionerError(f"{name} is {value!r}; expected a list of texts, as ['a', 'b']")
        elif type(value) is not type(default):
            raise CaptionerError(
                f"{name} is {value!r}, of type {type(value).__name__}; "
                f"expected {type(default).__name__}, for example {default!r}"
            )
        elif isinstance(value, float) and not math.isfinite(value):
            raise CaptionerError(f"{name} is {value}; expected a finite number")


def check_texts(config: Any, prefix: str = "") -> None:
    """Check that all lists hold texts."""
    for name, values in vars(config).items():
        for value in values if isinstance(values, tuple) else ():
            if not isinstance(value, str):
                raise CaptionerError(f"{prefix}{name} holds {value!r}; expected texts in quotes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """What a setting may be, and its one-line description.

    least, most, above: bounds of a number. choices: all that a text may be. values: what else it
    may be, in words. note: a condition that depends on other settings.
    """

    description: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    values: str = ""
    note: str = ""

    def __str__(self) -> str:
        """The range in words, such as 0 to 0.95."""
        if self.above is not None:
            words = f"above {self.above}, up to {self.most}"
        elif self.most is not None:
            words = f"{self.least} to {self.most}"
        elif self.least is not None:
            words = f"{self.least} or more"
        else:
            words = self.values or ", ".join(self.choices) or "true, false"
        return f"{words}; {self.note}" if self.note else words


def setting(default: Value, description: str, **bounds: Any) -> Value:
    """A dataclass field with its default, its one-line description and the bounds of a Range."""
    metadata = {RANGE: Range(description=description, **bounds)}
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(config: Any) -> None:
    """Check that each setting lies within its bounds and is one of its choices."""
    for f in dataclasses.fields(config):
        if RANGE in f.metadata:
            _check_range(f.name, getattr(config, f.name), f.metadata[RANGE])


def _check_range(name: str, value: Any, allowed: Range) -> None:
    least, most, above, choices = allowed.least, allowed.most, allowed.above, allowed.choices
    if choices and value not in choices:
        raise CaptionerError(
            f"{name} is {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}"
        )
    if above is not None and not above < value <= most:
        raise CaptionerError(f"{name} is {value}; it must be above {above} and at most {most}")
    if least is not None and most is not None and not least <= value <= most:
        raise CaptionerError(f"{name} is {value}; it must lie between {least} and {most}")
    if least is not None and not value >= least:
        raise CaptionerError(f"{name} is {value}; it must be at least {least}")
