"""Pictures read ahead, batches side by side on a CPU, and threads where other programs run."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioner.runtime import may_have_gpu, read_ahead, side_by_side


def test_batches_are_in_order_and_sources_are_asked_for_here_one_batch_ahead() -> None:
    asked: list[int] = []

    def sources() -> Iterator[int]:
        for number in range(7):
            assert threading.current_thread() is threading.main_thread()
            asked.append(number)
            yield number

    batches = read_ahead(sources(), lambda number: number**2, 3)
    assert next(batches) == [(0, 0), (1, 1), (2, 4)]
    assert asked == [0, 1, 2, 3, 4, 5]
    assert list(batches) == [[(3, 9), (4, 16), (5, 25)], [(6, 36)]]
    assert list(read_ahead([], str, 3)) == []


def test_an_error_comes_with_its_batch() -> None:
    batches = read_ahead([2, 1, 0], lambda number: 1 / number, 2)
    assert next(batches) == [(2, 0.5), (1, 1.0)]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_who_leaves_early_waits_for_nothing_that_has_not_begun() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def read(number: int) -> int:
        begun.append(number)
        if number >= 4:
            gate.wait(timeout=60)
        return number

    batches = read_ahead(range(100), read, 4)
    next(batches)  # the next four are submitted: two of them wait at the gate, two in the queue
    threading.Timer(0.5, gate.set).start()
    batches.close()  # type: ignore[attr-defined]
    assert max(begun) <= 5


CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_of_a_new_thread() -> int:
    seen: list[int] = []
    new = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    new.start()
    new.join()
    return seen[0]


def test_as_many_batches_as_threads_meet_and_come_back_in_order() -> None:
    together = threading.Barrier(3)  # breaks where fewer than three are worked on at once

    def work(number: int) -> tuple[int, int]:
        together.wait(timeout=60)
        return number, torch.get_num_threads()

    assert list(side_by_side(range(6), work, CPU)) == [(number, 1) for number in range(6)]


@pytest.mark.parametrize(
    ("threads", "at_once", "each"), [(2, 2, 1), (4, 4, 1), (5, 2, 2), (8, 4, 2), (12, 4, 3)]
)
def test_threads_are_dealt_out_to_at_most_four(threads: int, at_once: int, each: int) -> None:
    torch.set_num_threads(threads)
    together = threading.Barrier(at_once)

    def work(_: int) -> int:
        together.wait(timeout=60)
        return torch.get_num_threads()

    assert list(side_by_side(range(2 * at_once), work, CPU)) == [each] * 2 * at_once


@pytest.mark.parametrize(("count", "device"), [(3, CPU), (9, torch.device("cuda"))])
def test_few_batches_and_a_gpus_follow_one_another_here_with_all_threads(
    count: int, device: torch.device
) -> None:
    def work(_: int) -> tuple[threading.Thread, int]:
        return threading.current_thread(), torch.get_num_threads()

    here = [(threading.main_thread(), 3)]
    assert list(side_by_side(range(count), work, device)) == count * here
    assert list(side_by_side([], work, device)) == []


def test_others_keep_their_threads_meanwhile_and_afterwards() -> None:
    results = side_by_side(range(9), lambda number: number, CPU)
    next(results)
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)
    torch.set_num_threads(2)
    assert list(results) == list(range(1, 9))
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (2, 2)


def test_batches_are_asked_for_here_and_only_one_more_than_are_worked_on() -> None:
    asked: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            assert threading.current_thread() is threading.main_thread()
            asked.append(len(asked))
            yield asked[-1]

    results = side_by_side(endless(), lambda number: number, CPU)
    for number in range(9):
        assert next(results) == number
        assert len(asked) <= number + 3 + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_when_its_batch_is_due(threads: int) -> None:
    torch.set_num_threads(threads)
    results = side_by_side([4, 2, 0, 1, 8], lambda number: 8 // number, CPU)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_source_that_breaks_off_loses_nothing_before(threads: int) -> None:
    def source() -> Iterator[int]:
        yield from range(7)
        raise OSError("gone")

    torch.set_num_threads(threads)
    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        for number in side_by_side(source(), lambda number: number, CPU):
            seen.append(number)  # noqa: PERF402
    assert seen == list(range(7))


def test_who_leaves_early_waits_for_nothing_and_nothing_more_begins() -> None:
    begun: list[int] = []
    ended: list[int] = []
    gate = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number:
            gate.wait(timeout=60)
        ended.append(number)
        return number

    before = threading.enumerate()
    results = side_by_side(range(100), work, CPU)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert ended == [0]
    gate.set()
    for thread in set(threading.enumerate()).difference(before):
        thread.join(timeout=60)
    assert max(begun) <= 3


FORK = """
import multiprocessing, os, sys
from captioner import Captioner

model = Captioner.load(sys.argv[1])
pictures = [sys.argv[2]] * 40

def describe(number):
    return [caption.text for caption in model.caption(pictures)]

if sys.argv[3] == "after":  # torch's threads have begun
    model.caption(pictures)
child = os.fork()
if child == 0:
    os._exit(len(describe(0)))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(pictures)
with multiprocessing.get_context("fork").Pool(2) as pool:
    texts = pool.map(describe, range(2))
assert texts[0] == texts[1] == describe(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="wants fork")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_forked_process_captions(tiny_checkpoint: Path, tmp_path: Path, moment: str) -> None:
    """As gunicorn --preload makes them; with the parent's threads it would wait for ever."""
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "ignore", "-c", FORK, tiny_checkpoint, picture, moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE 1000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
    ],
)
def test_waiting_threads_sleep_unless_the_user_decides(
    given: dict[str, str], expected: str
) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    others = {name: value for name, value in os.environ.items() if name not in names}
    code = (
        "import captioner, os; print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=others | given, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == expected + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="looks for another file")
def test_a_driver_means_that_there_may_be_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(Path, "exists", lambda file: file.name == "nvidiactl")
    assert may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(Path, "exists", lambda file: False)
    assert not may_have_gpu()
