"""The attention cell, the first of the two cells of a top-down decoder."""

from torch import Tensor, nn

from captioner.model.recurrence import Cell, StackedCells, State, start_biases


class AttentionCell(nn.Module):
    """Makes the attention query, before the language cell runs (Anderson et al. 2018, section 3.2).

    It reads the hidden state of the language cell, the mean feature and the previous word (equation
    2). Its own hidden state is the query and, with the context, the input of the language cell
    (equation 6). It starts from zeros, since it reads the mean feature at every step.

    Its state is that of its cell plus, as the last part, the projected mean feature (rows, gates
    H): computed once per picture, and detached with the state where the gradient is truncated.
    """

    def __init__(self, *, cell: Cell | StackedCells, feature_size: int) -> None:
        super().__init__()
        hidden_size, gates = cell.hidden_size, cell.gates * cell.hidden_size
        self.cell = cell
        self.mean_input = nn.Linear(feature_size, gates, bias=False)
        self.writer_input = nn.Linear(hidden_size, gates, bias=False)
        self.output = nn.Linear(hidden_size, gates)
        start_biases(self.output, cell.gate_biases)

    def start(self, mean: Tensor) -> State:
        """State before the first word, from the mean feature (B, D)."""
        mean_input = self.mean_input(mean)  # (B, gates H)
        zeros = mean_input.new_zeros(mean.shape[0], self.cell.hidden_size)  # (B, H)
        return (*[zeros] * self.cell.state_parts, mean_input)

    def forward(self, word_input: Tensor, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: its projected output for the language cell (rows, gates H), and its new state.

        word_input (rows, gates H): the projected word embeddings; hidden (rows, H): that of the
        language cell.
        """
        *cell_state, mean_input = state
        projected = word_input + self.writer_input(hidden) + mean_input  # (rows, gates H)
        new = self.cell(projected, tuple(cell_state))
        return self.output(new[0]), (*new, mean_input)
