"""Show, Attend and Tell written down directly from the paper.

The baseline for captioner.model.decoder and captioner.decoding.beam_search: keys, attention and
vocabulary logits are computed in the loop, every step has the whole batch, and beam search takes
one picture at a time. Equations and weights are the same, so that losses, gradients and captions
can be compared.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from captioner.data.vocabulary import END, NEVER_WRITTEN, PADDING, START
from captioner.model.decoder import CaptionDecoder


class PlainDecoder(nn.Module):
    """LSTM with soft attention: equations 1 to 7 of Xu et al. 2015, with the gate of 4.2.1."""

    def __init__(self, d: int, a: int, e: int, h: int, v: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(v, e)
        nn.init.normal_(self.embedding.weight, std=e**-0.5)
        self.key = nn.Linear(d, a)
        self.query = nn.Linear(h, a, bias=False)
        self.score = nn.Linear(a, 1, bias=False)
        self.start = nn.Linear(d, 2 * h)
        self.gate = nn.Linear(h, d)
        self.lstm = nn.LSTMCell(e + d, h)
        self.hidden_output = nn.Linear(h, e)
        self.context_output = nn.Linear(d, e, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(v))

    def first(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.tanh(self.start(features.mean(1))).chunk(2, dim=1)
        return hidden, cell

    def step(
        self, words: Tensor, state: tuple[Tensor, Tensor], features: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Words (B,), state and features (B, N, D) to logits (B, V), state and weights (B, N)."""
        query = self.query(state[0]).unsqueeze(1)  # (B, 1, A)
        scores = self.score(torch.tanh(self.key(features) + query)).squeeze(2)  # (B, N)
        weights = torch.softmax(scores, dim=1)  # (B, N)
        context = (weights.unsqueeze(2) * features).sum(1)  # (B, D)
        context = torch.sigmoid(self.gate(state[0])) * context  # (B, D)
        embedded = self.embedding(words)  # (B, E)
        state = self.lstm(torch.cat([embedded, context], dim=1), state)
        output = embedded + self.hidden_output(state[0]) + self.context_output(context)
        logits = functional.linear(output, self.embedding.weight, self.output_bias)
        return logits, state, weights

    def loss(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Mean cross entropy of captions (B, 1 + T) with teacher forcing, one per picture."""
        state, steps = self.first(features), []
        for position in range(tokens.shape[1] - 1):
            logits, state, _ = self.step(tokens[:, position], state, features)
            steps.append(logits)
        logits = torch.stack(steps, dim=1).flatten(0, 1)
        return functional.cross_entropy(logits, tokens[:, 1:].flatten(), ignore_index=PADDING)

    @torch.no_grad()
    def beam(self, features: Tensor, beams: int, max_words: int) -> list[int]:
        """The best caption of one picture, features (1, N, D)."""
        features = features.expand(beams, -1, -1)
        state, written = self.first(features), torch.full((beams, 1), START)
        totals, ended = torch.full((beams,), float("-inf")), []
        totals[0] = 0.0
        for length in range(max_words + 1):
            logits, state, _ = self.step(written[:, -1], state, features)
            logits[:, NEVER_WRITTEN] = float("-inf")
            if length == 0:
                logits[:, END] = float("-inf")
            if length == max_words:
                logits[:, :END] = logits[:, END + 1 :] = float("-inf")
            candidates = totals.unsqueeze(1) + functional.log_softmax(logits, dim=1)
            totals, choice = candidates.flatten().sort(descending=True)
            totals, choice = totals[: len(written)], choice[: len(written)]
            rows, words = choice // logits.shape[1], choice % logits.shape[1]
            written = torch.cat([written[rows], words.unsqueeze(1)], dim=1)
            end = words == END
            ended += zip(totals[end].tolist(), written[end].tolist(), strict=True)
            if end.all():
                break
            totals, written, features = totals[~end], written[~end], features[~end]
            state = (state[0][rows[~end]], state[1][rows[~end]])
        return max(ended)[1][1:-1]


def copy_weights(plain: PlainDecoder, decoder: CaptionDecoder) -> None:
    """Copy the weights of the plain decoder into captioner's."""
    attention, words = decoder.attention, plain.embedding.embedding_dim
    pairs = [
        (decoder.embedding.weight, plain.embedding.weight),
        (attention.key_projection.weight, plain.key.weight),
        (attention.key_projection.bias, plain.key.bias),
        (attention.query_projection.weight, plain.query.weight),
        (attention.score.weight, plain.score.weight),
        (decoder.initial_state.weight, plain.start.weight),
        (decoder.initial_state.bias, plain.start.bias),
        (decoder.context_gate.weight, plain.gate.weight),
        (decoder.context_gate.bias, plain.gate.bias),
        (decoder.word_input.weight, plain.lstm.weight_ih[:, :words]),
        (decoder.word_input.bias, plain.lstm.bias_ih + plain.lstm.bias_hh),
        (decoder.context_input.weight, plain.lstm.weight_ih[:, words:]),
        (decoder.cell.hidden_gates.weight, plain.lstm.weight_hh),
        (decoder.hidden_output.weight, plain.hidden_output.weight),
        (decoder.hidden_output.bias, plain.hidden_output.bias),
        (decoder.context_output.weight, plain.context_output.weight),
        (decoder.output_bias, plain.output_bias),
    ]
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source)
