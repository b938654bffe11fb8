"""The page of settings is what the code says, and the code does what it says."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from captioner.config.checks import RANGE
from captioner.config.run import DataConfig, RunConfig
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig
from captioner.config.settings_page import list_settings, to_markdown
from captioner.errors import CaptionerError

CONFIGS = (DataConfig, ModelConfig, TrainingConfig, DecodingConfig)
RANGED = [(kind, f) for kind in CONFIGS for f in dataclasses.fields(kind) if RANGE in f.metadata]


def test_the_page_is_what_the_command_prints() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == to_markdown()


def test_every_setting_is_listed_with_its_default() -> None:
    written = {(one.table, one.name): one.default for one in list_settings()}
    tables = RunConfig().tables()
    assert written == {
        (table, name): json.dumps(value)
        for table, settings in tables.items()
        for name, value in settings.items()
    }
    assert all(one.description and one.values for one in list_settings())


@pytest.mark.parametrize(("kind", "field"), RANGED, ids=lambda part: getattr(part, "name", ""))
def test_what_is_outside_the_stated_range_is_rejected(kind: type, field: dataclasses.Field) -> None:
    allowed, whole = field.metadata[RANGE], isinstance(field.default, int)
    wrong = [value for value in (allowed.above,) if value is not None]
    if allowed.least is not None:
        wrong.append(allowed.least - 1 if whole else math.nextafter(allowed.least, -1))
    if allowed.most is not None:
        wrong.append(allowed.most + 1 if whole else math.nextafter(allowed.most, 1e9))
    wrong += ["no such choice"] if allowed.choices else []
    for value in wrong:
        with pytest.raises(CaptionerError, match=f"^{field.name} is "):
            kind(**{field.name: value if whole or isinstance(value, str) else float(value)})
