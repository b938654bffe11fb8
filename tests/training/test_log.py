"""The record of a run: what is read back, and what is said of a damaged one."""

import json
from pathlib import Path

import pytest

from captioner.errors import CaptionerError
from captioner.training.log import TrainingLog


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
