"""BLEU-1 to BLEU-4, counted by nltk and combined as in the official COCO code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import CaptionerError

ORDERS = 4
# The constants with which the official code avoids dividing by zero. They matter for captions
# shorter than four words, where nltk's own corpus_bleu differs.
_TINY = 1e-15
_SMALL = 1e-9


@dataclass(frozen=True)
class BleuCounts:
    """The counts of each of P captions; their sums are the counts of the corpus."""

    matches: np.ndarray  # (P, 4) n-grams also in a reference, clipped
    ngrams: np.ndarray  # (P, 4) n-grams in the caption
    lengths: np.ndarray  # (P,) words in the caption
    reference_lengths: np.ndarray  # (P,) words in the reference closest in length


def count(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> BleuCounts:
    """Count the n-grams that P candidates, lists of tokens, share with their references.

    Raises CaptionerError if the numbers differ or a picture has no references.
    """
    # Imported here because the import takes most of a second.
    from nltk.translate.bleu_score import closest_ref_length, modified_precision

    if len(candidates) != len(references):
        raise CaptionerError(
            f"BLEU got {len(candidates)} candidates for {len(references)} pictures; "
            "give one candidate per picture."
        )
    matches = np.zeros((len(candidates), ORDERS))
    reference_lengths = np.zeros(len(candidates))
    for row, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
        if not captions:
            raise CaptionerError(f"BLEU needs references for every picture; {row} has none.")
        for order in range(min(ORDERS, len(candidate))):
            matches[row, order] = modified_precision(captions, candidate, order + 1).numerator
            if not matches[row, order]:  # then no longer n-gram can match either
                break
        reference_lengths[row] = closest_ref_length(captions, len(candidate))
    lengths = np.array([len(candidate) for candidate in candidates], dtype=float)
    ngrams = np.maximum(0, lengths[:, None] - np.arange(ORDERS))
    return BleuCounts(matches, ngrams, lengths, reference_lengths)


def per_picture(counts: BleuCounts) -> np.ndarray:
    """Return BLEU-1..4 of each caption, (P, 4), from 0 to 1."""
    return from_counts(counts.matches, counts.ngrams, counts.lengths, counts.reference_lengths)


def corpus(counts: BleuCounts) -> np.ndarray:
    """Return the BLEU-1..4 of all captions together, (4,), from 0 to 1."""
    return from_counts(
        counts.matches.sum(0),
        counts.ngrams.sum(0),
        counts.lengths.sum(),
        counts.reference_lengths.sum(),
    )


def from_counts(
    matches: np.ndarray, ngrams: np.ndarray, lengths: np.ndarray, reference_lengths: np.ndarray
) -> np.ndarray:
    """Compute BLEU-1..4 from counts, (..., 4), from 0 to 1.

    BLEU-n = BP * (p_1 ... p_n)^(1/n) (Papineni et al. 2002, section 2.3), where p_n is the share of
    n-grams that match and BP = min(1, exp(1 - reference length / length)).
    matches, ngrams: (..., 4); lengths, reference_lengths: (...), in words.
    """
    precision = (matches + _TINY) / (ngrams + _SMALL)
    ratio = (lengths + _TINY) / (reference_lengths + _SMALL)
    with np.errstate(under="ignore"):
        penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
        means = np.cumprod(precision, axis=-1) ** (1 / np.arange(1, ORDERS + 1))
    return means * penalty[..., None]


def bleu(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> np.ndarray:
    """Return the corpus BLEU-1..4, (4,), from 0 to 1, equal to the official COCO code.

    candidates: P lists of tokens; references: for each of them its references, lists of tokens.
    Raises CaptionerError if the numbers differ or a picture has no references.
    """
    return corpus(count(candidates, references))
