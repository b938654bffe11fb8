"""Caption and Answer, the results that users get."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from captioner.data.vocabulary import Vocabulary
from captioner.decoding.step import Hypothesis
from captioner.errors import CaptionerError
from captioner.model.confidence import ConfidenceCurve

_SMALLEST_WEIGHT = 1e-12  # added to each location, since a sentinel may take all the weight


@dataclass(frozen=True)
class Word:
    """A word and its probability, given the picture and the words before it.

    If the model writes characters, it is the product of their probabilities.
    """

    word: str
    probability: float


class ResultPicture(Protocol):
    """The picture of a result, which can draw the result on it; captioner.api has the class."""

    def save(self, result: "Caption | Answer", file: Path) -> None:
        """Write the attention maps to a file of the kind that its ending names."""

    def show(self, result: "Caption | Answer") -> None:
        """Show the attention maps on the screen."""

    def to_html(self, result: "Caption | Answer") -> str | None:
        """The picture, and words to hover for their maps; None where the picture is not kept."""


class _Result:
    """What a Caption and an Answer have in common.

    Two results are equal if all that the model computed is the same, to the bit, maps included;
    the picture is not compared. A picture captioned alone and the same one in a batch may differ
    in the last digits: compare their `text` to compare sentences.
    """

    text: str
    picture: ResultPicture | None

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [one.name for one in fields(self) if one.compare]  # type: ignore[arg-type]
        return all(_equal(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def save(self, file: str | Path) -> None:
        """Write where the model looked: .png, .gif, .html (to explore) or .npz (arrays).

        Raises CaptionerError for another ending, a file that cannot be written, and a picture that
        was not kept or is no longer there.
        """
        self._drawing().save(self, Path(file))  # type: ignore[arg-type]

    def show(self) -> None:
        """Show where the model looked: in a notebook, or else with the viewer of the system."""
        self._drawing().show(self)  # type: ignore[arg-type]

    def _repr_html_(self) -> str | None:
        """What a notebook displays; None, and so the repr, if the picture was not kept."""
        return None if self.picture is None else self.picture.to_html(self)  # type: ignore[arg-type]

    def _drawing(self) -> ResultPicture:
        if self.picture is None:
            raise CaptionerError(
                f"this {type(self).__name__} has no picture to draw on; expected one that "
                "Captioner.caption or Captioner.answer returned"
            )
        return self.picture


def _equal(first: object, second: object) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return type(first) is type(second) and first == second


@dataclass(frozen=True, eq=False, repr=False)
class Caption(_Result):
    """A caption of T words with an attention map for each.

    text: the words, joined by spaces. log_probability: natural logarithm of the probability of the
    whole caption, including END. attention (T, rows, columns): one map per word, which covers the
    whole picture and sums to 1; if the model writes characters, the mean over the characters of the
    word. tokens: the token ids without END. looking (T,): for a model with a sentinel, the share of
    each word's attention that went to the picture (the visual grounding probability of Lu et al.
    2017); otherwise None. picture: what draws the maps on the picture.
    """

    text: str
    words: tuple[Word, ...]
    log_probability: float
    attention: np.ndarray
    looking: np.ndarray | None = None
    tokens: tuple[int, ...] = ()
    confidence_curve: ConfidenceCurve | None = field(default=None, compare=False)
    picture: ResultPicture | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        numbers = f"log_probability={self.log_probability:.2f}, confidence={self.confidence:.2f}"
        return f"Caption({self.text!r}, {numbers})"

    @property
    def confidence(self) -> float:
        """From 0 to 1: the expected share of the words that people use for the picture.

        Of a checkpoint that was not calibrated, the mean probability of the words; 0 for a caption
        without words.
        """
        if self.confidence_curve is not None:
            return self.confidence_curve(self.probabilities)
        return sum(self.probabilities) / max(1, len(self.words))

    @property
    def probabilities(self) -> list[float]:
        """The probabilities of the words."""
        return [word.probability for word in self.words]

    def to_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Plain Python values, ready for JSON: text, log_probability, confidence and words.

        arrays: also attention, as lists (T, rows, columns), and looking, a list (T,) or None.
        """
        record: dict[str, Any] = {
            "text": self.text,
            "log_probability": self.log_probability,
            "confidence": self.confidence,
            "words": [{"word": w.word, "probability": w.probability} for w in self.words],
        }
        if arrays:
            looking = None if self.looking is None else self.looking.tolist()
            record |= {"attention": self.attention.tolist(), "looking": looking}
        return record


def to_caption(
    hypothesis: Hypothesis,
    vocabulary: Vocabulary,
    grid: tuple[int, int],
    *,
    sentinel: bool,
    curve: ConfidenceCurve | None,
) -> Caption:
    """Make the Caption of a hypothesis; its weights are on a grid (rows, columns).

    sentinel: whether the model has one; the maps are then scaled to sum to 1. curve: that of the
    confidence, or None where the model was not calibrated.
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
    weights = np.stack(maps) if maps else hypothesis.weights[:0]  # (T, N)
    looking = None
    if sentinel:
        looking = weights.sum(1)  # (T,)
        # If all the weight went to the sentinel, the map is uniform.
        weights = weights + _SMALLEST_WEIGHT  # (T, N)
        weights = weights / weights.sum(1, keepdims=True)  # (T, N)
    return Caption(
        text=" ".join(word.word for word in words),
        words=words,
        log_probability=hypothesis.log_probability,
        attention=weights.reshape(-1, *grid),
        tokens=hypothesis.tokens,
        looking=looking,
        confidence_curve=curve,
    )


@dataclass(frozen=True)
class CaptionFit:
    """How well a given caption fits a picture.

    mean_log_probability: per word, and END; what is unknown counts as the unknown word. share: of
    all captions that were given, by how much likelier per word the picture makes each than an
    empty grey one does; the shares sum to 1.
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


@dataclass(frozen=True, eq=False, repr=False)
class Answer(_Result):
    """The most probable answer to a question, with alternatives.

    top: the most probable answers, best first, including this one. attention (looks, rows,
    columns): one map per look at the picture, which covers the whole picture and sums to 1.
    question: as it was asked. picture: what draws the maps on the picture.
    """

    text: str
    probability: float
    top: tuple[AnswerChoice, ...]
    attention: np.ndarray
    question: str = ""
    picture: ResultPicture | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Answer({self.text!r}, probability={self.probability:.2f})"

    @property
    def confidence(self) -> float:
        """The probability of the answer, under the name that it has for a Caption."""
        return self.probability

    def to_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Plain Python values, ready for JSON: question, text, probability and top.

        arrays: also attention, as lists (looks, rows, columns).
        """
        record: dict[str, Any] = {
            "question": self.question,
            "text": self.text,
            "probability": self.probability,
            "top": [{"text": one.text, "probability": one.probability} for one in self.top],
        }
        if arrays:
            record["attention"] = self.attention.tolist()
        return record
