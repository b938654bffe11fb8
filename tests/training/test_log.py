"""The record of a run: what is read back, and what is said of a damaged one."""

import json
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from captioner.errors import CaptionerError
from captioner.training.log import TensorBoardEvents, TrainingLog


def test_a_last_line_that_a_crash_has_cut_off_is_no_record(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")
    log.write({"step": 20, "loss": 2.5})
    log.write({"step": 40, "epoch": 1, "validation loss": float("nan")})
    log.file.write_text(log.file.read_text() + '{"step": 6')
    assert [record["step"] for record in log.records()] == [20, 40]
    log.cut(30, 0)
    assert [json.loads(line) for line in log.file.read_text().splitlines()] == [
        {"step": 20, "loss": 2.5}
    ]


@pytest.mark.parametrize("line", ["{", "7", '{"loss": 1}', '{"step": "a"}', "[" * 100_000])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(f'{{"step": 20}}\n{line}\n')
    with pytest.raises(CaptionerError, match=r"log\.jsonl, line 2: no record of a step"):
        TrainingLog(file).records()


def test_the_curve_has_losses_and_scores_on_axes_of_their_own_and_marks_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")
    for epoch, (bleu, accuracy) in enumerate([(0.1, 0.3), (0.3, 0.5), (0.5, 0.2), (0.3, 0.5)], 1):
        log.write({"step": 10 * epoch - 5, "loss": 4.0 - epoch})
        scores = {"validation loss": 3.5, "BLEU-4": bleu, "CIDEr": 2.0, "accuracy": accuracy}
        # Epoch 3 has a better BLEU-4, epoch 4 the same sum.
        best = {"best": True} if epoch <= 2 else {}
        log.write({"step": 10 * epoch, "epoch": epoch, **scores} | best)
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or save(self, *a, **k)
    )
    log.draw(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
    panels = {
        axes.get_title(): {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
        for axes in drawn[0].get_axes()
    }
    best = {"best epoch, 2": [20, 20]}  # the last that was saved as the best
    epochs = [10, 20, 30, 40]
    assert panels == {
        "losses": {"loss": [5, 15, 25, 35], "validation loss": epochs} | best,
        "scores from 0 to 1": {"BLEU-4": epochs, "accuracy": epochs} | best,
        "CIDEr": {"CIDEr": epochs} | best,
    }


def test_a_curve_before_the_first_epoch_ends_has_no_scores(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")
    log.draw(tmp_path / "empty.png")
    log.write({"step": 5, "loss": 4.0})
    log.draw(tmp_path / "curve.png")
    sizes = [Image.open(tmp_path / name).size for name in ("empty.png", "curve.png")]
    assert sizes == [(450, 350)] * 2


def test_tensorboard_shows_the_numbers_of_the_log_and_a_resumed_run_replaces_its_own(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "tensorboard"
    first = TrainingLog(tmp_path / "log.jsonl", TensorBoardEvents(folder))
    for step, loss in ((20, 2.5), (40, 2.0), (60, 1.5)):
        first.write({"step": step, "loss": loss})
    first.write({"step": 60, "epoch": 1, "validation loss": 1.75, "best": True})
    resumed = TrainingLog(tmp_path / "log.jsonl", TensorBoardEvents(folder))
    resumed.cut(40, 0)
    resumed.write({"step": 60, "loss": 1.25})
    shown = EventAccumulator(str(folder)).Reload()
    curves = {name: shown.Scalars(name) for name in shown.Tags()["scalars"]}
    assert [(point.step, point.value) for point in curves["loss"]] == [
        (record["step"], record["loss"]) for record in resumed.records()
    ]
    assert [(point.step, point.value) for point in curves["loss"]] == [
        (20, 2.5), (40, 2.0), (60, 1.25)
    ]  # fmt: skip
    assert "best" not in curves


def test_tensorboard_without_its_extra_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(CaptionerError, match=r"pip install '\.\[tensorboard\]'"):
        TensorBoardEvents(tmp_path)
