"""Measured gradients vanish or explode as the theory of each cell says."""

import dataclasses
import math
import sys
from pathlib import Path

import pytest
import torch

from captioner.api import Captioner
from captioner.cli import main
from captioner.model.captioning_model import CaptioningModel
from captioner.model.recurrence import CELLS
from captioner.visualization.gradient_flow import measure_cell, measure_model

STEPS = 31


def norms(cell: str, singular_value: float) -> tuple[float, ...]:
    measured = measure_cell(
        cell, hidden_size=64, steps=STEPS, singular_value=singular_value, seed=1
    )
    return measured.norms


def test_vanilla_cell_is_bounded_by_the_largest_singular_value() -> None:
    small, middle, large = (norms("rnn", value) for value in (0.5, 1.0, 2.0))
    for singular_value, line in ((0.5, small), (1.0, middle), (2.0, large)):
        assert all(
            norm <= singular_value**distance * line[0] * 1.0001
            for distance, norm in enumerate(line)
        )
    assert small[-1] < 1e-8
    assert large[-1] > 10
    assert all(a < b < c for a, b, c in zip(small[1:], middle[1:], large[1:], strict=True))


@pytest.mark.parametrize("singular_value", [0.5, 2.0])
def test_lstm_gradient_changes_less_than_the_vanilla_one(singular_value: float) -> None:
    vanilla, lstm = norms("rnn", singular_value), norms("lstm", singular_value)
    change = [abs(math.log(line[-1] / line[0])) for line in (vanilla, lstm)]
    assert change[1] < 0.5 * change[0]


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_measure_model(tiny_checkpoint: Path, cell: str, top_down: bool) -> None:
    model = Captioner.load(tiny_checkpoint, "cpu").model
    config = dataclasses.replace(model.config, cell=cell, layers=2, top_down=top_down)
    model = CaptioningModel(config, model.vocabulary)
    measured = measure_model(model, name="mine", steps=5, seed=0)
    assert len(measured.norms) == 5
    assert all(0 < norm < math.inf for norm in measured.norms)
    cells = [model.decoder.cell, *([model.decoder.attention_cell.cell] if top_down else [])]
    parameters = [item for cell in cells for item in cell.state_dict().items()]
    largest = max(
        torch.linalg.svdvals(block).max()
        for name, weight in parameters
        if "_gates.weight" in name
        for block in weight.split(17)
    )
    assert measured.singular_value == pytest.approx(float(largest))


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["captioner", "gradients", *arguments])
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_command_prints_a_table_and_writes_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gradients.png"
    options = ["--cell", "rnn", "--cell", "gru", "--singular-value", "0.5", "--steps", "4"]
    status, out, _ = run(*options, "--output", str(file), capsys=capsys)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "T - t" and "rnn, 0.5" in lines[0] and "gru" in lines[0]
    rows = [[float(value) for value in line.split()] for line in lines[1:]]
    assert [row[0] for row in rows] == [0, 1, 2, 3]
    assert all(len(row) == 3 for row in rows)
    assert rows[0][1] > rows[1][1] > rows[2][1] > rows[3][1] > 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_command_measures_a_checkpoint(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run("--checkpoint", str(tiny_checkpoint), "--steps", "3", capsys=capsys)
    assert (status, len(out.splitlines())) == (0, 4)
    assert out.splitlines()[0].split()[:4] == ["T", "-", "t", "tiny.safetensors,"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cell", "elman"], "--cell is 'elman'; choose lstm, gru, rnn, highway"),
        (["--cell", "rnn", "--checkpoint", "a.safetensors"], "leave --cell and"),
        (["--singular-value", "0"], "--singular-value is 0.0; it must be above 0"),
        (["--steps", "1"], "--steps"),
        (["--output", "plot.pdf"], "unknown kind of output; expected .png"),
        (["--output", "absent/plot.png"], "there is no folder absent; make it first"),
        (["--checkpoint", "absent.safetensors"], "no such checkpoint file"),
    ],
)
def test_bad_options_print_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    status, out, err = run(*options, capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
