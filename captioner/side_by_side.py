"""Batches worked on side by side, each by a core of its own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Done = TypeVar("Done")

# Each holds a batch in memory; further cores help these with theirs.
_AT_ONCE = 8


def side_by_side(
    batches: Iterable[Batch], work: Callable[[Batch], Done], device: torch.device
) -> Iterator[Done]:
    """What `work` makes of each batch, in order; on a processor as many batches at once as cores.

    Two cores that share the layers of one batch are half as fast again as one, with a batch each
    three quarters. A single batch still gets all threads, and on a GPU one follows the other.
    Batches are asked for in the caller's thread, so many ahead as are worked on. What `work` raises
    is raised here, when its batch is due; whoever leaves early waits for those begun.
    """
    waiting = iter(batches)
    first = list(islice(waiting, 2))
    threads = torch.get_num_threads()
    workers = min(threads, _AT_ONCE) if device.type == "cpu" and len(first) > 1 else 1
    if workers == 1:
        yield from map(work, chain(first, waiting))
        return
    running: deque[Future[Done]] = deque()
    pool = ThreadPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(threads // workers,)
    )
    try:
        for batch in chain(first, waiting):
            running.append(pool.submit(work, batch))
            while len(running) > workers or (running and running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the initializer's is also that of threads yet to come
