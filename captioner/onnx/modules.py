"""What each graph computes, as modules that torch exports; the parts are those of the model."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.export import Dim

from captioner.model.captioning_model import CaptioningModel


class Sizes(NamedTuple):
    """Sizes of an example: pictures, captions of each, questions, words of the longest."""

    pictures: int
    group: int
    questions: int
    words: int


# What is traced must not be 0 or 1, which tracing would take for fixed; what a graph is checked
# with is of other sizes.
TRACED, CHECKED = Sizes(2, 3, 5, 4), (Sizes(1, 1, 1, 1), Sizes(3, 2, 7, 6))

_BATCH, _ROWS = Dim("pictures"), Dim("rows")
_QUESTIONS, _LENGTH = Dim("questions"), Dim("words")


@dataclass(frozen=True)
class Graph:
    """A module with an example of its inputs; free: for each input, the names of free dimensions.

    A dimension that is not free has the size that it has in the example.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: tuple[Any, ...]
    outputs: tuple[str, ...]


def graphs_of(model: CaptioningModel, sizes: Sizes) -> list[Graph]:
    """The graphs of a model that is in evaluation mode, each with an example of these sizes."""
    size = model.config.image_size
    pixels = torch.randn(sizes.pictures, 3, size, size)
    encoder = EncoderGraph(model)
    graphs = [Graph("encoder", encoder, {"pixels": pixels}, ({0: _BATCH},), ("features",))]
    rows, columns = model.encoder.grid
    features = torch.randn(sizes.pictures, rows * columns, model.config.feature_size)
    if model.decoder is not None:
        graphs += _caption_graphs(model, features, sizes.group)
    if model.answers is not None:
        questions, words = sizes.questions, sizes.words
        inputs = {
            "words": torch.randint(model.answers.embedding.num_embeddings, (questions, words)),
            "lengths": torch.randint(1, words + 1, (questions,)),
            "pictures": torch.randint(sizes.pictures, (questions,)),
            "features": features,
        }
        free = ({0: _QUESTIONS, 1: _LENGTH}, {0: _QUESTIONS}, {0: _QUESTIONS}, {0: _BATCH})
        outputs = ("probabilities", "weights")
        graphs.append(Graph("answer", AnswerGraph(model), inputs, free, outputs))
    return graphs


def _caption_graphs(model: CaptioningModel, features: Tensor, group: int) -> list[Graph]:
    """The graph of the state before the first word, and that of a word."""
    start, step = StartGraph(model), StepGraph(model)
    with torch.no_grad():
        keys, *state = start(features)  # (B, N, A), parts (B, H)
    names = [f"state_{part}" for part in range(len(state))]
    words = torch.randint(step.decoder.embedding.num_embeddings, (len(features), group))
    inputs = {"words": words, "features": features, "keys": keys}
    inputs |= {
        name: part.unsqueeze(1) + 0.1 * torch.randn(len(features), group, 1)
        for name, part in zip(names, state, strict=True)
    }
    rows = {0: _BATCH, 1: _ROWS}
    # The state comes as *state.
    free = (rows, {0: _BATCH}, {0: _BATCH}, tuple(rows for _ in state))
    return [
        Graph("start", start, {"features": features}, ({0: _BATCH},), ("keys", *names)),
        Graph("step", step, inputs, free, ("logits", "weights", *(f"next_{n}" for n in names))),
    ]


class EncoderGraph(nn.Module):
    """Pixels (B, 3, S, S) to features (B, N, D)."""

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.encoder.frozen_count = 0  # `head` runs all layers, on all pictures at once

    def forward(self, pixels: Tensor) -> Tensor:
        """The encoder's layers."""
        return self.encoder.head(pixels.permute(0, 2, 3, 1))


class StartGraph(nn.Module):
    """Features (B, N, D) to keys (B, N, A) and the state before the first word, parts (B, H)."""

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.decoder, _ = model.caption_parts()

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """The decoder's keys and its first state."""
        return self.decoder.attention.project(features), *self.decoder.start(features)


class StepGraph(nn.Module):
    """The words (B, G) written last and the state, parts (B, G, H), to the next word's logits.

    Returns logits (B, G, V), weights (B, G, N) and the next state.
    """

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.decoder, _ = model.caption_parts()

    def forward(
        self, words: Tensor, features: Tensor, keys: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """One step of the decoder, with G rows for each picture."""
        parts = tuple(part.flatten(0, 1) for part in state)
        logits, new, weights = self.decoder.step(words.flatten(), parts, features, keys)
        return tuple(part.view(*words.shape, -1) for part in (logits, weights, *new))


class AnswerGraph(nn.Module):
    """Questions to the probabilities of all answers (R, answers) and weights (R, G, N)."""

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.head, _ = model.answer_parts()

    def forward(
        self, words: Tensor, lengths: Tensor, pictures: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """words (R, Q), lengths (R,), pictures (R,): rows of features (B, N, D)."""
        keys = self.head.attention.project(features)  # (B, N, A)
        answered = self.head.answer(self._read(words, lengths), pictures, features, keys)
        return torch.softmax(answered.logits, dim=-1), answered.weights

    def _read(self, words: Tensor, lengths: Tensor) -> Tensor:
        """The vectors (R, H) of questions: those that have ended keep their state."""
        word_input = self.head.word_input(self.head.embedding(words))  # (R, Q, gates H)
        cell = self.head.cell
        first = word_input[:, 0, : cell.hidden_size] * 0  # (R, H)

        def read_word(
            state: tuple[Tensor, ...], word: tuple[Tensor, Tensor]
        ) -> tuple[tuple[Tensor, ...], tuple[Tensor]]:
            inputs, position = word
            active = (position < lengths).unsqueeze(1)  # (R, 1)
            pairs = zip(cell(inputs, state), state, strict=True)
            return tuple(torch.where(active, new, old) for new, old in pairs), (position * 1,)

        positions = torch.arange(words.shape[1])
        initial = tuple(first * 1 for _ in range(cell.state_parts))
        state, _ = scan(read_word, initial, (word_input.transpose(0, 1), positions))
        return state[0]
