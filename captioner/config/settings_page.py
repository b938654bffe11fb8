"""Every setting with its default, range and description, for the command line and the page."""

import json
from dataclasses import dataclass, fields
from typing import Any

from captioner.config.checks import RANGE
from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig

HEAD = """\
# Settings

All settings of [captioner/config/settings.py](../captioner/config/settings.py) and
[captioner/config/run.py](../captioner/config/run.py), by their table in the TOML file of `captioner train --config`. `--set table.key=value` sets any of them, and `captioner settings NAME` prints one. This page is the output of
`captioner settings --markdown`.
"""  # noqa: E501

TABLES = {
    "data": "The files of the datasets; not stored in the checkpoint.",
    "model": "The network; stored in the checkpoint.",
    "training": "How the model is trained.",
    "decoding": "How captions are found in validation; stored in the checkpoint as the default.",
}


@dataclass(frozen=True)
class Setting:
    """One setting as people read it; default is written as in JSON and TOML."""

    table: str
    name: str
    default: str
    values: str
    description: str


def list_settings() -> list[Setting]:
    """All settings, in the order of their tables."""
    ranges: dict[str, dict[str, Any]] = {
        "data": _ranges(DataConfig) | _ranges(SplitConfig),
        "model": _ranges(ModelConfig),
        "training": _ranges(TrainingConfig),
        "decoding": _ranges(DecodingConfig),
    }
    found = []
    for table, settings in RunConfig().tables().items():
        for name, default in settings.items():
            held_out = name not in ranges[table]  # validation's have the name of training's
            allowed = ranges[table][name.removeprefix("val_") if held_out else name]
            description = allowed.description + (", held out for validation" if held_out else "")
            written = json.dumps(default, ensure_ascii=False)
            found.append(Setting(table, name, written, str(allowed), description))
    return found


def _ranges(config: type[Any]) -> dict[str, Any]:
    return {f.name: f.metadata[RANGE] for f in fields(config) if RANGE in f.metadata}


def to_markdown() -> str:
    """The page docs/settings.md."""
    parts = [HEAD]
    for table, about in TABLES.items():
        rows = [
            f"| `{one.name}` | `{one.default}` | {one.values} | {one.description} |"
            for one in list_settings()
            if one.table == table
        ]
        heading = "| setting | default | values | what it does |\n| --- | --- | --- | --- |"
        parts.append("\n".join([f"## `[{table}]`\n\n{about}\n\n{heading}", *rows]) + "\n")
    return "\n".join(parts)
