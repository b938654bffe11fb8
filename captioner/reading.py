"""Reading ahead: while one batch of pictures is worked on, the next is being read."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Source = TypeVar("Source")
Read = TypeVar("Read")


def read_ahead(
    sources: Iterable[Source], read: Callable[[Source], Read], batch_size: int
) -> Iterator[list[tuple[Source, Read]]]:
    """Batches of sources, each with what `read` made of it in a thread, in order.

    The sources themselves are asked for in the caller's thread, one batch ahead. What `read` raises
    is raised here, when its batch is due; whoever leaves early waits for no source not yet begun.
    """
    waiting = iter(sources)
    pool = ThreadPoolExecutor(2)

    def start_reading() -> list[tuple[Source, Future[Read]]]:
        return [(source, pool.submit(read, source)) for source in islice(waiting, batch_size)]

    try:
        ahead = start_reading()
        while ahead:
            batch = [(source, reading.result()) for source, reading in ahead]
            ahead = start_reading()
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
