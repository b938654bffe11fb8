"""Averaging the weights of checkpoints."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from helpers import WORDS

from captioner import CaptionerError
from captioner.cli import main
from captioner.data.vocabulary import Vocabulary
from captioner.model.averaging import average
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint, load, named_tensors, save
from captioner.model.tensor_file import read_tensors


@pytest.fixture
def three(tiny_checkpoint: Path, tmp_path: Path) -> list[Path]:
    """A checkpoint, and copies with 3 and with 6 added to every weight."""
    loaded, files = load(tiny_checkpoint), []
    for number in range(3):
        files.append(tmp_path / f"{number}.safetensors")
        save(loaded, files[-1])
        with torch.no_grad():
            for value in named_tensors(loaded.model).values():
                value += 3
    return files


def test_weights_are_the_mean_and_the_rest_is_from_the_first(three: list[Path]) -> None:
    mean, first = average(three), load(three[0])
    starts = named_tensors(first.model)
    for name, value in named_tensors(mean.model).items():
        difference = 3 if value.is_floating_point() else 0  # counters of batch norms stay
        torch.testing.assert_close(value, starts[name] + difference)
    assert mean.decoding == first.decoding
    assert mean.model.vocabulary is not None
    assert mean.model.vocabulary.words == first.model.vocabulary.words  # type: ignore[union-attr]
    assert mean.scores == []


def test_command_writes_the_average(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    output = three[0].parent / "mean.safetensors"
    arguments = ["captioner", "average", *map(str, three), "--output", str(output)]

    def run() -> tuple[object, str, str]:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", arguments)
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    status, out, err = run()
    assert (status, out) == (0, f"{output}\n")
    assert err.startswith(f"wrote {output}, the mean of 3 checkpoints") and err.count("\n") == 1
    expected = named_tensors(average(three).model)
    written = read_tensors(output)[0]
    assert all(torch.equal(written[name], value) for name, value in expected.items())
    status, out, err = run()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "exists already" in err


def test_different_networks_or_words_raise(three: list[Path], tmp_path: Path) -> None:
    loaded, other = load(three[0]), tmp_path / "other.safetensors"
    words = CaptioningModel(loaded.model.config, Vocabulary([*WORDS[:-1], "zebra"]))
    save(Checkpoint(words, loaded.training, loaded.decoding), other)
    with pytest.raises(CaptionerError, match="other.safetensors differs from .* in vocabulary"):
        average([three[1], other])
    config = dataclasses.replace(loaded.model.config, context_gate=False, hidden_dropout=0.5)
    model = CaptioningModel(config, loaded.model.vocabulary)
    save(Checkpoint(model, loaded.training, loaded.decoding), other)
    with pytest.raises(CaptionerError, match="in context_gate"):
        average([three[0], other])
    with pytest.raises(CaptionerError, match="checkpoints to average: 1; expected two or more"):
        average(three[:1])
