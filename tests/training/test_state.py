"""The state to resume from: its predecessor serves where it is damaged, and nothing is lost."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import CPU, Quiet, assert_equal, settings, weights

from captioner.config.toml_file import read_stages
from captioner.errors import CaptionerError
from captioner.model.tensor_file import read_tensors
from captioner.training.loop import fit
from captioner.training.setup import Interrupted
from captioner.training.state import BEFORE, LAST


def stop_after(pictures: Path, output: Path, times: int, resume: bool = False) -> None:
    with pytest.raises(Interrupted):
        reporter = Quiet(stop_after=times)
        fit(settings(pictures, save_steps=2), output, device=CPU, resume=resume, reporter=reporter)


def go_on(pictures: Path, output: Path) -> list[str]:
    """The notes of a run that is resumed and finished."""
    reporter = Quiet()
    fit(settings(pictures, save_steps=2), output, device=CPU, resume=True, reporter=reporter)
    return reporter.notes


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 16
    file.write_bytes(content)


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has interrupted."""
    output = tmp_path_factory.mktemp("whole")
    fit(settings(pictures, save_steps=2), output, device=CPU, resume=False, reporter=Quiet())
    return output


@pytest.mark.parametrize(
    "damage",
    [lambda file: os.truncate(file, file.stat().st_size // 2), flip_a_bit, Path.unlink],
    ids=["cut off", "flipped bit", "gone"],
)
def test_a_damaged_state_gives_way_to_the_one_before(
    pictures: Path, whole: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    stop_after(pictures, tmp_path, 5)
    steps = [read_tensors(tmp_path / name)[1]["position"] for name in (BEFORE, LAST)]
    assert steps[0] != steps[1]
    damage(tmp_path / LAST)
    notes = go_on(pictures, tmp_path)
    message = f"{tmp_path / LAST} is damaged or gone: going on from the one before it, {BEFORE}"
    assert notes.count(message) == 1
    assert_equal(weights(tmp_path), weights(whole))
    assert_equal(weights(tmp_path, "state"), weights(whole, "state"))


def test_the_state_gone_on_from_is_not_replaced_by_the_damaged_one(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CaptionerError("No space left on device")

    stop_after(pictures, tmp_path, 5)
    os.truncate(tmp_path / LAST, 1000)
    monkeypatch.setattr("captioner.training.state.write_tensors", fail)
    with pytest.raises(CaptionerError, match="No space left"):
        go_on(pictures, tmp_path)
    for name in (LAST, BEFORE):
        read_tensors(tmp_path / name)


def test_the_one_before_is_kept_without_hard_links_too(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError("no hard links")

    monkeypatch.setattr("os.link", fail)
    stop_after(pictures, tmp_path, 5)
    steps = [json.loads(read_tensors(tmp_path / n)[1]["position"])["step"] for n in (BEFORE, LAST)]
    assert 0 < steps[0] < steps[1]


def test_two_damaged_states_are_said(pictures: Path, tmp_path: Path) -> None:
    stop_after(pictures, tmp_path, 5)
    for name in (LAST, BEFORE):
        flip_a_bit(tmp_path / name)
    with pytest.raises(CaptionerError, match=f"{BEFORE}: damaged since it was written"):
        go_on(pictures, tmp_path)


def test_a_state_that_counts_its_parameters_as_earlier_releases_did(
    pictures: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(
            "captioner.training.state._parameter_names",
            lambda model, optimizer: [str(number) for number in range(1000)],
        )
        stop_after(pictures, tmp_path, 5)
    assert "optimizer.0.exp_avg" in read_tensors(tmp_path / LAST)[0]
    go_on(pictures, tmp_path)
    assert_equal(weights(tmp_path), weights(whole))


def test_another_learning_rate_leaves_the_optimizer_what_it_has_learned(
    pictures: Path, tmp_path: Path
) -> None:
    """Equal ones are one group of parameters, in another order than two; almost equal ones two."""
    run = settings(
        pictures, fine_tune_from="features.2", learning_rate=1e-2, encoder_learning_rate=1e-3
    )
    learned = []
    for name, rate in (("equal", 1e-3), ("almost equal", 1.0000001e-3)):
        output = tmp_path / name
        with pytest.raises(Interrupted):
            fit(run, output, device=CPU, resume=False, reporter=Quiet(stop_after=4))
        training = dataclasses.replace(run.training, learning_rate=rate)
        slower = dataclasses.replace(run, training=training)
        fit(slower, output, device=CPU, resume=True, reporter=Quiet())
        assert read_stages(output / "settings.toml")[""].training.learning_rate == rate
        learned.append(weights(output))
    for name, value in learned[0].items():
        torch.testing.assert_close(value, learned[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_the_log_says_of_how_many_steps_its_means_are(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stands at the same steps after an interrupt."""
    monkeypatch.setattr("captioner.training.loop.LOG_STEPS", 2)
    run = settings(pictures, encoder_weights="none", pictures_per_batch=1, epochs=1, save_steps=1)
    for stop in (0, 6):
        output = tmp_path / str(stop)
        if stop:
            with pytest.raises(Interrupted):
                fit(run, output, device=CPU, resume=False, reporter=Quiet(stop_after=stop))
        fit(run, output, device=CPU, resume=stop > 0, reporter=Quiet())
    whole, resumed = (
        [
            (record["step"], record["steps"])
            for record in map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines())
            if "loss" in record
        ]
        for name in ("0", "6")
    )
    assert whole == [(2, 2), (4, 2), (6, 2), (8, 2)]
    assert resumed == [(2, 2), (4, 2), (5, 1), (6, 1), (8, 2)]


def test_what_a_kill_left_half_written_is_removed_at_the_next_start(
    pictures: Path, tmp_path: Path
) -> None:
    stop_after(pictures, tmp_path, 5)
    (tmp_path / ".best.safetensors.partial").write_text("half a checkpoint")
    (tmp_path / ".last.safetensors.partial.folder").mkdir()
    (tmp_path / ".last.safetensors.partial.folder" / ".tmpAbCdEf").write_text("half a checkpoint")
    stop_after(pictures, tmp_path, 1, resume=True)
    assert not list(tmp_path.rglob("*.partial*")) and not list(tmp_path.rglob(".tmp*"))
