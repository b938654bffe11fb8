"""The settings that suit fine-tuning a finished model, in place of those for new weights."""

from dataclasses import fields
from typing import Any

from captioner.config.run import RunConfig
from captioner.config.settings import DecodingConfig, TrainingConfig
from captioner.model.checkpoint import checkpoint_path
from captioner.model.description import read_description

# Learning rates are a tenth of those for new weights. With few pictures, small batches make more of
# them: 48 pictures of another kind were learned in 20 epochs of 8 a step, not in 20 of 24.
TRAINING = {
    "pictures_per_batch": 8,
    "learning_rate": TrainingConfig.learning_rate / 10,
    "encoder_learning_rate": TrainingConfig.encoder_learning_rate / 10,
    "patience": 5,
}


def for_fine_tuning(run: RunConfig) -> RunConfig:
    """The run with TRAINING and the decoding of its start_from where the user chose no others.

    Raises CaptionerError where the checkpoint cannot be read.
    """
    stored = read_description(checkpoint_path(run.training.start_from)).about.get("decoding", {})
    known = {f.name for f in fields(DecodingConfig)}
    suited: dict[str, dict[str, Any]] = {
        "training": TRAINING,
        "decoding": {name: value for name, value in stored.items() if name in known},
    }
    left_alone = {
        table: {name: value for name, value in settings.items() if not run.is_chosen(table, name)}
        for table, settings in suited.items()
    }
    return run.changed(left_alone, run.training.start_from)
