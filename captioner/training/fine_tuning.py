"""The settings that suit fine-tuning a finished model, in place of those for new weights."""

from dataclasses import fields
from typing import Any

from captioner.config.run import FINE_TUNING, RunConfig
from captioner.config.settings import DecodingConfig
from captioner.model.checkpoint import checkpoint_path
from captioner.model.description import read_description


def for_fine_tuning(run: RunConfig) -> RunConfig:
    """The run with FINE_TUNING and the decoding of its start_from where the user chose no others.

    A task that the checkpoint has not learned is trained as new weights are. Raises CaptionerError
    where the checkpoint cannot be read.
    """
    about = read_description(checkpoint_path(run.training.start_from)).about
    known = {f.name for f in fields(DecodingConfig)}
    stored = about.get("decoding", {})
    train = run.data.train
    is_learned = (about.get("vocabulary") or not train.captions) and (
        about.get("answers") or not train.questions
    )
    suited: dict[str, dict[str, Any]] = {
        "training": FINE_TUNING if is_learned else {},
        "decoding": {name: value for name, value in stored.items() if name in known},
    }
    left_alone = {
        table: {name: value for name, value in settings.items() if not run.is_chosen(table, name)}
        for table, settings in suited.items()
    }
    return run.changed(left_alone, run.training.start_from)
