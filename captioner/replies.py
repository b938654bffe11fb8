"""What the model says of a picture: captions and answers."""

from dataclasses import dataclass

import numpy as np


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
