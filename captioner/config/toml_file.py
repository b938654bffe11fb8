"""Settings in a TOML file: of one run or of several stages; written so that they read the same."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from captioner.config.settings import (
    CACHE_FOLDER,
    DROPOUTS,
    NO_FILE,
    DataConfig,
    DecodingConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    from_dict,
)
from captioner.errors import CaptionerError

# What a run that starts from a checkpoint does not choose itself.
_DECIDED = {f.name for f in dataclasses.fields(ModelConfig)} - set(DROPOUTS)
_DECIDED |= {"encoder_weights", "min_count"}


def read_toml(file: Path) -> RunConfig:
    """Read a TOML file with the tables [data], [model], [training] and [decoding], all optional.

    Paths are relative to the file's folder. Raises CaptionerError for a file that cannot
    be read, one with stages, and for tables, settings or values that do not exist.
    """
    stages = read_stages(file)
    if list(stages) != [""]:
        raise CaptionerError(f"{file}: has stages; expected the settings of one run")
    return stages[""]


def read_stages(file: Path) -> dict[str, RunConfig]:
    """The stages of a TOML file by their names, in order; one named "" where it has none.

    Each of the file's [[stages]] has a name and may have the tables of `read_toml`. What it does
    not say is as in the file's own tables. Raises what `read_toml` does.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaptionerError(f"{file}: cannot be read as a TOML file ({error})") from error
    if "stages" not in tables:
        return {"": _run(file, {}, tables)}
    stages = tables.pop("stages")
    listed = isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)
    if not stages or not listed:
        raise CaptionerError(f"{file}: stages is no list of tables; write each as [[stages]]")
    runs: dict[str, RunConfig] = {}
    for stage in stages:
        name = stage.pop("name", None)
        taken = [*runs, CACHE_FOLDER]
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name) or name in taken:
            raise CaptionerError(
                f"{file}: a stage has the name {name!r}; expected one of letters, digits, "
                f"hyphens and underscores, not {CACHE_FOLDER}, that no other has: its folder is "
                "called so"
            )
        runs[name] = _run(file, tables, stage)
    return runs


def _run(file: Path, shared: dict[str, Any], own: dict[str, Any]) -> RunConfig:
    """The run of a stage's own tables over those that it shares with the others."""
    kinds = {f.name: f.default_factory for f in dataclasses.fields(RunConfig)}
    for tables in (shared, own):
        unknown = [
            name for name in tables if name not in kinds or not isinstance(tables[name], dict)
        ]
        if unknown:
            raise CaptionerError(
                f"{file}: unknown entry {', '.join(unknown)}; "
                f"expected tables [{'], ['.join(kinds)}]"
            )

    def settings(table: str) -> dict[str, Any]:
        return {**shared.get(table, {}), **own.get(table, {})}

    run = RunConfig(
        data=from_dict(DataConfig, settings("data"), f"{file} [data]"),
        model=from_dict(ModelConfig, settings("model"), f"{file} [model]"),
        training=from_dict(TrainingConfig, settings("training"), f"{file} [training]"),
        decoding=from_dict(DecodingConfig, settings("decoding"), f"{file} [decoding]"),
    )
    return _under(file.parent, run)


def _under(folder: Path, run: RunConfig) -> RunConfig:
    """The same settings with their relative paths taken from a folder."""

    def path_of(name: str) -> str:
        return name if name in NO_FILE else str(folder / name)

    training = dataclasses.replace(
        run.training,
        start_from=path_of(run.training.start_from),
        encoder_weights=path_of(run.training.encoder_weights),
    )
    data = {
        name: tuple(path_of(path) for path in paths)
        for name, paths in dataclasses.asdict(run.data).items()
    }
    return dataclasses.replace(run, training=training, data=DataConfig(**data))


def to_toml(run: RunConfig, stage: str = "") -> str:
    """The settings as TOML that reads back to the same, from any folder; stage: as one of several.

    The texts of several stages, one after the other, are a file for `read_stages`.
    """
    run = _under(Path.cwd(), run)
    lines = ["[[stages]]", f"name = {_value(stage)}", ""] if stage else []
    for table in dataclasses.fields(run):
        lines.append(f"[{'stages.' * bool(stage)}{table.name}]")
        settings = dataclasses.asdict(getattr(run, table.name))
        if run.training.start_from:  # what that checkpoint decides would say what is not so
            defaults = dataclasses.asdict(getattr(RunConfig(), table.name))
            settings = {
                name: value
                for name, value in settings.items()
                if name not in _DECIDED or value != defaults[name]
            }
        lines += [f"{name} = {_value(value)}" for name, value in settings.items()]
        lines.append("")
    return "\n".join(lines)


def _value(value: Any) -> str:
    """A setting as TOML, which takes JSON's numbers, booleans, lists and strings.

    Not its escapes in two halves of characters beyond U+FFFF, and not DEL unescaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
