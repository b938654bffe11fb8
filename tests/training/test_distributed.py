"""Several processes and several parts of a batch: the same result as one process with one part."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import CPU, Quiet, assert_equal, settings, weights
from torch import Tensor

from captioner.cli.train_settings import choose_settings, is_own_run
from captioner.config.run import RunConfig
from captioner.config.settings import TrainingConfig
from captioner.config.toml_file import to_toml
from captioner.data.parts import Parts
from captioner.errors import CaptionerError
from captioner.training.loop import fit, keep_settings
from captioner.training.setup import Interrupted
from captioner.training.stages import fit_stages, settle

TESTS = Path(__file__).parents[1]
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]

# The weights begin between -1 and 1 and move by up to 0.005 a step. Sums in another order differ in
# their last bits, which Adam, whose steps do not depend on the size of a gradient, can enlarge.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def asked(pictures: Path) -> Path:
    """Three questions about each of the pictures, in VQA's format, one of them equal for all."""
    names, questions, annotations = {}, [], []
    for number, file in enumerate(sorted(pictures.glob("*.png"))):
        names[number] = file.name
        colour, shape = file.stem.split()
        for index, (text, answer) in enumerate(
            (("What color is it?", colour), ("What is it?", shape), (f"Is it {colour}?", "yes"))
        ):
            ids = {"question_id": 10 * number + index, "image_id": number}
            questions.append(ids | {"question": text})
            annotations.append(ids | {"answers": [{"answer": answer}] * 10})
    (pictures / "questions.json").write_text(json.dumps({"questions": questions}))
    (pictures / "answers.json").write_text(json.dumps({"annotations": annotations}))
    (pictures / "names.json").write_text(json.dumps(names))
    return pictures


def kinds(folder: Path) -> dict[str, RunConfig]:
    """A run of each kind of training, without dropout; three or seven do not divide the sets."""
    files = {"questions": "questions.json", "answers": "answers.json", "image_names": "names.json"}
    data = {
        prefix + name: [str(folder / file)]
        for prefix in ("", "val_")
        for name, file in files.items()
    }
    none: dict[str, list[str]] = {"captions": [], "val_captions": []}
    dropout = ("feature_dropout", "embedding_dropout", "hidden_dropout", "answer_dropout")
    model = dict.fromkeys(dropout, 0.0) | {"answer_size": 24}
    captions = settings(folder, epochs=2, attention_penalty=0.5, average_decay=0.5)
    captions = captions.changed({"model": model}, "test")
    critic = dataclasses.replace(captions.training, self_critical=True, repeat_cost=0.4)
    asking = dataclasses.replace(captions.training, questions_per_batch=7)
    pairs = dataclasses.replace(asking, pair_weight=0.5)
    return {
        "captions": captions,
        "critic": dataclasses.replace(captions, training=critic),
        "both": dataclasses.replace(captions, training=asking).changed({"data": data}, "test"),
        "questions": dataclasses.replace(captions, training=pairs).changed(
            {"data": data | none}, "test"
        ),
    }


def torchrun(
    processes: int, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.run(
        [*LAUNCH, str(processes), *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=TOLERANCE, rtol=0, msg=name)


def assert_same_run(one: Path, other: Path) -> None:
    """The same weights, losses and scores, as far as rounding allows."""
    assert_close(weights(one), weights(other))
    records = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (one, other)
    ]
    for record, expected in zip(*records, strict=True):
        record.pop("texts a second", None)
        expected.pop("texts a second", None)
        assert record == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_parts_are_nearly_equal_and_know_their_place() -> None:
    lengths = [[2, 3], [4], [1, 1, 1], [5], [6]]
    parts = Parts(count=3, own=range(1, 3)).divide("abcde", lengths)
    assert [(items, part.first_picture, part.first_text) for items, part in parts] == [
        ("bc", 1, 2),
        ("de", 3, 6),
    ]
    assert all((part.pictures, part.texts, part.words) == (5, 8, 23) for _, part in parts)
    few = Parts(count=4, own=range(4)).divide("ab", [[1], [1]])
    assert sorted(items for items, _ in few) == ["", "", "a", "b"]


@pytest.mark.parametrize("kind", ["captions", "critic", "both"])
def test_parts_one_after_the_other_equal_the_whole_batch(
    asked: Path, tmp_path: Path, kind: str
) -> None:
    run = kinds(asked)[kind]
    for name, parts in (("whole", 1), ("parts", 3)):
        changed = dataclasses.replace(
            run, training=dataclasses.replace(run.training, accumulate=parts)
        )
        fit(changed, tmp_path / name, device=CPU, resume=False, reporter=Quiet())
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_two_processes_equal_one_and_each_goes_on_where_the_other_stopped(
    asked: Path, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    together.mkdir()
    runs = kinds(asked)
    for name, run in runs.items():
        (together / f"{name}.toml").write_text(to_toml(run))
        fit(run, alone / name, device=CPU, resume=False, reporter=Quiet())
    captions = runs["captions"]
    for name in ("started", "stopped"):
        (together / f"{name}.toml").write_text(to_toml(captions))
    for name in ("dropout", "halves"):
        dropping = captions.changed({"model": {"hidden_dropout": 0.5}}, "test")
        (together / f"{name}.toml").write_text(to_toml(dropping))
    with pytest.raises(Interrupted):
        fit(
            captions,
            together / "started",
            device=CPU,
            resume=False,
            reporter=Quiet(stop_after=3),
        )
    done = torchrun(2, str(TESTS / "fits_in_processes.py"), str(together))
    assert done.returncode == 0, done.stderr
    for name in runs:
        assert_same_run(together / name, alone / name)
        assert not list((together / name).rglob("*partial*"))
    assert not (together / "stopped" / "last.safetensors").exists()
    fit(captions, together / "stopped", device=CPU, resume=True, reporter=Quiet())
    for name in ("started", "stopped"):
        assert_close(weights(together / name), weights(alone / "captions"))
    # What dropout draws is another thing in two processes, but the same after a stop.
    assert_equal(weights(together / "halves"), weights(together / "dropout"))


def test_a_killed_process_is_started_again_and_goes_on_from_the_last_save(
    asked: Path, tmp_path: Path
) -> None:
    run = kinds(asked)["captions"]
    run = run.changed({"training": {"epochs": 2, "save_steps": 2}}, "test")
    (tmp_path / "run.toml").write_text(to_toml(run))
    fit(run, tmp_path / "alone", device=CPU, resume=False, reporter=Quiet())
    options = ["--config", str(tmp_path / "run.toml"), "--output", str(tmp_path / "run")]
    driver = str(TESTS / "train_in_processes.py")
    done = torchrun(2, "--max-restarts=1", driver, "killed", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run' / 'best.safetensors'}\n"
    assert done.stderr.count("resuming at step ") == 1
    assert_close(weights(tmp_path / "run"), weights(tmp_path / "alone"))


@pytest.mark.parametrize("start", ["", "shipped"])
def test_a_restart_goes_on_with_a_run_of_the_same_settings_only(tmp_path: Path, start: str) -> None:
    given = {"images": [Path("photos")], "epochs": 3, "start_from": Path(start)}
    if not start:
        del given["start_from"]
    output = tmp_path / "run"
    assert not is_own_run(output, given)
    stages, _ = settle(choose_settings(output, given, resume=False), output)
    keep_settings(stages, output)
    assert is_own_run(output, given)
    assert not is_own_run(output, given | {"epochs": 4})


def test_a_process_without_the_data_says_so_once_with_its_rank(asked: Path, tmp_path: Path) -> None:
    data = ["--images", ".", "--captions", "captions.jsonl", "--val-captions", "captions.jsonl"]
    driver = str(TESTS / "train_in_processes.py")
    done = torchrun(2, driver, "elsewhere", *data, "--output", str(tmp_path / "run"), cwd=asked)
    said = [line for line in done.stderr.splitlines() if line.startswith("captioner: ")]
    assert [line for line in said if "error" in line] == [
        "captioner: error: rank 1 of 2: cannot read captions.jsonl: No such file or directory"
    ]
    assert "exitcode  : 2" in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("processes", "changes", "message"),
    [
        (4, {}, "pictures_per_batch is 3, of all processes together, fewer than 4 processes"),
        (2, {"pictures_per_batch": 8, "accumulate": 8}, "than 2 processes times accumulate 8"),
        (1, {"accumulate": 2}, "accumulate is 2, which does not divide pictures_per_batch 3"),
        (1, {"questions_per_batch": 7, "accumulate": 3}, "divide questions_per_batch 7"),
        (2, {"questions_per_batch": 1}, "questions_per_batch is 1, of all processes together"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused_at_once(
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    changes: dict[str, int],
    message: str,
) -> None:
    monkeypatch.setattr("captioner.training.distributed.size", lambda: processes)
    run = kinds(asked)["both"].changed({"training": changes}, "test")
    with pytest.raises(CaptionerError, match=message):
        fit_stages({"": run}, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert not (tmp_path / "run").exists()


def test_questions_in_pairs_are_not_divided_into_parts() -> None:
    with pytest.raises(CaptionerError, match="accumulate is 2; set it to 1 or pair_weight to 0"):
        TrainingConfig(pair_weight=0.5, accumulate=2)
