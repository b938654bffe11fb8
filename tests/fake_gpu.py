"""A GPU that computes nothing: tensors of torch's FakeTensorMode, which know only their shape, type
and device. An operation on tensors of two devices raises there, and so does every look at a value,
for which a real GPU would have to be waited for. What it cannot do is made up for here: backward,
which asks the driver of a real GPU, and pinned memory.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.autograd.function import BackwardCFunction
from torch.utils._python_dispatch import TorchDispatchMode

from captioner.model import teacher_forcing
from captioner.training import step

CUDA = torch.device("cuda", 0)


class Counted(TorchDispatchMode):
    """Counts the operations that are dispatched; not those that only make a view of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        returned = function._schema.returns
        is_view = any(value.alias_info and not value.alias_info.is_write for value in returned)
        if not is_view and function is not torch.ops.aten._unsafe_view.default:
            self.operations[str(function)] += 1
        return function(*arguments, **(named or {}))


class Watched(TorchDispatchMode):
    """Refuses copies from the host to the GPU and back that one side waits for, and counts others.

    to_gpu: copies to the GPU; to_host: those to the host, which `read_back` allows, though they
    wait.
    """

    def __init__(self, *, read_back: bool = False) -> None:
        super().__init__()
        self.read_back = read_back
        self.to_gpu = self.to_host = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        named = named or {}
        result = function(*arguments, **named)
        if function in _INDEXED and arguments[0].device.type == "cuda":
            for index in arguments[1]:
                elsewhere = index is not None and index.device.type != "cuda"
                assert not elsewhere, f"{function} by indices on the {index.device} waits"
        if isinstance(result, Tensor) and function in (
            torch.ops.aten._to_copy.default,
            torch.ops.aten.copy_.default,
        ):
            source = arguments[-1] if function is torch.ops.aten.copy_.default else arguments[0]
            self._see(f"{function}", source.device, result.device, named.get("non_blocking"))
        return result

    def _see(self, name: str, source: torch.device, to: torch.device, non_blocking: Any) -> None:
        if source.type == to.type:
            return
        read = to.type == "cpu" and self.read_back
        assert non_blocking or read, f"{name} from {source} to {to} waits"
        self.to_gpu += to.type == "cuda"
        self.to_host += read


_INDEXED = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
)

_numpy = Tensor.numpy


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[NDArray[Any]]]:
    """The arrays that tensors are made into, for a fake GPU to say them again."""
    arrays: list[NDArray[Any]] = []

    def record(tensor: Tensor) -> NDArray[Any]:
        arrays.append(_numpy(tensor))
        return arrays[-1].copy()

    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "numpy", record)
        yield arrays


def _said_again(arrays: Iterable[NDArray[Any]]) -> Callable[[Tensor], NDArray[Any]]:
    waiting = iter(arrays)

    def numpy(tensor: Tensor) -> NDArray[Any]:
        if not isinstance(tensor, FakeTensor):
            return _numpy(tensor)
        array = next(waiting)
        assert array.shape == tensor.shape and str(tensor.dtype) == f"torch.{array.dtype}"
        return array.copy()

    return numpy


@contextmanager
def fake_gpu(
    monkeypatch: pytest.MonkeyPatch, read_back: Sequence[NDArray[Any]] = ()
) -> Iterator[Watched]:
    """Let tensors be made on a GPU that is not there, and complain of waiting for it.

    read_back: what the tensors are that the host asks for, in order; else it may ask for none.
    """
    monkeypatch.setattr(Tensor, "numpy", _said_again(read_back))
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(Tensor, "backward", lambda loss: backward([loss], [torch.ones_like(loss)]))
    monkeypatch.setattr(torch.autograd, "grad", gradients)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    for place, name in ((teacher_forcing, "Plan"), (step, "_on_host"), (torch, "from_numpy")):
        monkeypatch.setattr(place, name, _with_real_tensors(getattr(place, name)))
    # Fallbacks to real tensors would need a real GPU, too.
    watched = Watched(read_back=bool(read_back))
    with FakeTensorMode(allow_non_fake_inputs=True), watched:
        yield watched


def _with_real_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the host that looks at values, which fake tensors do not have."""

    def call(*arguments: Any) -> Any:
        with unset_fake_temporarily():
            return function(*arguments)

    return call


def move_to_gpu(model: nn.Module) -> None:
    """Give a model tensors on the fake GPU in place of its own."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                empty = torch.empty(value.shape, dtype=value.dtype, device=CUDA)
                module._parameters[name] = nn.Parameter(empty, value.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=CUDA)


def gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], grads: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """As torch.autograd.grad, of inputs that are leaves without a gradient."""
    backward(outputs, grads)
    found = tuple(value.grad for value in inputs)
    for value in inputs:
        value.grad = None
    return found


@torch.no_grad()
def backward(outputs: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """Backpropagate through the graph that autograd has recorded, node by node."""
    waiting: Counter[Any] = Counter()  # of how many nodes a node still needs the gradient
    known: dict[Any, None] = {}
    stack = [output.grad_fn for output in outputs]
    while stack:
        node = stack.pop()
        if node not in known:
            known[node] = None
            following = [after for after, _ in node.next_functions if after is not None]
            waiting.update(following)
            stack += following
    received: defaultdict[Any, dict[int, Tensor]] = defaultdict(dict)
    for output, grad in zip(outputs, grads, strict=True):
        received[output.grad_fn][output.output_nr] = grad
    ready = list(dict.fromkeys(o.grad_fn for o in outputs if not waiting[o.grad_fn]))
    while ready:
        node = ready.pop()
        for (after, index), grad in _apply(node, received.pop(node, {})):
            if grad is not None:
                _receive(received[after], after, index, grad)
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)


def _apply(node: Any, got: dict[int, Tensor]) -> Iterable[tuple[Any, Tensor | None]]:
    """The gradients that a node gives to others, with these; to a leaf's own its is added."""
    following = [edge for edge in node.next_functions if edge[0] is not None]
    if hasattr(node, "variable"):
        for grad in got.values():
            node.variable.grad = grad if node.variable.grad is None else node.variable.grad + grad
        return []
    if not got:
        return zip(following, [None] * len(following), strict=True)
    sent = [got.get(index) for index in range(len(node._input_metadata))]
    if not isinstance(node, BackwardCFunction):
        computed = node(*sent)
        computed = computed if isinstance(computed, tuple) else (computed,)
        pairs = zip(node.next_functions, computed, strict=True)
        return [(edge, grad) for edge, grad in pairs if edge[0] is not None]
    # One of ours: it gets zeros for what has no gradient, and answers for all its arguments.
    for index, about in enumerate(node._input_metadata):
        if sent[index] is None:
            sent[index] = torch.zeros(tuple(about.shape), dtype=about.dtype, device=about.device)
    computed = node.apply(*sent)
    needed = [grad for grad, need in zip(computed, node.needs_input_grad, strict=True) if need]
    return zip(following, needed, strict=True)


def _receive(received: dict[int, Tensor], node: Any, index: int, grad: Tensor) -> None:
    """Add a gradient to what a node has received, in the shape and type of what it is of."""
    about = node.variable if hasattr(node, "variable") else node._input_metadata[index]
    assert grad.device == about.device, f"{node.name()}: {grad.device}, not {about.device}"
    grad = grad.sum_to_size(tuple(about.shape)).to(about.dtype)
    received[index] = received[index] + grad if index in received else grad
