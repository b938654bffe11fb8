"""The processes that train one model together, as torchrun starts them; without it there is one.

Each takes its parts of every batch and adds its gradients to those of the others, so that all have
the same weights after every step. Only the first one writes files.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from captioner.data.parts import Parts
from captioner.errors import CaptionerError
from captioner.runtime import choose_device

Value = TypeVar("Value")

# The first process may build a feature cache for hours. torchrun ends those that wait for one that
# has ended, so that no process waits in vain.
_LONGEST_WAIT = timedelta(days=7)

# Two failures at the same time: torchrun ends all processes as soon as the first has ended, so that
# one which has nothing to say gives the other time to say it.
_SECONDS_TO_SPEAK = 1.0


class LostProcess(CaptionerError):
    """Another process of the run has ended before its time."""


class SaidElsewhere(CaptionerError):
    """Another process has failed before this one, and says why."""


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and talks to the user."""
    return rank() == 0


def is_restarted() -> bool:
    """Whether torchrun has started the processes again (--max-restarts), since one had ended."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined(device: str | None) -> Iterator[torch.device]:
    """Join the processes that torchrun has started, if any; gives the device of this one.

    device: as for `choose_device`; on GPUs each process of a machine has its own. A CaptionerError
    says in which process it was raised. Where several fail, the first one raises its error and the
    others SaidElsewhere.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield choose_device(device)
        return
    store, number, _ = next(dist.rendezvous("env://", timeout=timedelta(minutes=10)))
    # torchrun may keep its store when it starts the processes again, with what the former ones
    # wrote into it, such as their addresses.
    store = dist.PrefixStore(f"attempt {_attempt()}", store)
    try:
        chosen = _own_device(device)
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        with _noticing_the_end():
            dist.init_process_group(
                backend, store=store, rank=number, world_size=count, timeout=_LONGEST_WAIT
            )
        yield chosen
    except CaptionerError as error:
        failed_before = 0
        with suppress(RuntimeError):  # the store has ended with the machine that had it
            failed_before = store.add("failed", 1) - 1
        if failed_before:
            time.sleep(_SECONDS_TO_SPEAK)
            raise SaidElsewhere(str(error)) from error
        error.args = (f"rank {number} of {count}: {error}",)
        raise
    dist.destroy_process_group()


def _own_device(name: str | None) -> torch.device:
    """The device of this process; CaptionerError where there are fewer GPUs than processes."""
    if not torch.cuda.is_available() or not (name or "cuda").startswith("cuda"):
        return choose_device(name)
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if name not in (None, "cuda") or local >= there:
        raise CaptionerError(
            f"device {name or 'cuda'!r} for {os.environ.get('LOCAL_WORLD_SIZE')} processes and "
            f"{there} GPUs: each process needs a GPU of its own; start at most {there} with "
            "--nproc-per-node, and give --device cuda or cpu"
        )
    torch.cuda.set_device(local)  # before anything is on a GPU, or all would take memory of one
    return torch.device("cuda", local)


@contextmanager
def _noticing_the_end() -> Iterator[None]:
    """Raise LostProcess where a process to talk to has ended."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcess(
            "another process of this run has ended; the state that was saved last is kept: "
            "go on from it with --resume"
        ) from error


def add_up(values: Tensor) -> Tensor:
    """The sum of the values of all processes, written into `values` and returned."""
    if size() > 1:
        with _noticing_the_end():
            dist.all_reduce(values)
    return values


def in_any(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(add_up(torch.tensor(int(flag))))


def gather(value: Value) -> list[Value]:
    """The values of all processes, in their order."""
    if size() == 1:
        return [value]
    values: list[Value] = [value] * size()
    with _noticing_the_end():
        dist.all_gather_object(values, value)
    return values


def from_first(value: Value) -> Value:
    """The value that the first process has."""
    return gather(value)[0]


def wait_for_all() -> None:
    """Wait until every process has come here."""
    in_any(False)


@contextmanager
def first_ahead() -> Iterator[None]:
    """The others wait until the first process is through the block; then it is their turn."""
    if not is_first():
        wait_for_all()
    yield
    if is_first():
        wait_for_all()


def check_same(values: dict[str, object]) -> None:
    """Check that these values, by what they are, are those of the first process."""
    first = from_first(values)
    differing = [name for name, value in values.items() if value != first[name]]
    if differing:
        raise CaptionerError(
            f"not the same here as in the first process: {', '.join(differing)}; let all processes "
            "see the same files, as in a folder that all machines share"
        )


def own_parts(accumulate: int) -> Parts:
    """The parts of each batch that are this process's, `accumulate` of them."""
    start = rank() * accumulate
    return Parts(size() * accumulate, range(start, start + accumulate))


def add_up_gradients(parameters: Sequence[Tensor], measured: Tensor) -> None:
    """Add up gradients, and the numbers `measured`, over all processes, in place.

    A process whose parts of the batch were empty has no gradients, and gets those of the others. A
    weight that has a gradient in no process gets none.
    """
    if size() == 1:
        return
    used = add_up(torch.tensor([parameter.grad is not None for parameter in parameters]).int())
    pairs = zip(parameters, used.tolist(), strict=True)
    with_gradient = [parameter for parameter, count in pairs if count]
    for parameter in with_gradient:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    totals = [*(p.grad for p in with_gradient if p.grad is not None), measured]
    flat = add_up(torch.cat([total.reshape(-1) for total in totals]))
    pieces = flat.split([total.numel() for total in totals])
    views = [piece.view(total.shape) for piece, total in zip(pieces, totals, strict=True)]
    torch._foreach_copy_(totals, views)


@torch.no_grad()
def average(values: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes."""
    for value in values if size() > 1 else ():
        add_up(value).div_(size())


def seed_dropout(seed: int, step: int) -> None:
    """Let dropout draw in each process, and in each step, something of its own.

    It then depends on nothing but these, so that a resumed run repeats it. A single process draws
    on instead.
    """
    if size() > 1:
        torch.manual_seed((seed * 1_000_003 + step) * size() + rank())
