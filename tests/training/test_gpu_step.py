"""The training step on a GPU that is not there: right devices, no waiting, few operations."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fake_gpu import CUDA, fake_gpu, move_to_gpu
from helpers import CPU, Quiet, settings

from captioner.training.optimizer import make_optimizer, update_average
from captioner.training.setup import Task, prepare
from captioner.training.step import train_step


@pytest.fixture(scope="module")
def asked(pictures: Path) -> Path:
    """Two questions about each of the pictures, in VQA's format, one of them equal for all."""
    names, questions, annotations = {}, [], []
    for number, file in enumerate(sorted(pictures.glob("*.png"))):
        names[number] = file.name
        colour, shape = file.stem.split()
        for index, (text, answer) in enumerate(
            (("What is it?", shape), (f"Is it {colour}?", "yes"))
        ):
            ids = {"question_id": 10 * number + index, "image_id": number}
            questions.append(ids | {"question": text})
            annotations.append(ids | {"answers": [{"answer": answer}] * 10})
    (pictures / "questions.json").write_text(json.dumps({"questions": questions}))
    (pictures / "answers.json").write_text(json.dumps({"annotations": annotations}))
    (pictures / "names.json").write_text(json.dumps(names))
    return pictures


def make_task(folder: Path, tmp_path: Path, changes: dict[str, dict[str, Any]]) -> Task:
    run = settings(folder).changed(changes, "test")
    return prepare(run, output=tmp_path, caches=tmp_path, device=CPU, reporter=Quiet())


ASKED = {"questions": "questions.json", "answers": "answers.json", "image_names": "names.json"}


@pytest.mark.parametrize(
    ("asks", "model", "training"),
    [
        (False, {}, {"attention_penalty": 0.5, "truncate_steps": 2}),
        (
            False,
            {"attention": "additive", "attention_heads": 1, "sentinel": True, "top_down": True},
            {},
        ),
        (
            False,
            {"cell": "gru", "layers": 2, "attention": "none", "attention_heads": 1},
            {"clip_norm": 0.0},
        ),
        (False, {}, {"fine_tune_from": "features.3", "update_batch_norm": True}),
        (True, {}, {"pair_weight": 0.5, "questions_per_batch": 8}),
        (True, {"glimpses": 0}, {}),
    ],
    ids=["captions", "additive", "gru", "fine-tuned", "answers", "blind"],
)
def test_a_step_is_all_on_the_gpu_and_does_not_wait_for_it(
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asks: bool,
    model: dict[str, object],
    training: dict[str, object],
) -> None:
    data = {p + n: [str(asked / f)] for p in ("", "val_") for n, f in ASKED.items() if asks}
    task = make_task(asked, tmp_path, {"data": data, "model": model, "training": training})
    assert task.captions is not None
    captions = [next(task.captions.epoch(0))]
    questions = [next(task.questions.epoch(0))] if task.questions else []
    average = copy.deepcopy(task.model)
    with fake_gpu(monkeypatch):
        there = dataclasses.replace(task, device=CUDA)
        for moved in (there.model, average):
            move_to_gpu(moved)
        optimizer = make_optimizer(there.model, task.run.training)
        for step in range(2):
            measured = train_step(there, optimizer, captions, questions, step)
            update_average(average, there.model, 0.9, step)
        assert measured.values.device == CUDA
        trained = [p for p in there.model.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.device == CUDA for p in trained)
