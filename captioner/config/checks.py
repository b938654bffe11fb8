"""Checks of settings; each raises a CaptionerError that names the setting and what it may be."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from captioner.errors import CaptionerError

MAX_NUMBER = 2**63 - 1  # beyond it torch would not know what to do


def check_names(names: Iterable[str], known: Iterable[str], message: str) -> None:
    """Check that all names are known."""
    known = list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CaptionerError(f"{message} {', '.join(unknown)}; known are {', '.join(known)}")


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


def at_least(config: Any, least: float, *names: str) -> None:
    """Check that these settings are not below `least`."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise CaptionerError(f"{name} is {value}; it must be at least {least}")


def within(config: Any, least: float, most: float, name: str) -> None:
    """Check that this setting lies within these bounds."""
    value = getattr(config, name)
    if not least <= value <= most:
        raise CaptionerError(f"{name} is {value}; it must lie between {least} and {most}")


def one_of(config: Any, name: str, *choices: str) -> None:
    """Check that this setting is one of the choices."""
    value = getattr(config, name)
    if value not in choices:
        raise CaptionerError(
            f"{name} is {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}"
        )
