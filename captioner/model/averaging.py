"""Average the weights of several checkpoints: often better than each, and as fast as one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from captioner.config.settings import DROPOUTS, ModelConfig
from captioner.errors import CaptionerError
from captioner.model import checkpoint
from captioner.model.checkpoint import Checkpoint


def average(files: Sequence[Path]) -> Checkpoint:
    """Average the weights of checkpoints of the same network (Wortsman et al. 2022, section 2).

    This helps if all were fine-tuned from a common start: epochs or stages of a run, or runs that
    fine-tuned the same checkpoint. Running statistics of batch norm are averaged too, which is only
    right if training did not change them (update_batch_norm off). Settings and description are
    those of the first file, without its scores. Raises CaptionerError for fewer than two files, and
    for a file that cannot be loaded or differs in network, words or answers.
    """
    if len(files) < 2:
        raise CaptionerError(f"checkpoints to average: {len(files)}; expected two or more")
    first = checkpoint.load(files[0])
    means = checkpoint.named_tensors(first.model)
    for count, file in enumerate(files[1:], start=2):
        other = checkpoint.load(file)
        _check_same_network(first, other, files[0], file)
        with torch.no_grad():
            for name, value in checkpoint.named_tensors(other.model).items():
                if value.is_floating_point():
                    means[name].lerp_(value, 1 / count)
    return dataclasses.replace(first, scores=[])


def _check_same_network(first: Checkpoint, other: Checkpoint, first_file: Path, file: Path) -> None:
    def network(config: ModelConfig) -> dict[str, object]:  # dropout matters only in training
        return {k: v for k, v in dataclasses.asdict(config).items() if k not in DROPOUTS}

    first_network, other_network = network(first.model.config), network(other.model.config)
    differing = [name for name in first_network if first_network[name] != other_network[name]]
    differing += [
        name
        for name in ("vocabulary", "question_vocabulary")
        if getattr(getattr(first.model, name), "words", None)
        != getattr(getattr(other.model, name), "words", None)
    ]
    differing += ["answers"] * (first.model.answer_texts != other.model.answer_texts)
    if differing:
        raise CaptionerError(
            f"{file} differs from {first_file} in {', '.join(differing)}; only weights of the same "
            "network can be averaged: give checkpoints that were fine-tuned from a common start"
        )
