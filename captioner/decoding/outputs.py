"""Caption and Answer, the results that users get."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from captioner.data.vocabulary import Vocabulary
from captioner.decoding.step import Hypothesis

_SMALLEST_WEIGHT = 1e-12  # added to each location, since a sentinel may take all the weight


@dataclass(frozen=True)
class Word:
    """A word and its probability, given the picture and the words before it.

    If the model writes characters, it is the product of their probabilities.
    """

    word: str
    probability: float


@dataclass(frozen=True)
class Caption:
    """A caption of T words with an attention map for each.

    text: the words, joined by spaces. log_probability: natural logarithm of the probability of the
    whole caption, including END. attention (T, rows, columns): one map per word, which covers the
    whole picture and sums to 1; if the model writes characters, the mean over the characters of the
    word. tokens: the token ids without END. looking (T,): for a model with a sentinel, the share of
    each word's attention that went to the picture (the visual grounding probability of Lu et al.
    2017); otherwise None.
    """

    text: str
    words: tuple[Word, ...]
    log_probability: float
    attention: np.ndarray
    looking: np.ndarray | None = None
    tokens: tuple[int, ...] = ()

    @property
    def confidence(self) -> float:
        """The mean probability of the words, from 0 to 1; 0 for a caption without words."""
        return sum(word.probability for word in self.words) / max(1, len(self.words))


def to_caption(
    hypothesis: Hypothesis, vocabulary: Vocabulary, grid: tuple[int, int], *, sentinel: bool
) -> Caption:
    """Make the Caption of a hypothesis; its weights are on a grid (rows, columns).

    sentinel: whether the model has one; the maps are then scaled to sum to 1.
    """
    tokens = [vocabulary.words[token] for token in hypothesis.tokens]
    groups = vocabulary.group(tokens)
    words = tuple(
        Word(
            "".join(tokens[index] for index in indices),
            math.prod(hypothesis.probabilities[index] for index in indices),
        )
        for indices in groups
    )
    maps = [hypothesis.weights[indices].mean(0) for indices in groups]  # each (N,)
    weights = torch.stack(maps) if maps else hypothesis.weights[:0]  # (T, N)
    looking = None
    if sentinel:
        looking = weights.sum(1).numpy()  # (T,)
        # If all the weight went to the sentinel, the map is uniform.
        weights = weights + _SMALLEST_WEIGHT  # (T, N)
        weights = weights / weights.sum(1, keepdim=True)  # (T, N)
    return Caption(
        text=" ".join(word.word for word in words),
        words=words,
        log_probability=hypothesis.log_probability,
        attention=weights.view(-1, *grid).numpy(),
        tokens=hypothesis.tokens,
        looking=looking,
    )


@dataclass(frozen=True)
class CaptionFit:
    """How well a given caption fits a picture.

    mean_log_probability: per word, and END; what is unknown counts as the unknown word. share: its
    part of the probabilities per word of all captions that were given, which sum to 1.
    """

    text: str
    mean_log_probability: float
    share: float
    unknown_words: tuple[str, ...]


@dataclass(frozen=True)
class AnswerChoice:
    """A possible answer and its probability."""

    text: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The most probable answer to a question, with alternatives.

    top: the most probable answers, best first, including this one. attention (looks, rows,
    columns): one map per look at the picture, which covers the whole picture and sums to 1.
    """

    text: str
    probability: float
    top: tuple[AnswerChoice, ...]
    attention: np.ndarray
