"""Batches side by side: order, how many at once, errors, and the threads that are left."""

import threading
from collections.abc import Iterator

import pytest
import torch

from captioner.side_by_side import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_as_many_batches_as_threads_meet_and_come_back_in_order() -> None:
    together = threading.Barrier(3)  # breaks where fewer than three are worked on at once

    def work(number: int) -> tuple[int, int]:
        together.wait(timeout=60)
        return number, torch.get_num_threads()

    assert list(side_by_side(range(6), work, CPU)) == [(number, 1) for number in range(6)]
    assert torch.get_num_threads() == 3
    assert list(side_by_side([7], lambda _: torch.get_num_threads(), CPU)) == [3]


def test_a_single_batch_has_all_threads_and_is_worked_on_here() -> None:
    def work(_: int) -> tuple[threading.Thread, int]:
        return threading.current_thread(), torch.get_num_threads()

    assert list(side_by_side([0], work, CPU)) == [(threading.main_thread(), 3)]
    assert list(side_by_side([], work, CPU)) == []


def test_batches_are_asked_for_here_and_only_as_many_as_are_worked_on() -> None:
    asked: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            assert threading.current_thread() is threading.main_thread()
            asked.append(len(asked))
            yield asked[-1]

    results = side_by_side(endless(), lambda number: number, CPU)
    for number in range(9):
        assert next(results) == number
        assert len(asked) <= number + 1 + 3


def test_an_error_comes_when_its_batch_is_due() -> None:
    results = side_by_side([4, 2, 0, 1], lambda number: 8 // number, CPU)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert torch.get_num_threads() == 3


def test_who_leaves_early_gets_the_threads_back() -> None:
    results = side_by_side(range(100), lambda number: number, CPU)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == 3
