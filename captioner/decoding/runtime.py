"""What decoding asks of the runtime that computes the model: torch, or ONNX Runtime without it.

Searches and results are written over numpy arrays; features stay what the runtime makes of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from captioner.config.settings import DecodingConfig, ModelConfig
from captioner.data.vocabulary import Vocabulary
from captioner.errors import CaptionerError

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Features: TypeAlias = "torch.Tensor | NDArray[np.float32]"  # (B, N, D), as the runtime has them
Batch = TypeVar("Batch")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Bans:
    """Words that must not come next: some in no row, and in row rows[i] not the word words[i]."""

    everywhere: list[int]
    rows: Ints  # (M,)
    words: Ints  # (M,)


class Candidates(NamedTuple):
    """The C likeliest next words of each row, best first, and where the model looked."""

    log_probs: Floats  # (rows, C)
    words: Ints  # (rows, C)
    weights: Floats  # (rows, N)


class Drawn(NamedTuple):
    """The M different pairs of a row and a word that were drawn, by row and then by word."""

    rows: Ints  # (M,)
    words: Ints  # (M,)
    counts: Ints  # (M,): how often each was drawn
    log_probs: Floats  # (M,): the model's, before temperature, top-k and top-p
    weights: Floats  # (rows, N)


class ActiveRows(Protocol):
    """The decoder at work on rows of unfinished captions: one per picture at first.

    Later G consecutive rows share a picture, as `select` decides. `best` and `draw` read the words
    (rows,) written last and go one step on.
    """

    @property
    def pictures(self) -> int:
        """The number of pictures."""

    def best(self, words: Ints, bans: Bans, count: int) -> Candidates:
        """The likeliest next words, `count` or all there are; banned ones have log prob -inf.

        The probabilities of a row's words that are not banned sum to 1.
        """

    def draw(
        self, words: Ints, bans: Bans, counts: Ints, uniforms: Floats, config: DecodingConfig
    ) -> Drawn:
        """Draw counts (rows,) next words of each row, as config's temperature, top_k, top_p say.

        uniforms: a number in (0, 1] for each draw, row by row, for inverse transform sampling.
        """

    def select(self, rows: Ints, pictures: list[int]) -> None:
        """Continue with these rows, equally many for each of these pictures, in their order."""


class Runtime(Protocol):
    """A model, and what computes it on `device`.

    grid: rows and columns of an attention map. vocabulary and question_vocabulary: None where the
    model writes no captions, or answers no questions.
    """

    config: ModelConfig
    device: "torch.device | str"
    grid: tuple[int, int]
    vocabulary: Vocabulary | None
    question_vocabulary: Vocabulary | None
    answer_texts: tuple[str, ...]

    def encode(self, pixels: Floats) -> Features:
        """Features (B, N, D) of pixels (B, 3, S, S), normalised as `to_array` does."""

    def start(self, features: Features) -> ActiveRows:
        """The decoder before the first word of pictures of these features (B, N, D)."""

    def answer(
        self, words: Ints, lengths: Ints, pictures: Ints, features: Features
    ) -> tuple[Floats, Floats]:
        """The probability of every answer (R, answers) to R questions, and weights (R, G, N).

        words (R, Q): padded ids; lengths (R,): words of each; pictures (R,): its row of features.
        """

    def map(self, batches: Iterable[Batch], work: Callable[[Batch], Done]) -> Iterator[Done]:
        """What `work` makes of each batch, in order, several at once where that is faster."""


def caption_vocabulary(model: Runtime) -> Vocabulary:
    """The vocabulary of captions; CaptionerError where the model only answers."""
    if model.vocabulary is None:
        raise CaptionerError(
            "this checkpoint answers questions but writes no captions; choose one that was "
            "trained on captions"
        )
    return model.vocabulary


def question_vocabulary(model: Runtime) -> Vocabulary:
    """The vocabulary of questions; CaptionerError where the model only writes captions."""
    if model.question_vocabulary is None:
        raise CaptionerError(
            "this checkpoint writes captions but has no answer head; choose one that was "
            "trained on questions"
        )
    return model.question_vocabulary
