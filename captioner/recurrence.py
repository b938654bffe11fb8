"""The recurrent cell. Its inputs are projected outside, so that known words cost one product."""

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # hidden and cell, each (rows, H)


class LSTMCell(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates).

    With (i, f, g, o) = W_x x + W_h h in four parts of H:
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g), h' = sigmoid(o) * tanh(c').
    W_x x, its bias included, is what `forward` is given; `gates` times H is its size.
    """

    gates = 4

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_gates = nn.Linear(hidden_size, self.gates * hidden_size, bias=False)
        nn.init.orthogonal_(self.hidden_gates.weight)

    def forward(self, projected: Tensor, state: State) -> State:
        """Projected inputs (rows, 4 H) and state to the next state, each (rows, H)."""
        hidden, cell = state
        total = projected + self.hidden_gates(hidden)
        write, keep, candidate, show = total.chunk(4, dim=-1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(candidate)
        return torch.sigmoid(show) * torch.tanh(cell), cell
