"""What the model says about a picture: captions and answers."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from captioner.data.vocabulary import Vocabulary
from captioner.decoding.step import Hypothesis

_SMALLEST_WEIGHT = 1e-12  # added to each location where a sentinel may have taken all the weight


@dataclass(frozen=True)
class Word:
    """A word and its probability, given the picture and the words before it.

    Of a model that writes characters: the product of its letters' probabilities.
    """

    word: str
    probability: float


@dataclass(frozen=True)
class Caption:
    """A caption of T words, with where the model looked for each.

    text: the words, joined by spaces. log_probability: natural logarithm of the probability of the
    whole caption, END included. attention (T, rows, columns): a map for each word, which covers the
    whole picture and sums to 1; where the model writes characters, the mean over the word's
    letters. tokens: the ids that were written, without END. looking (T,): of a model with a
    sentinel, the share of each word's attention that went to the picture (the visual grounding
    probability of Lu et al. 2017); None without one.
    """

    text: str
    words: tuple[Word, ...]
    log_probability: float
    attention: np.ndarray
    looking: np.ndarray | None = None
    tokens: tuple[int, ...] = ()


def to_caption(
    found: Hypothesis, vocabulary: Vocabulary, grid: tuple[int, int], *, sentinel: bool
) -> Caption:
    """The text, words and maps of a hypothesis whose weights lie on a grid (rows, columns).

    sentinel: whether the model has one; its maps are then scaled to sum to 1.
    """
    tokens = [vocabulary.words[token] for token in found.tokens]
    groups = vocabulary.group(tokens)
    words = tuple(
        Word(
            "".join(tokens[index] for index in indices),
            math.prod(found.probabilities[index] for index in indices),
        )
        for indices in groups
    )
    maps = [found.weights[indices].mean(0) for indices in groups]
    weights = torch.stack(maps) if maps else found.weights[:0]  # (T, N)
    looking = None
    if sentinel:
        looking = weights.sum(1).numpy()  # (T,)
        # Where all the weight went to the sentinel, the map is uniform.
        weights = weights + _SMALLEST_WEIGHT
        weights = weights / weights.sum(1, keepdim=True)
    return Caption(
        text=" ".join(word.word for word in words),
        words=words,
        log_probability=found.log_probability,
        attention=weights.view(-1, *grid).numpy(),
        tokens=found.tokens,
        looking=looking,
    )


@dataclass(frozen=True)
class AnswerChoice:
    """One of the answers that the model can give, and its probability."""

    text: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The most probable answer to a question, and others.

    top: the most probable answers, best first, including this one. attention (looks, rows,
    columns): where the model looked, a map for each of its looks, which covers the whole picture
    and sums to 1.
    """

    text: str
    probability: float
    top: tuple[AnswerChoice, ...]
    attention: np.ndarray
