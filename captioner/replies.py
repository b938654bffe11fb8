"""What the model says of a picture: captions and answers."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from captioner.vocabulary import Vocabulary
from captioner.writing import Hypothesis

_NOWHERE = 1e-12  # added to each location's weight where a sentinel may have taken all of it


@dataclass(frozen=True)
class Word:
    """A word and its probability given the picture and what was written before it.

    Of a model that writes characters: the product of its letters' probabilities.
    """

    word: str
    probability: float


@dataclass(frozen=True)
class Caption:
    """A caption; attention (T, rows, columns) says where each of its T words looked.

    Each map sums to 1 and covers the whole picture; where characters are written, a word's is the
    mean of its letters'. log_probability: natural logarithm of the whole sentence's probability,
    its end included. looking (T,): of a model with a sentinel, how much of each word's attention
    went to the picture and not to the sentinel (visual grounding probability in Lu et al. 2017);
    None of any other.
    """

    text: str
    words: tuple[Word, ...]
    log_probability: float
    attention: np.ndarray
    looking: np.ndarray | None = None


def to_caption(
    found: Hypothesis, vocabulary: Vocabulary, grid: tuple[int, int], *, sentinel: bool
) -> Caption:
    """What a search found as text, words and maps of a grid (rows, columns).

    sentinel: whether a part of the weights may have gone to one; the maps are then scaled up.
    """
    tokens = [vocabulary.words[token] for token in found.tokens]
    groups = vocabulary.group(tokens)
    words = tuple(
        Word(
            "".join(tokens[place] for place in places),
            math.prod(found.probabilities[place] for place in places),
        )
        for places in groups
    )
    maps = [found.weights[places].mean(0) for places in groups]
    looked = torch.stack(maps) if maps else found.weights[:0]
    looking = None
    if sentinel:
        # A map says where it looked as far as it did; where that was nowhere, the map is even.
        looking = looked.sum(1).numpy()
        looked = (looked + _NOWHERE) / (looked + _NOWHERE).sum(1, keepdim=True)
    return Caption(
        text=" ".join(word.word for word in words),
        words=words,
        log_probability=found.log_probability,
        attention=looked.view(-1, *grid).numpy(),
        looking=looking,
    )


@dataclass(frozen=True)
class AnswerChoice:
    """One of the answers that the model can give, and its probability."""

    text: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """The likeliest answer to a question, and others; top: likeliest first, this one included.

    attention (glimpses, rows, columns) says where the model looked for it; each map sums to 1 and
    covers the whole picture.
    """

    text: str
    probability: float
    top: tuple[AnswerChoice, ...]
    attention: np.ndarray
