"""The caption decoder: a recurrent network that looks at the picture before every word."""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.recurrence import Cell, StackedCells, State, start_biases
from captioner.model.sentinel import AdaptiveAttention
from captioner.model.top_down import AttentionCell

# For so few rows the vocabulary's matrix times columns takes half as long as rows times it.
_FEW_ROWS = 8


@dataclass(frozen=True)
class TeacherForced:
    """Every word of a batch of captions, predicted from the words before it; M words in all.

    logits (M, V), targets (M,), weights (M, N): step by step, the longest captions first, with
    no padding between. captions (M,): which row of the batch a word belongs to; positions (M,):
    which of its words it is, from 0. What a row of weights lacks to 1 went to the sentinel.
    """

    logits: Tensor
    targets: Tensor
    weights: Tensor
    captions: Tensor
    positions: Tensor


class CaptionDecoder(nn.Module):
    """Recurrent cells with spatial attention (Xu et al. 2015, section 3.1.2, where it is an LSTM).

    The initial state is computed from the mean feature; the context may be gated by a sigmoid of
    the hidden state (one gate a feature); words are predicted by the deep output layer
    E^T(dropout(E y + W_h h + W_z z)), equation 7, whose output matrix is the word embedding.

    The cell itself looks, with the hidden state it has before the word. With an attention cell it
    is that one which reads the word and looks, and the cell reads what it saw (Anderson et al.
    2018); the state is then the cell's own parts first, after them those of the attention cell.
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
        sentinel: AdaptiveAttention | None = None,
        attention_cell: AttentionCell | None = None,
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

    def start(self, features: Tensor) -> State:
        """State before the first word, each part (B, H), from the mean of features (B, N, D)."""
        mean = features.mean(1)
        state = torch.tanh(self.initial_state(mean)).split(self.cell.hidden_size, dim=-1)
        if self.attention_cell is None:
            return state
        return (*state, *self.attention_cell.start(mean))

    def turn(self, word_input: Tensor, state: State) -> tuple[Tensor, State, State]:
        """Before attention: what the cell is to read beside the context, who looks, and the state.

        word_input (rows, gates H): the embedded words, projected. Who looks is a cell's state.
        """
        if self.attention_cell is None:
            return word_input, state, state
        own = self.cell.state_parts
        projected, looker = self.attention_cell(word_input, state[0], state[own:])
        return projected, looker, (*state[:own], *looker)

    def query(self, embedded: Tensor, looker: State) -> Tensor:
        """What `look` is asked with: the hidden state of the cell that looks (rows, H).

        With a sentinel, that goes with it; embedded: the words E y (rows, E) that were read.
        """
        return looker[0] if self.sentinel is None else self.sentinel.query(embedded, looker)

    def look(self, query: Tensor, keys: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Context (rows, D) and weights (rows, N), which with a sentinel sum to less than 1."""
        reader = self.attention if self.sentinel is None else self.sentinel
        return reader(query, keys, features)

    def recur(
        self, projected: Tensor, context: Tensor, looker: State, state: State
    ) -> tuple[Tensor, State]:
        """After attention: gate the context (rows, D), then one step of the cell.

        projected, looker, state: from `turn`. Returns context and state.
        """
        if self.context_gate is not None:
            context = context * torch.sigmoid(self.context_gate(looker[0]))
        own = self.cell.state_parts
        written = self.cell(projected + self.context_input(context), state[:own])
        return context, (*written, *state[own:])

    def logits(self, embedded: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
        """Deep output: scores (rows, V) of every word, from E y (rows, E), z and h."""
        output = embedded + self.hidden_output(hidden) + self.context_output(context)
        output = self.hidden_dropout(output)
        if len(output) <= _FEW_ROWS:
            columns = self.embedding.weight @ output.t()
            return columns.t().contiguous() + self.output_bias
        return nn.functional.linear(output, self.embedding.weight, self.output_bias)

    def step(
        self, words: Tensor, state: State, features: Tensor, keys: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """Words (B·G,) and state to the next word's logits (B·G, V), state and weights (B·G, N).

        G consecutive rows look at the same picture of features (B, N, D) and keys (B, N, A).
        """
        embedded = self.embedding_dropout(self.embedding(words))
        projected, looker, state = self.turn(self.word_input(embedded), state)
        context, weights = self.look(self.query(embedded, looker), keys, features)
        context, state = self.recur(projected, context, looker, state)
        return self.logits(embedded, context, state[0]), state, weights

    def forward(
        self,
        tokens: Tensor,
        lengths: list[int],
        pictures: Tensor,
        features: Tensor,
        truncate_steps: int = 0,
    ) -> TeacherForced:
        """Teacher forcing over captions of many pictures; the recurrence shrinks as captions end.

        tokens (captions, 1 + longest): START, words, END, padding. lengths: words and END of each
        caption. pictures (captions,): which row of features (B, N, D) each describes.
        truncate_steps: after so many words the state is carried on but no gradient flows back
        through it (truncated backpropagation through time, Williams and Peng 1990); 0: never.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        rows = torch.tensor(order, device=tokens.device)
        tokens, pictures = tokens[rows], pictures[rows]
        state: State = tuple(part[pictures] for part in self.start(features))
        ranks, places = _layout(pictures.tolist())
        # The pictures of the longest captions first: those whose captions have ended are cut off.
        features = features.index_select(0, pictures[[place == 0 for place in places]])
        keys = self.attention.project(features)
        # Under autocast the keys are bfloat16; features as well then, converted once, not a step.
        features = features.to(keys.dtype)
        embedded = self.embedding_dropout(self.embedding(tokens[:, :-1]))
        # Taken apart and cut shorter at once: the gradient of a part of a tensor is as large as all
        # of it, filled with zeros.
        word_inputs, embedded_words = self.word_input(embedded).unbind(1), embedded.unbind(1)
        steps = []
        for position in range(lengths[order[0]]):
            count = sum(length > position for length in lengths)
            state = tuple(part[:count] for part in state)
            if truncate_steps and position and position % truncate_steps == 0:
                state = tuple(part.detach() for part in state)
            # Captions of one picture share its keys: attention reads them once for all of them.
            # The places of captions that have ended are read in vain, which costs less than a
            # copy of the keys for each caption.
            looking = max(ranks[:count]) + 1
            group = max(places[:count]) + 1
            slots = torch.tensor(
                [rank * group + place for rank, place in zip(ranks[:count], places, strict=False)],
                device=tokens.device,
            )
            if looking < len(keys):
                keys, features = keys[:looking], features[:looking]
            projected, looker, state = self.turn(word_inputs[position][:count], state)
            query = self.query(embedded_words[position][:count], looker)
            queries = query.new_zeros(looking * group, query.shape[1])
            queries = queries.index_copy(0, slots, query)
            context, weights = (part[slots] for part in self.look(queries, keys, features))
            context, state = self.recur(projected, context, looker, state)
            steps.append(
                (
                    embedded_words[position][:count],
                    context,
                    state[0],
                    weights,
                    tokens[:count, position + 1],
                    rows[:count],
                    torch.full_like(rows[:count], position),
                )
            )
        words, contexts, hiddens, looked, targets, captions, positions = (
            torch.cat(part) for part in zip(*steps, strict=True)
        )
        return TeacherForced(
            logits=self.logits(words, contexts, hiddens),
            targets=targets,
            weights=looked,
            captions=captions,
            positions=positions,
        )


def _layout(pictures: list[int]) -> tuple[list[int], list[int]]:
    """Of each caption: the rank of its picture by first appearance, its place among the picture's.

    pictures: which picture each caption describes.
    """
    ranks: dict[int, int] = {}
    counts: Counter[int] = Counter()
    places = []
    for picture in pictures:
        ranks.setdefault(picture, len(ranks))
        places.append(counts[picture])
        counts[picture] += 1
    return [ranks[picture] for picture in pictures], places
