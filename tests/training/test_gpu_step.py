"""The training step on a GPU that is not there: right devices, no waiting, few operations."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_gpu import CUDA, Counted, fake_gpu, move_to_gpu, recorded
from helpers import CPU, Quiet, settings

from captioner.config.settings import DROPOUTS
from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END
from captioner.errors import CaptionerError
from captioner.training import step
from captioner.training.loop import fit
from captioner.training.measurements import read
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
        (False, {"attention_heads": 4}, {"full_precision": True}),
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
    ids=["captions", "float32", "additive", "gru", "fine-tuned", "answers", "blind"],
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
        for number in range(2):
            measured = train_step(there, optimizer, captions, questions, number)
            update_average(average, there.model, 0.9, number)
        assert measured.values.device == CUDA
        trained = [p for p in there.model.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.device == CUDA for p in trained)


def test_a_self_critical_step_waits_for_nothing_but_the_words_it_draws(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(asked, tmp_path, {"training": {"self_critical": True}})
    assert task.captions is not None
    batch = next(task.captions.epoch(0))
    with recorded(monkeypatch) as words:
        step._draw(task, [batch], 0)
    with fake_gpu(monkeypatch, words) as watched:
        move_to_gpu(task.model)
        there = dataclasses.replace(task, device=CUDA)
        measured = train_step(there, make_optimizer(there.model, task.run.training), [batch], [], 0)
        assert measured.names == ("loss", "reward", "gradient norm")
        assert measured.values.device == CUDA
    assert watched.to_host == len(words) > 1
    assert watched.to_gpu == len(words) + 3  # pictures, rewards, the captions drawn


def test_the_fake_gpu_notices_waiting_and_tensors_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = torch.tensor([0])
    with fake_gpu(monkeypatch):
        there = torch.ones(3, device=CUDA, requires_grad=True)
        with pytest.raises(Exception, match="data-dependent|_local_scalar_dense"):
            float(there.sum())
        with pytest.raises(Exception, match="nonzero"):
            there[there > 0]
        with pytest.raises(AssertionError, match="from cpu to cuda:0 waits"):
            torch.zeros(3).to(CUDA)
        with pytest.raises(AssertionError, match="from cuda:0 to cpu waits"):
            there.detach().cpu()
        with pytest.raises(AssertionError, match="by indices on the cpu waits"):
            there[elsewhere]
        with pytest.raises(AssertionError, match="from cpu to cuda:0 waits"):
            there.detach()[[0]] = 1.0
        with pytest.raises(RuntimeError, match="device"):
            there + torch.zeros(3)
        (there * there).sum().backward()
        assert there.grad is not None and there.grad.shape == (3,)


# The bundled model's parts with 16 captions of 8 to 20 tokens: what a step dispatched when this was
# written. It depends on the number of words and layers, not on any size.
MOST_OPERATIONS = 820


def test_a_step_dispatches_no_more_operations_than_before(pictures: Path, tmp_path: Path) -> None:
    changes = {"model": {"attention_heads": 8}, "training": {"pictures_per_batch": 8}}
    task = make_task(pictures, tmp_path, changes)
    assert task.captions is not None
    batch = next(task.captions.epoch(0))
    tokens, lengths = pad_captions([[4] * (7 + row * 12 // 15) + [END] for row in range(16)])
    assert (min(lengths), max(lengths)) == (8, 20)
    part = dataclasses.replace(batch.part, words=sum(lengths))
    batch = dataclasses.replace(batch, tokens=tokens, lengths=lengths, part=part)
    optimizer = make_optimizer(task.model, task.run.training)
    train_step(task, optimizer, [batch], [], 0)  # the optimizer makes its state
    with Counted() as counted:
        train_step(task, optimizer, [batch], [], 1)
    total = counted.operations.total()
    assert total <= MOST_OPERATIONS, f"{total}: {counted.operations.most_common(9)}"


@pytest.mark.gpu
@pytest.mark.parametrize("full_precision", [False, True])
def test_a_real_gpu_learns_what_the_processor_learns(
    pictures: Path, tmp_path: Path, full_precision: bool
) -> None:
    changes = {"model": dict.fromkeys(DROPOUTS, 0.0)}
    run = settings(pictures, full_precision=full_precision).changed(changes, "test")
    losses = []
    for device in (CPU, CUDA):
        output = tmp_path / device.type
        fit(run, output, device=device, resume=False, reporter=Quiet())
        records = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        losses.append([record["loss"] for record in records if "loss" in record])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if full_precision else 0.05)


@pytest.mark.gpu
def test_a_real_gpu_does_not_wait_within_a_step_and_skips_one_that_is_not_finite(
    pictures: Path, tmp_path: Path
) -> None:
    run = settings(pictures)
    task = prepare(run, output=tmp_path, caches=tmp_path, device=CUDA, reporter=Quiet())
    assert task.captions is not None
    batch, optimizer = next(task.captions.epoch(0)), make_optimizer(task.model, run.training)
    train_step(task, optimizer, [batch], [], 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(task, optimizer, [batch], [], 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    before = [parameter.detach().clone() for parameter in task.model.parameters()]
    broken = dataclasses.replace(batch.views, pictures=batch.views.pictures * float("nan"))
    broken_batch = dataclasses.replace(batch, views=broken)
    measured = train_step(task, optimizer, [broken_batch], [], 2)
    assert all(map(torch.equal, before, task.model.parameters()))
    with pytest.raises(CaptionerError, match="the loss is nan at step 2"):
        read([measured])
