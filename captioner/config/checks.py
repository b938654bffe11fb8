"""What settings are refused, each with one line that names it and says what it may be."""

import dataclasses
import math
from typing import Any

from captioner.errors import CaptionerError


def check_types(config: Any) -> None:
    """Refuse a value of another type than its default; a whole number serves as a float, a list as
    the tuple that it becomes."""
    for f in dataclasses.fields(config):
        value, default = getattr(config, f.name), f.default
        if isinstance(default, float) and type(value) is int:
            try:
                object.__setattr__(config, f.name, float(value))
            except OverflowError as error:
                raise CaptionerError(
                    f"{f.name} is a number of {len(str(value))} digits; expected a smaller one"
                ) from error
        elif isinstance(default, tuple) and isinstance(value, list):
            object.__setattr__(config, f.name, tuple(value))
        elif isinstance(default, tuple) and not isinstance(value, tuple):
            raise CaptionerError(f"{f.name} is {value!r}; expected a list of texts, as ['a', 'b']")
        elif type(value) is not type(default):
            raise CaptionerError(
                f"{f.name} is {value!r}, of type {type(value).__name__}; "
                f"expected {type(default).__name__}, for example {default!r}"
            )
        elif isinstance(value, float) and not math.isfinite(value):
            raise CaptionerError(f"{f.name} is {value}; expected a finite number")


def check_texts(config: Any, *names: str) -> None:
    """Refuse a setting of one of these names that is a list of anything but texts."""
    for name in names:
        for text in getattr(config, name):
            if not isinstance(text, str):
                raise CaptionerError(f"{name} holds {text!r}; expected texts in quotes")


def at_least(config: Any, least: float, *names: str) -> None:
    """Refuse a setting of one of these names that is below `least`."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise CaptionerError(f"{name} is {value}; it must be at least {least}")


def within(config: Any, least: float, most: float, name: str) -> None:
    """Refuse the setting of this name where it lies outside these bounds."""
    value = getattr(config, name)
    if not least <= value <= most:
        raise CaptionerError(f"{name} is {value}; it must lie between {least} and {most}")


def one_of(config: Any, name: str, *choices: str) -> None:
    """Refuse the setting of this name where it is none of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise CaptionerError(
            f"{name} is {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}"
        )
