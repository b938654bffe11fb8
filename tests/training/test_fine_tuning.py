"""Fine-tuning: suitable settings, and a model that is never replaced by a worse one."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CPU, Quiet, assert_equal, settings, weights

from captioner.config.run import RunConfig, SplitConfig
from captioner.config.settings import DecodingConfig, TrainingConfig
from captioner.config.toml_file import read_stages
from captioner.data.caption_files import read_captions
from captioner.model import checkpoint
from captioner.training import epoch_end
from captioner.training.data import read_data
from captioner.training.fine_tuning import for_fine_tuning
from captioner.training.loop import fit
from captioner.training.selection import Validation, gain
from captioner.training.setup import Interrupted
from captioner.training.stages import fit_stages


def validation(right: int, pictures: int = 12) -> Validation:
    """Of a model that captions some of the pictures exactly and the others not at all."""
    consensus = [10.0] * right + [0.0] * (pictures - right)
    scores = {"BLEU-4": right / pictures, "CIDEr": sum(consensus) / pictures}
    return Validation(scores, captions=[[value, 1.0] for value in consensus])


@pytest.fixture
def start(pictures: Path, tmp_path: Path) -> Path:
    run = dataclasses.replace(
        settings(pictures, epochs=1), decoding=DecodingConfig(beam_size=3, block_ngrams=2)
    )
    fit(run, tmp_path / "start", device=CPU, resume=False, reporter=Quiet())
    return tmp_path / "start" / "best.safetensors"


def tuned(pictures: Path, start: Path, **training: Any) -> RunConfig:
    """A run from that start which sets nothing else that fine-tuning would choose."""
    run = settings(pictures, start_from=str(start), **training)
    rate = training.get("learning_rate", TrainingConfig.learning_rate)
    changed = dataclasses.replace(run.training, learning_rate=rate)
    return dataclasses.replace(run, training=changed, decoding=DecodingConfig())


def test_a_tenth_of_the_learning_rate_and_the_decoding_of_the_start_unless_chosen(
    pictures: Path, start: Path
) -> None:
    run = for_fine_tuning(tuned(pictures, start))
    assert run.training.learning_rate == pytest.approx(1e-4)
    assert run.training.encoder_learning_rate == pytest.approx(1e-5)
    assert run.training.patience == 5
    assert (run.decoding.beam_size, run.decoding.block_ngrams) == (3, 2)
    # Chosen: also where the choice is the default for new weights.
    chosen = {"training": {"learning_rate": 1e-3, "patience": 0}, "decoding": {"beam_size": 5}}
    run = for_fine_tuning(tuned(pictures, start).changed(chosen, "options"))
    assert (run.training.learning_rate, run.training.patience) == (1e-3, 0)
    assert run.training.encoder_learning_rate == pytest.approx(1e-5)
    assert (run.decoding.beam_size, run.decoding.block_ngrams) == (5, 2)


def test_a_task_that_is_new_to_the_start_learns_as_new_weights_do(
    pictures: Path, start: Path
) -> None:
    run = tuned(pictures, start)
    questions = SplitConfig(questions=("q.json",), answers=("a.json",))
    data = dataclasses.replace(run.data, train=questions)
    run = for_fine_tuning(dataclasses.replace(run, data=data))
    assert run.training.learning_rate == TrainingConfig.learning_rate
    assert run.training.patience == 0
    assert (run.decoding.beam_size, run.decoding.block_ngrams) == (3, 2)


def test_the_start_stays_the_best_where_nothing_is_learned(
    pictures: Path, start: Path, tmp_path: Path
) -> None:
    run, reporter = tuned(pictures, start, learning_rate=0.0, epochs=2), Quiet()
    fit_stages({"": run}, tmp_path / "run", device=CPU, resume=False, reporter=reporter)
    assert_equal(weights(tmp_path / "run", "best"), weights(start.parent, "best"))
    assert "no epoch was better than the model you started from" in reporter.notes[-1]
    assert "8 validation pictures" in reporter.notes[-1]
    kept = checkpoint.load(tmp_path / "run" / "best.safetensors")
    assert (kept.decoding.beam_size, kept.decoding.block_ngrams) == (3, 2)
    # It says of itself what the start said, and how it did on these pictures.
    begun = checkpoint.load(start)
    assert (kept.data, kept.training) == (begun.data, begun.training)
    assert kept.scores == [
        {"set": "validation before training", "values": kept.scores[0]["values"]},
        *begun.scores,
    ]
    assert kept.scores[0]["values"]["BLEU-4"] == pytest.approx(begun.scores[0]["values"]["BLEU-4"])


def test_a_gain_beyond_chance_replaces_the_start_and_is_reported(
    pictures: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is better by chance is not saved, though it counts as better for patience."""
    results = iter([validation(4), validation(5), validation(12), validation(11)])
    monkeypatch.setattr(epoch_end, "evaluate_captions", lambda *_, **__: next(results))
    run, reporter = tuned(pictures, start, epochs=3), Quiet()
    fit_stages({"": run}, tmp_path / "run", device=CPU, resume=False, reporter=reporter)
    saved = checkpoint.load(tmp_path / "run" / "best.safetensors")
    assert saved.scores[0]["values"] == validation(12).scores
    gained = gain(validation(12), validation(4))
    assert 0 < gained.low < gained.value < gained.high
    assert reporter.notes[-1].startswith(
        f"better than the model you started from by {gained.value:.3f} CIDEr (95% interval "
        f"{gained.low:.3f} to {gained.high:.3f}, 12 validation pictures)"
    )


def test_patience_waits_while_the_loss_still_falls(
    pictures: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 4.0, 3.0, 3.5, 3.2, 3.1, 2.0])  # of the start and of six epochs
    monkeypatch.setattr(
        epoch_end,
        "evaluate_captions",
        lambda *_, **__: Validation({"BLEU-4": 0.1, "validation loss": next(losses)}),
    )
    run, reporter = tuned(pictures, start, epochs=9, patience=3), Quiet()
    fit_stages({"": run}, tmp_path / "run", device=CPU, resume=False, reporter=reporter)
    assert "no better score or lower loss for 3 epochs: stopping" in reporter.notes
    assert next(losses) == 2.0  # five epochs were enough


def test_gain_is_paired_over_pictures() -> None:
    """The same model has no gain at all; one that differs in one picture has none beyond chance."""
    same = gain(validation(6), validation(6))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    chance = gain(validation(7), validation(6))
    assert chance.value == pytest.approx(10 / 12) and chance.low == 0.0
    answers = [[1.0, 2.0], [0.0, 1.0], [3.0, 3.0]]
    worse = [[0.0, 2.0], [0.0, 1.0], [3.0, 3.0]]
    lost = gain(
        Validation({"accuracy": 3 / 6}, [], worse), Validation({"accuracy": 4 / 6}, [], answers)
    )
    assert lost.value == pytest.approx(-1 / 6) and lost.high == 0.0
    assert np.isfinite(lost.low) and lost.low < lost.value


def test_an_interrupted_run_remembers_its_start(
    pictures: Path, start: Path, tmp_path: Path
) -> None:
    run, reporter = tuned(pictures, start, epochs=2, learning_rate=1e-3), Quiet()
    fit_stages({"": run}, tmp_path / "whole", device=CPU, resume=False, reporter=reporter)
    state, tries = tmp_path / "parts" / "state.safetensors", 0
    while not state.exists():
        stopping = Quiet(stop_after=9 + tries)
        with pytest.raises(Interrupted):
            fit_stages({"": run}, tmp_path / "parts", device=CPU, resume=False, reporter=stopping)
        tries += 1
    saved = read_stages(tmp_path / "parts" / "settings.toml")
    again = Quiet()
    fit_stages(saved, tmp_path / "parts", device=CPU, resume=True, reporter=again)
    for name in ("best", "last"):
        assert_equal(weights(tmp_path / "parts", name), weights(tmp_path / "whole", name))
    assert again.notes[-1] == reporter.notes[-1]
    assert not any("before the first step" in note for note in again.notes)


def test_the_pictures_held_out_are_listed_for_scoring(pictures: Path, tmp_path: Path) -> None:
    run = settings(pictures, epochs=1).changed(
        {"data": {"val_captions": [], "val_share": 0.25}}, "options"
    )
    fit(run, tmp_path, device=CPU, resume=False, reporter=Quiet())
    train, held_out = read_data(run)
    listed = read_captions(tmp_path / "held_out.json", [pictures], "val")
    assert [(item.path, item.captions) for item in listed] == [
        (item.path, item.captions) for item in held_out.captions
    ]
    assert len(listed) == 2 and not {item.path for item in listed} & set(train.paths())
