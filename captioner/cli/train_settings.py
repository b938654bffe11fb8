"""The settings of a training run, from its options and its TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from captioner.config.run import RunConfig
from captioner.config.settings import ModelConfig
from captioner.config.toml_file import read_saved_stages, read_stages, to_toml
from captioner.errors import CaptionerError

# The options that set one setting each, by its table; --set reaches all the others.
FLAGS = {
    "data": (
        "images",
        "captions",
        "val_captions",
        "questions",
        "answers",
        "image_names",
        "val_questions",
        "val_answers",
        "val_image_names",
        "val_share",
        "skip_missing",
    ),
    "model": ("encoder", "cell", "layers", "attention", "tokens", "glimpses"),
    "training": (
        "epochs",
        "pictures_per_batch",
        "accumulate",
        "learning_rate",
        "seed",
        "encoder_weights",
        "fine_tune_from",
        "truncate_steps",
        "start_from",
        "extend_vocabulary",
        "freeze_captioner",
        "tensorboard",
    ),
    "decoding": (),
}

# What can change while a run goes on: how fast and how steadily it learns, not what or from what.
CHANGEABLE = (
    "learning_rate",
    "encoder_learning_rate",
    "warm_up_steps",
    "clip_norm",
    "accumulate",
    "autocast",
    "full_precision",
    "patience",
    "save_steps",
    "workers",
    "max_cache_gib",
    "tensorboard",
)


def choose_settings(output: Path, given: dict[str, Any], *, resume: bool) -> dict[str, RunConfig]:
    """The settings of each stage: those of the file, with the options given in their place.

    given: the command's options by name. Raises CaptionerError for options that do not go
    together, a folder that holds another run or none to resume, and wrong settings.
    """
    changes = changed_settings(given)
    config, file = given.get("config"), output / "settings.toml"
    other = [name for table in changes.values() for name in table if name not in CHANGEABLE]
    if resume and (config or other):
        raise CaptionerError(
            f"--resume takes its settings from {file}; with it only these can be changed: "
            f"{', '.join(CHANGEABLE)}"
        )
    if resume and not file.exists():
        raise CaptionerError(f"{output}: no run to resume; start it without --resume")
    if not resume and _holds_a_run(output):
        raise CaptionerError(
            f"{output} already holds a run; go on with --resume or choose another --output"
        )
    if not resume:
        return _new_settings(config, changes)
    stages = read_saved_stages(file)
    name = _current(stages, output)
    return stages | {name: _changed(stages[name], changes)}


def is_own_run(output: Path, given: dict[str, Any]) -> bool:
    """Whether the folder holds a run with exactly the settings that these options give."""
    file = output / "settings.toml"
    if not file.exists():
        return False
    from captioner.training.stages import settle

    own = _new_settings(given.get("config"), changed_settings(given))
    texts = [
        [to_toml(run, name) for name, run in settle(stages, output)[0].items()]
        for stages in (own, read_stages(file))
    ]
    return texts[0] == texts[1]


def _new_settings(config: Path | None, changes: dict[str, dict[str, Any]]) -> dict[str, RunConfig]:
    stages = read_stages(config) if config else {"": RunConfig()}
    if "start_from" in changes["training"] and len(stages) > 1:
        raise CaptionerError(
            f"{config} has {len(stages)} stages, each of which goes on from the one before; write "
            "start_from into the [stages.training] of the first instead of giving --start-from"
        )
    return {name: _changed(run, changes) for name, run in stages.items()}


def _changed(run: RunConfig, changes: dict[str, dict[str, Any]]) -> RunConfig:
    """The settings of a stage with these options in place of its own."""
    if changes["model"].get("attention") == "dot" and run.model.attention != "dot":
        # The file's one head is for its other attention.
        changes = changes | {
            "model": {"attention_heads": ModelConfig.attention_heads} | changes["model"]
        }
    return run.changed(changes, "options")


def changed_settings(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the options change, by table; --set comes last.

    Raises CaptionerError for a --set that names no table and setting.
    """
    changes: dict[str, dict[str, Any]] = {
        table: {name: _plain(given[name]) for name in names if name in given}
        for table, names in FLAGS.items()
    }
    for text in given.get("settings", []):
        key, equals, value = text.partition("=")
        table, dot, name = key.strip().partition(".")
        if not (equals and dot and name) or table not in changes:
            raise CaptionerError(
                f"--set {text}: expected TABLE.KEY=VALUE, with one of the tables "
                f"{', '.join(changes)}, as in training.label_smoothing=0.05"
            )
        changes[table][name] = _toml_value(value.strip())
    if changes["model"].get("attention") in ("additive", "none"):
        changes["model"].setdefault("attention_heads", 1)  # whatever the file says for dot
    return changes


def _plain(value: Any) -> Any:
    """An option's value as a setting: paths become texts."""
    if isinstance(value, list):
        return [str(path) for path in value]
    return str(value) if isinstance(value, Path) else value


def _toml_value(text: str) -> Any:
    """A value as a TOML file has it; a text needs no quotes here."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a plain ValueError: too many digits
        return text


def _current(stages: dict[str, RunConfig], output: Path) -> str:
    """The stage that a run to be resumed is in."""
    started = [name for name in stages if (output / name / "settings.toml").exists()]
    return started[-1] if started else next(iter(stages))


def _holds_a_run(output: Path) -> bool:
    """Whether a run, or a stage of one, has left a state here."""
    return any(list(output.glob(f"{stage}state*.safetensors")) for stage in ("", "*/"))
