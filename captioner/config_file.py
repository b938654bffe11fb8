"""Settings in a TOML file: read, and written so that they are read back the same."""

import dataclasses
import json
import tomllib
from pathlib import Path

from captioner.config import (
    NO_FILE,
    DataConfig,
    DecodingConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    from_dict,
)
from captioner.errors import CaptionerError


def read_toml(file: Path) -> RunConfig:
    """Read a TOML file with the tables [data], [model], [training] and [decoding], all optional.

    Paths are relative to the file's folder. Raises CaptionerError for a file that cannot
    be read and for tables, settings or values that do not exist.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaptionerError(f"{file}: cannot be read as a TOML file ({error})") from error
    kinds = {f.name: f.default_factory for f in dataclasses.fields(RunConfig)}
    unknown = [name for name in tables if name not in kinds or not isinstance(tables[name], dict)]
    if unknown:
        raise CaptionerError(
            f"{file}: unknown entry {', '.join(unknown)}; expected tables [{'], ['.join(kinds)}]"
        )
    run = RunConfig(
        data=from_dict(DataConfig, tables.get("data", {}), f"{file} [data]"),
        model=from_dict(ModelConfig, tables.get("model", {}), f"{file} [model]"),
        training=from_dict(TrainingConfig, tables.get("training", {}), f"{file} [training]"),
        decoding=from_dict(DecodingConfig, tables.get("decoding", {}), f"{file} [decoding]"),
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


def to_toml(run: RunConfig) -> str:
    """The settings as a TOML file that `read_toml` reads back to the same, from any folder."""
    run = _under(Path.cwd(), run)
    lines = []
    for table in dataclasses.fields(run):
        lines.append(f"[{table.name}]")
        settings = dataclasses.asdict(getattr(run, table.name))
        # JSON's strings, numbers, booleans and lists are TOML's too.
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        lines.append("")
    return "\n".join(lines)
