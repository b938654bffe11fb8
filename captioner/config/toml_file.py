"""The settings of a run, or of a run in several stages, as a TOML file: reading and writing."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from captioner.config.run import CACHE_FOLDER, KEYWORDS, DataConfig, RunConfig
from captioner.config.settings import DROPOUTS, DecodingConfig, ModelConfig
from captioner.errors import CaptionerError
from captioner.files import remote_address

# The settings that a run which starts from a checkpoint takes from it.
_FROM_CHECKPOINT = {f.name for f in dataclasses.fields(ModelConfig)} - set(DROPOUTS)
_FROM_CHECKPOINT |= {"encoder_weights"}


def read_stages(file: Path) -> dict[str, RunConfig]:
    """The stages of a TOML file by their names, in order; one named "" where it has none.

    The file has the tables [data], [model], [training] and [decoding], all optional. Each of its
    [[stages]] has a name and may have the same tables; what it does not set is as in the file's
    own. Paths are relative to the file's folder. Raises CaptionerError for a file that cannot be
    read, and for tables, settings or values that do not exist.
    """
    tables = _read_tables(file)
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


def read_saved_stages(file: Path) -> dict[str, RunConfig]:
    """The stages of a run's own settings.toml, as `to_toml` wrote it.

    Raises what `read_stages` does, and CaptionerError for a file that is empty or cut off, which
    would otherwise be filled up with default values.
    """
    stages = read_stages(file)
    tables = _read_tables(file)
    last = tables["stages"][-1] if "stages" in tables else tables
    if dataclasses.fields(DecodingConfig)[-1].name not in last.get("decoding", {}):
        raise CaptionerError(
            f"{file}: empty or cut off (the settings that end it are missing); put back a copy of "
            "it, or start anew in another folder"
        )
    return stages


def _read_tables(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CaptionerError(f"cannot read {file}: {error.strerror}") from error
    # A plain ValueError is a number of too many digits.
    except (ValueError, RecursionError) as error:
        raise CaptionerError(f"{file}: cannot be read as a TOML file ({error})") from error


def _run(file: Path, shared: dict[str, Any], own: dict[str, Any]) -> RunConfig:
    """The run with a stage's own tables, and for the rest those of all stages."""
    run = RunConfig()
    for tables in (shared, own):
        for name, settings in tables.items():
            if not isinstance(settings, dict):
                raise CaptionerError(
                    f"{file}: {name} is outside a table; expected tables "
                    f"[{'], ['.join(run.tables())}] with the settings in them"
                )
    merged = {name: shared.get(name, {}) | own.get(name, {}) for name in {**shared, **own}}
    return _with_absolute_paths(run.changed(merged, str(file)), file.parent)


def _with_absolute_paths(run: RunConfig, folder: Path) -> RunConfig:
    """The same settings with their relative paths taken from a folder."""

    def resolve(name: str, path: str) -> str:
        if path in KEYWORDS.get(name.removeprefix("val_"), ()):
            return path
        return remote_address(path) or str(folder / path)

    training = dataclasses.replace(
        run.training,
        start_from=resolve("start_from", run.training.start_from),
        encoder_weights=resolve("encoder_weights", run.training.encoder_weights),
    )
    data = {
        name: tuple(resolve(name, path) for path in value) if isinstance(value, tuple) else value
        for name, value in run.data.settings().items()
    }
    return dataclasses.replace(run, training=training, data=DataConfig.from_settings(data))


def to_toml(run: RunConfig, stage: str = "") -> str:
    """The settings as TOML that reads back to the same, from any folder.

    stage: the name of the stage, of a run that has several. The texts of all stages, one after the
    other, are a file for `read_stages`.
    """
    run = _with_absolute_paths(run, Path.cwd())
    may_start = stage or run.training.start_from  # from a checkpoint
    lines = ["[[stages]]", f"name = {_value(stage)}", ""] if stage else []
    for table, settings in run.tables().items():
        lines.append(f"[{'stages.' * bool(stage)}{table}]")
        for name, value in settings.items():
            taken = may_start and name in _FROM_CHECKPOINT
            if not taken or run.is_chosen(table, name):
                lines.append(f"{name} = {_value(value)}")
        lines.append("")
    return "\n".join(lines)


def _value(value: Any) -> str:
    """A setting as TOML, whose numbers, booleans, lists and strings are those of JSON.

    Except that TOML has no surrogate pairs as escapes and wants DEL escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
