"""The first of the top-down decoder's two cells: it decides where to look."""

from torch import Tensor, nn

from captioner.model.recurrence import Cell, StackedCells, State, start_biases


class AttentionCell(nn.Module):
    """Asks the attention, before the decoder's own cell writes (Anderson et al. 2018, section 3.2).

    Reads the hidden state of the cell that writes, the mean feature and the word before (equation
    2); its own hidden state is the query, and goes with the context to the cell that writes
    (equation 6). It starts from zeros, for it reads the mean feature before every word.

    Its state is that of its cell and, as the last part, the projected mean feature (rows, gates H):
    computed once a picture, and cut off with the state where the gradient through time is.
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
        mean_input = self.mean_input(mean)
        zeros = mean_input.new_zeros(len(mean), self.cell.hidden_size)
        return (*[zeros] * self.cell.state_parts, mean_input)

    def forward(self, word_input: Tensor, written: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: what the cell that writes gets of it, projected (rows, gates H), and its state.

        word_input (rows, gates H): the embedded words, projected; written (rows, H): the hidden
        state of the cell that writes.
        """
        *own, mean_input = state
        projected = word_input + self.writer_input(written) + mean_input
        new = self.cell(projected, tuple(own))
        return self.output(new[0]), (*new, mean_input)
