"""Measure how the gradient of the last loss vanishes or explodes back through the recurrence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from captioner.data.vocabulary import END, NEVER_WRITTEN, START
from captioner.files import atomic_write
from captioner.model.captioning_model import CaptioningModel
from captioner.model.recurrence import CELLS, State

ROWS = 16  # sequences over which a norm is averaged
INPUT_SCALE = 0.1  # with larger inputs tanh saturates, and every gradient vanishes


@dataclass(frozen=True)
class GradientNorms:
    """Norms of dL_T/dh_t by the distance T - t, from 0 on.

    name: the cell or the checkpoint; singular_value: the largest of its recurrent weights W_h, over
    the H x H blocks of all gates.
    """

    name: str
    singular_value: float
    norms: tuple[float, ...]

    @property
    def label(self) -> str:
        """The name in a table and a plot."""
        return f"{self.name}, {self.singular_value:.3g}"


def measure_cell(
    cell: str, *, hidden_size: int, steps: int, singular_value: float, seed: int
) -> GradientNorms:
    """Measure a new cell with orthogonal recurrent weights times singular_value, on weak noise.

    The loss is the last hidden state (ROWS, H) projected on a random direction. For the vanilla
    cell the norm at distance d is at most singular_value^d times that at 0, because
    dh_t/dh_{t-1} = diag(1 - h_t^2) W_h (Pascanu et al. 2013, section 2.1): below 1 it must vanish,
    above 1 it may explode.
    """
    torch.manual_seed(seed)
    module = CELLS[cell](hidden_size=hidden_size)
    for weight in module.parameters():
        if weight.ndim == 2:
            for block in weight.detach().split(hidden_size):
                nn.init.orthogonal_(block, gain=singular_value)
    biases = torch.tensor(module.gate_biases).repeat_interleave(hidden_size)
    state: State = tuple(torch.zeros(ROWS, hidden_size) for _ in range(module.state_parts))
    state = (state[0].requires_grad_(), *state[1:])
    hiddens = []
    for _ in range(steps):
        noise = INPUT_SCALE * torch.randn(ROWS, module.gates * hidden_size)  # (ROWS, gates * H)
        state = module(biases + noise, state)
        hiddens.append(state[0])
    direction = nn.functional.normalize(torch.randn(ROWS, hidden_size), dim=-1)  # (ROWS, H)
    return GradientNorms(cell, singular_value, _norms((state[0] * direction).sum(), hiddens))


def measure_model(model: CaptioningModel, *, name: str, steps: int, seed: int) -> GradientNorms:
    """Measure a trained decoder on sampled captions of noise pictures, without the end token.

    The loss is -log p of the last word; h_t is the hidden state of the top layer, in a top-down
    decoder that of the language cell. The gradient flows through the recurrence, the attention and
    the gate.
    """
    generator = torch.Generator().manual_seed(seed)
    size, (decoder, _) = model.encoder.image_size, model.eval().caption_parts()
    with torch.no_grad():
        features = model.encoder(torch.randn(ROWS, 3, size, size, generator=generator))  # (B, N, D)
        keys = decoder.attention.project(features)  # (B, N, A)
    state, words = decoder.start(features), torch.full((ROWS,), START)
    hiddens, log_probs = [], torch.zeros(ROWS)
    for _ in range(steps):
        logits, state, _ = decoder.step(words, state, features, keys)  # (B, V)
        logits[:, [*NEVER_WRITTEN, END]] = float("-inf")
        step_log_probs = torch.log_softmax(logits, dim=-1)  # (B, V)
        probs = step_log_probs.detach().exp()  # (B, V)
        words = torch.multinomial(probs, 1, generator=generator).squeeze(1)  # (B,)
        log_probs = step_log_probs.gather(1, words.unsqueeze(1))  # (B, 1)
        hiddens.append(state[0])
    return GradientNorms(name, _largest_singular_value(decoder), _norms(-log_probs.sum(), hiddens))


def _norms(loss: Tensor, hiddens: Sequence[Tensor]) -> tuple[float, ...]:
    """Mean norm over rows of the loss's gradient at each hidden state (rows, H), last one first."""
    gradients = torch.autograd.grad(loss, hiddens)
    return tuple(float(gradient.norm(dim=-1).mean()) for gradient in reversed(gradients))


def _largest_singular_value(module: nn.Module) -> float:
    """The largest singular value of the recurrent weights of all cells in a module."""
    blocks = [
        block
        for name, weight in module.named_parameters()
        if name.endswith("_gates.weight")  # as recurrence.py names them
        for block in weight.detach().split(weight.shape[1])
    ]
    return max(float(torch.linalg.matrix_norm(block, ord=2)) for block in blocks)


def draw(measured: Sequence[GradientNorms], file: Path) -> None:
    """Plot the norms, on a logarithmic scale, over the distance, as a PNG.

    Raises CaptionerError if the file cannot be written.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=matplotlib.colormaps["tab20"](range(20)))
    for line in measured:
        axes.plot(range(len(line.norms)), line.norms, label=line.label, marker=".")
    axes.set_yscale("log")
    axes.set_xlabel("distance T - t, in tokens")
    axes.set_ylabel("norm of dL_T/dh_t")
    figure.legend(loc="outside right upper", title="largest singular\nvalue of W_h")
    atomic_write(file, lambda partial: figure.savefig(partial, format="png", dpi=100))
