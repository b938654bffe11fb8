"""Reading ahead: order, batches, errors, and leaving early."""

import threading
from collections.abc import Iterator

import pytest

from captioner.reading import read_ahead


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
