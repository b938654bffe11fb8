"""Where and how work runs: the device, pictures read ahead, batches side by side on a CPU."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from captioner.errors import CaptionerError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PRECISIONS = ("float32", "bf16")

# torch is imported where it is used, since ONNX Runtime does without.


def choose_device(name: str | None) -> "torch.device":
    """The device of this name, or without one the GPU if there is one; CaptionerError if not."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but none that can be read
    except (RuntimeError, AssertionError, ImportError) as error:
        there = ["cpu"] + [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise CaptionerError(
            f"device {name!r} is not there; this machine has {', '.join(there)}"
        ) from error
    return device


def check_precision(precision: str, device: "torch.device") -> None:
    """Raise CaptionerError for a precision that is none of PRECISIONS or that the device lacks."""
    if precision not in PRECISIONS:
        raise CaptionerError(f"precision is {precision!r}; expected {' or '.join(PRECISIONS)}")
    if precision == "bf16" and device.type == "cpu" and not has_bfloat16():
        raise CaptionerError(
            "this processor has no bfloat16 instructions and would take many times longer; leave "
            "precision at float32"
        )


def has_bfloat16() -> bool:
    """Whether matrix products in bfloat16 use the processor's own instructions."""
    import torch

    available = torch.backends.mkldnn.is_available()
    return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def may_have_gpu() -> bool:
    """Whether there may be a GPU that torch would use, told without torch: where in doubt, yes."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset") in ("", "-1"):
        return False
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "")) / "System32" / "nvcuda.dll").exists()
    # The drivers of NVIDIA, of Windows below Linux, and of AMD.
    return any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def _after_fork() -> None:
    """Make a forked process independent of threads that only its parent has.

    OpenMP would wait for ever for its threads; with one thread it needs none.
    """
    global _STARTING
    _STARTING = threading.Lock()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def move(values: "Tensor", device: "torch.device") -> "Tensor":
    """A tensor on this device; one from the host is moved while the host goes on with its work."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def move_together(values: "Sequence[Tensor]", device: "torch.device") -> "list[Tensor]":
    """Tensors of one type on this device, moved all at once; those already there stay."""
    import torch

    if all(value.device == device for value in values):
        return list(values)
    moved = move(torch.cat([value.flatten() for value in values]), device)
    pieces = moved.split([value.numel() for value in values])
    return [piece.view(value.shape) for piece, value in zip(pieces, values, strict=True)]


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


Batch = TypeVar("Batch")
Done = TypeVar("Done")

# Each holds a batch in memory.
AT_ONCE = 4

_STARTING = threading.Lock()


def side_by_side(
    batches: Iterable[Batch], work: Callable[[Batch], Done], device: "torch.device"
) -> Iterator[Done]:
    """What `work` makes of each batch, in order; on a processor of several at once, at most 4.

    Two cores on one batch are 1.5 times as fast as one core; with a batch each, 1.75 times. So
    torch's threads are divided among as many batches, if there are more batches than that. Fewer
    batches, and those of a GPU, follow one another in the caller's thread; else see `in_pool`.
    `work` has to set contexts such as autocast itself.
    """
    import torch

    with _STARTING:
        threads = torch.get_num_threads()
    each = -(-threads // AT_ONCE)
    workers = threads // each if device.type == "cpu" else 1
    yield from in_pool(batches, work, workers, lambda: _start(workers, each, threads))


def in_pool(
    batches: Iterable[Batch],
    work: Callable[[Batch], Done],
    workers: int,
    start: Callable[[], ThreadPoolExecutor],
) -> Iterator[Done]:
    """What `work` makes of each batch, in order, in the pool of so many workers that `start` gives.

    No more batches than workers follow one another in the caller's thread, without a pool.

    Batches are asked for in the caller's thread, at most one more than are worked on. An error of
    the batches is raised here after the results before it, an error of `work` when its batch is
    due. A caller that stops early does not wait; the results of batches that have begun are
    dropped.
    """
    waiting = iter(batches)
    ahead = list(islice(waiting, workers + 1)) if workers > 1 else []
    together, pending = len(ahead) > workers, chain(ahead, waiting)
    del ahead  # the chain lets go of each as it is asked for
    if not together:
        for batch in pending:
            yield work(batch)
        return
    pool = start()
    running: deque[Future[Done]] = deque()
    failure: Exception | None = None
    try:
        while failure is None:
            try:
                running.append(pool.submit(work, next(pending)))
            except StopIteration:
                break
            except Exception as error:
                failure = error
            while len(running) > workers or (running and running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure


def _start(workers: int, each: int, threads: int) -> ThreadPoolExecutor:
    """A pool of threads with so many of torch's each; the caller's, and others', stay `threads`."""
    import torch

    ready = threading.Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # from then on what is set for all is no longer taken over
        torch.set_num_threads(each)
        ready.wait()

    with _STARTING:
        pool = ThreadPoolExecutor(workers, initializer=begin)
        for _ in range(workers):  # none is idle before all have begun, so each starts a thread
            pool.submit(int)
        ready.wait()
        torch.set_num_threads(threads)
    return pool
