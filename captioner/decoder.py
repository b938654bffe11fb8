"""The caption decoder: an LSTM that looks at the picture before every word."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.attention import SpatialAttention

State = tuple[Tensor, Tensor]  # hidden and cell, each (rows, H)


@dataclass(frozen=True)
class TeacherForced:
    """Every word of a batch of captions, predicted from the words before it; M words in all.

    logits (M, V), targets (M,), weights (M, N): step by step, the longest captions first, with
    no padding between. captions (M,): which row of the batch a word belongs to.
    """

    logits: Tensor
    targets: Tensor
    weights: Tensor
    captions: Tensor


class CaptionDecoder(nn.Module):
    """LSTM with spatial attention (Xu et al. 2015, section 3.1.2).

    The initial state is computed from the mean feature; the context may be gated by a sigmoid of
    the hidden state (one gate a feature); words are predicted by the deep output layer
    E^T(dropout(E y + W_h h + W_z z)), equation 7, whose output matrix is the word embedding.
    """

    def __init__(
        self,
        *,
        attention: SpatialAttention,
        vocabulary_size: int,
        feature_size: int,
        embedding_size: int,
        hidden_size: int,
        context_gate: bool,
        embedding_dropout: float,
        hidden_dropout: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.initial_state = nn.Linear(feature_size, 2 * hidden_size)
        self.context_gate = nn.Linear(hidden_size, feature_size) if context_gate else None
        self.cell = nn.LSTMCell(embedding_size + feature_size, hidden_size)
        self.hidden_output = nn.Linear(hidden_size, embedding_size)
        self.context_output = nn.Linear(feature_size, embedding_size, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.hidden_dropout = nn.Dropout(hidden_dropout)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)

    def start(self, features: Tensor) -> State:
        """State before the first word, (B, H) twice, from the mean of the features (B, N, D)."""
        hidden, cell = torch.tanh(self.initial_state(features.mean(1))).chunk(2, dim=-1)
        return hidden, cell

    def recur(
        self, embedded: Tensor, state: State, features: Tensor, keys: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """One recurrence without the vocabulary projection.

        embedded (B·G, E), state, features (B, N, D) and keys (B, N, A) to an output (B·G, E), the
        new state and the attention weights (B·G, N).
        """
        hidden, cell = state
        context, weights = self.attention(hidden, keys, features)
        if self.context_gate is not None:
            context = context * torch.sigmoid(self.context_gate(hidden))
        hidden, cell = self.cell(torch.cat([embedded, context], dim=-1), (hidden, cell))
        output = embedded + self.hidden_output(hidden) + self.context_output(context)
        return self.hidden_dropout(output), (hidden, cell), weights

    def logits(self, output: Tensor) -> Tensor:
        """Scores (..., V) of every word, from outputs (..., E) of `recur`."""
        return nn.functional.linear(output, self.embedding.weight, self.output_bias)

    def step(
        self, words: Tensor, state: State, features: Tensor, keys: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """Words (B·G,) and state to the next word's logits (B·G, V), state and weights (B·G, N).

        G consecutive rows look at the same picture of features (B, N, D) and keys (B, N, A).
        """
        embedded = self.embedding_dropout(self.embedding(words))
        output, state, weights = self.recur(embedded, state, features, keys)
        return self.logits(output), state, weights

    def forward(
        self, tokens: Tensor, lengths: list[int], pictures: Tensor, features: Tensor
    ) -> TeacherForced:
        """Teacher forcing over captions of many pictures, shrinking as captions end.

        tokens (captions, 1 + longest): START, words, END, padding. lengths: words and END of each
        caption. pictures (captions,): which row of features (B, N, D) each describes.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        rows = torch.tensor(order, device=tokens.device)
        tokens, pictures = tokens[rows], pictures[rows]
        hidden, cell = (part[pictures] for part in self.start(features))
        keys = self.attention.project(features)
        # Under autocast the keys are bfloat16; features as well then, converted once, not a step.
        keys, features = keys[pictures], features.to(keys.dtype)[pictures]
        embedded = self.embedding_dropout(self.embedding(tokens[:, :-1]))
        outputs, weights, active = [], [], []
        for position in range(lengths[order[0]]):
            count = sum(length > position for length in lengths)
            if count < len(hidden):  # not at every step: each cut costs a copy in the backward pass
                hidden, cell = hidden[:count], cell[:count]
                features, keys = features[:count], keys[:count]
            output, (hidden, cell), weight = self.recur(
                embedded[:count, position], (hidden, cell), features, keys
            )
            outputs.append(output)
            weights.append(weight)
            active.append(count)
        return TeacherForced(
            logits=self.logits(torch.cat(outputs)),
            targets=torch.cat([tokens[:n, t + 1] for t, n in enumerate(active)]),
            weights=torch.cat(weights),
            captions=torch.cat([rows[:count] for count in active]),
        )
