"""The recurrent cells, and several of them stacked, behind one step.

A cell is called with its projected input and its state and gives the next state. The caller
computes the projected input W_x x + b, of size gates * H, for all words at once. A state is a tuple
of tensors (rows, H), as many as `state_parts` says; the first is always the hidden state h, and
`memory_part` is the index of the memory, or of h where a cell has no other. `gate_biases` are the
initial values of the input biases, one per gate. Recurrent matrices, and nothing else, are modules
whose names end in `_gates`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class RNNCell(nn.Module):
    """Vanilla recurrence (Elman 1990): h' = tanh(W_x x + W_h h)."""

    gates = 1
    state_parts = 1
    memory_part = 0
    gate_biases = (0.0,)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden_gates = nn.Linear(hidden_size, hidden_size, bias=False)
        nn.init.orthogonal_(self.hidden_gates.weight)

    def forward(self, projected: Tensor, state: State) -> State:
        """Projected inputs (rows, H) and state (h,) to the next state."""
        return (torch.tanh(projected + self.hidden_gates(state[0])),)


class GRUCell(nn.Module):
    """Gated recurrent unit (Cho et al. 2014, with the reset after the product).

    With (r, z, n) = W_x x and (r', z', n') = W_h h in three parts of H, reset r and update z:
    r = sigmoid(r + r'), z = sigmoid(z + z'), n = tanh(n + r * (n' + b)), h' = (1 - z) * n + z * h.
    """

    gates = 3
    state_parts = 1
    memory_part = 0
    gate_biases = (0.0, 0.0, 0.0)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden_gates = nn.Linear(hidden_size, self.gates * hidden_size, bias=False)
        # Inside the reset, so the bias of the input cannot stand in for it.
        self.candidate_bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.orthogonal_(self.hidden_gates.weight)

    def forward(self, projected: Tensor, state: State) -> State:
        """Projected inputs (rows, 3 H) and state (h,) to the next state."""
        (hidden,) = state
        reset_input, update_input, candidate_input = projected.chunk(3, dim=-1)
        reset_hidden, update_hidden, candidate_hidden = self.hidden_gates(hidden).chunk(3, dim=-1)
        reset = torch.sigmoid(reset_input + reset_hidden)
        update = torch.sigmoid(update_input + update_hidden)
        candidate = torch.tanh(candidate_input + reset * (candidate_hidden + self.candidate_bias))
        # Not torch.lerp: under autocast the two can be of different types.
        return (candidate + update * (hidden - candidate),)


class LSTMCell(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates).

    With (i, f, g, o) = W_x x + W_h h in four parts of H, input, forget, candidate and output:
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g), h' = sigmoid(o) * tanh(c').
    The forget gate's bias starts at 1: remember at first.
    """

    gates = 4
    state_parts = 2
    memory_part = 1
    gate_biases = (0.0, 1.0, 0.0, 0.0)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden_gates = nn.Linear(hidden_size, self.gates * hidden_size, bias=False)
        nn.init.orthogonal_(self.hidden_gates.weight)

    def forward(self, projected: Tensor, state: State) -> State:
        """Projected inputs (rows, 4 H) and state (h, c) to the next state."""
        hidden, cell = state
        total = projected + self.hidden_gates(hidden)
        write, keep, candidate, show = total.chunk(4, dim=-1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(candidate)
        return torch.sigmoid(show) * torch.tanh(cell), cell


class HighwayCell(nn.Module):
    """Recurrent highway network, two highway layers deep a step (Zilly et al. 2017, equations 6-9).

    Each layer turns s into s' = t * tanh(n) + (1 - t) * s with transform gate t = sigmoid(u) and
    (n, u) = W_s s, plus W_x x in the first layer and a bias in the second; s starts as h and ends
    as h'. The gates' biases start at -2: carry at first.
    """

    gates = 2
    state_parts = 1
    memory_part = 0
    gate_biases = (0.0, -2.0)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden_gates = nn.Linear(hidden_size, self.gates * hidden_size, bias=False)
        self.second_gates = nn.Linear(hidden_size, self.gates * hidden_size)
        nn.init.orthogonal_(self.hidden_gates.weight)
        nn.init.orthogonal_(self.second_gates.weight)
        start_biases(self.second_gates, self.gate_biases)

    def forward(self, projected: Tensor, state: State) -> State:
        """Projected inputs (rows, 2 H) and state (h,) to the next state."""
        (hidden,) = state
        hidden = _highway(projected + self.hidden_gates(hidden), hidden)
        return (_highway(self.second_gates(hidden), hidden),)


def _highway(total: Tensor, hidden: Tensor) -> Tensor:
    candidate, transform = total.chunk(2, dim=-1)
    return hidden + torch.sigmoid(transform) * (torch.tanh(candidate) - hidden)


Cell = RNNCell | GRUCell | LSTMCell | HighwayCell
CELLS: dict[str, type[Cell]] = {
    "rnn": RNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "highway": HighwayCell,
}


class StackedCells(nn.Module):
    """Cells on top of each other: each reads the new hidden state of the one below (Graves 2013).

    Is itself called like a cell: the bottom one gets the projected input, with dropout between
    the layers. Its state holds the parts of the top layer first and those of the bottom one last.
    """

    def __init__(self, cells: Sequence[Cell], *, dropout: float) -> None:
        super().__init__()
        bottom = cells[0]
        self.hidden_size = bottom.hidden_size
        self.gates = bottom.gates
        self.gate_biases = bottom.gate_biases
        self.parts_a_layer = bottom.state_parts
        self.state_parts = len(cells) * bottom.state_parts
        self.memory_part = bottom.memory_part
        self.cells = nn.ModuleList(cells)
        size = bottom.hidden_size
        self.inputs = nn.ModuleList(nn.Linear(size, cell.gates * size) for cell in cells[1:])
        self.dropout = nn.Dropout(dropout)
        for layer, cell in zip(self.inputs, cells[1:], strict=True):
            start_biases(layer, cell.gate_biases)

    def forward(self, projected: Tensor, state: State) -> State:
        """The bottom layer's projected inputs (rows, gates H) and all layers' state to the next."""
        parts = self.parts_a_layer
        new: State = ()
        for number, cell in enumerate(self.cells):
            if number:
                projected = self.inputs[number - 1](self.dropout(new[0]))
            end = len(state) - number * parts
            new = (*cell(projected, state[end - parts : end]), *new)
        return new


def start_biases(layer: nn.Module, gate_biases: Sequence[float]) -> None:
    """Set the bias of a cell's input layer to a number a gate."""
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        values = torch.tensor(gate_biases)
        layer.bias.copy_(values.repeat_interleave(layer.out_features // len(values)))


def make_cell(name: str, *, hidden_size: int, layers: int, dropout: float) -> Cell | StackedCells:
    """The cell of this name, of CELLS, alone or in a stack of several layers."""
    cells = [CELLS[name](hidden_size=hidden_size) for _ in range(layers)]
    return cells[0] if layers == 1 else StackedCells(cells, dropout=dropout)
