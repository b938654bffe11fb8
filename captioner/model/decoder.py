"""The caption decoder: a recurrent network with attention to the picture before every word."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.recurrence import Cell, StackedCells, State, start_biases

if TYPE_CHECKING:
    from captioner.model.sentinel import AdaptiveAttention
    from captioner.model.teacher_forcing import TeacherForced
    from captioner.model.top_down import AttentionCell

# For so few rows the vocabulary's matrix times columns takes half as long as rows times it.
_FEW_ROWS = 8


class CaptionDecoder(nn.Module):
    """Recurrent cells with spatial attention (Xu et al. 2015, section 3.1.2, where it is an LSTM).

    The initial state is computed from the mean feature; the context may be gated by a sigmoid of
    the hidden state (one gate a feature); words are predicted by the deep output layer
    E^T(dropout(E y + W_h h + W_z z)), equation 7, whose output matrix is the word embedding.

    The query of the attention is the cell's hidden state before the word. With an attention cell,
    it is that cell's, which has read the word, and the decoder's cell reads the context (Anderson
    et al. 2018); the state is then the cell's own parts, followed by those of the attention cell.
    """

    def __init__(
        self,
        *,
        attention: SpatialAttention | FixedContext,
        cell: Cell | StackedCells,
        vocabulary_size: int,
        feature_size: int,
        embedding_size: int,
        context_gate: bool,
        embedding_dropout: float,
        hidden_dropout: float,
        sentinel: "AdaptiveAttention | None" = None,
        attention_cell: "AttentionCell | None" = None,
    ) -> None:
        super().__init__()
        hidden_size = cell.hidden_size
        self.attention = attention
        self.sentinel = sentinel
        self.attention_cell = attention_cell
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.initial_state = nn.Linear(feature_size, cell.state_parts * hidden_size)
        self.context_gate = nn.Linear(hidden_size, feature_size) if context_gate else None
        self.cell = cell
        self.word_input = nn.Linear(embedding_size, cell.gates * hidden_size)
        self.context_input = nn.Linear(feature_size, cell.gates * hidden_size, bias=False)
        self.hidden_output = nn.Linear(hidden_size, embedding_size)
        self.context_output = nn.Linear(feature_size, embedding_size, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.hidden_dropout = nn.Dropout(hidden_dropout)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        start_biases(self.word_input, cell.gate_biases)

    def store_transposed(self) -> None:
        """Lay each layer's matrix out in memory column by column: faster for few rows.

        A product of one to three rows takes as long as reading its matrix, and a processor reads
        one of (in, out) faster than PyTorch's (out, in). Only the strides change: shapes, names and
        values stay, so that the weights can be trained, saved and loaded as before.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.data = layer.weight.data.t().contiguous().t()

    def start(self, features: Tensor) -> State:
        """State before the first word, each part (B, H), from the mean of features (B, N, D)."""
        mean = features.mean(1)
        state = torch.tanh(self.initial_state(mean)).split(self.cell.hidden_size, dim=-1)
        if self.attention_cell is None:
            return state
        return (*state, *self.attention_cell.start(mean))

    def attention_step(self, word_input: Tensor, state: State) -> tuple[Tensor, State, State]:
        """Before attention: the cell's input beside the context, the query's state, and the state.

        word_input (rows, gates H): the embedded words, projected. The query's state is that of the
        attention cell where there is one, else the cell's own.
        """
        if self.attention_cell is None:
            return word_input, state, state
        own = self.cell.state_parts
        projected, query_state = self.attention_cell(word_input, state[0], state[own:])
        return projected, query_state, (*state[:own], *query_state)

    def query(self, embedded: Tensor, query_state: State) -> Tensor:
        """The query of `attend` (rows, H); with a sentinel, its key and value follow.

        embedded: the words E y (rows, E) that were read.
        """
        if self.sentinel is None:
            return query_state[0]
        return self.sentinel.query(embedded, query_state)

    def attend(self, query: Tensor, keys: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Context (rows, D) and weights (rows, N), which with a sentinel sum to less than 1."""
        attention = self.attention if self.sentinel is None else self.sentinel
        return attention(query, keys, features)

    def decoder_step(
        self, projected: Tensor, context: Tensor, query_state: State, state: State
    ) -> tuple[Tensor, State]:
        """After attention: gate the context (rows, D), then one step of the cell.

        projected, query_state, state: from `attention_step`. Returns context and state.
        """
        if self.context_gate is not None:
            context = context * torch.sigmoid(self.context_gate(query_state[0]))  # (rows, D)
        own = self.cell.state_parts
        new = self.cell(projected + self.context_input(context), state[:own])
        return context, (*new, *state[own:])

    def logits(self, embedded: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
        """Deep output: scores (rows, V) of every word, from E y (rows, E), z and h."""
        output = embedded + self.hidden_output(hidden) + self.context_output(context)
        output = self.hidden_dropout(output)
        if not torch.compiler.is_exporting() and len(output) <= _FEW_ROWS:
            # A single column would be a matrix times a vector, which takes longer than two columns.
            pair = output if len(output) > 1 else output.repeat(2, 1)
            columns = self.embedding.weight @ pair.t()  # (V, rows)
            return columns[:, : len(output)].t().contiguous() + self.output_bias
        return nn.functional.linear(output, self.embedding.weight, self.output_bias)

    def step(
        self, words: Tensor, state: State, features: Tensor, keys: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """Words (B·G,) and state to the next word's logits (B·G, V), state and weights (B·G, N).

        G consecutive rows look at the same picture of features (B, N, D) and keys (B, N, A).
        """
        embedded = self.embedding_dropout(self.embedding(words))  # (B·G, E)
        projected, query_state, state = self.attention_step(self.word_input(embedded), state)
        query = self.query(embedded, query_state)  # (B·G, H)
        context, weights = self.attend(query, keys, features)  # (B·G, D), (B·G, N)
        context, state = self.decoder_step(projected, context, query_state, state)
        return self.logits(embedded, context, state[0]), state, weights

    def forward(
        self,
        tokens: Tensor,
        lengths: list[int],
        pictures: Tensor,
        features: Tensor,
        truncate_steps: int = 0,
    ) -> "TeacherForced":
        """Teacher forcing over captions of many pictures; the recurrence shrinks as captions end.

        tokens (captions, 1 + longest): START, words, END, padding. lengths: words and END of each
        caption. pictures (captions,): which row of features (B, N, D) each describes.
        truncate_steps: after so many words the state is carried on but no gradient flows back
        through it (truncated backpropagation through time, Williams and Peng 1990); 0: never.
        """
        from captioner.model.teacher_forcing import teach  # not needed for a caption

        return teach(self, tokens, lengths, pictures, features, truncate_steps)
