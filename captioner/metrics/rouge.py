"""ROUGE-L: the longest common subsequence of a caption and its references (Lin 2004)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from captioner.errors import CaptionerError

BETA = 1.2


def rouge_l(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> np.ndarray:
    """Score each of C candidates, (C,), from 0 to 1.

    The score is (1 + b^2) P R / (R + b^2 P) (Lin 2004, equation 4), b = 1.2 as in the official
    code. P and R are the longest common subsequence over the candidate's and the reference's
    length, each the best over the picture's references.
    candidates: C lists of tokens; references: for each of them its references, lists of tokens.
    Raises CaptionerError if the numbers differ or a picture has no references.
    """
    if len(candidates) != len(references):
        raise CaptionerError(
            f"ROUGE-L got {len(candidates)} candidates for {len(references)} pictures; "
            "give one candidate per picture."
        )
    scores = np.zeros(len(candidates))
    for row, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
        if not captions:
            raise CaptionerError(f"ROUGE-L needs references for every picture; {row} has none.")
        # The official code splits "" into one empty word; so does this.
        words = candidate or [""]
        where = _bits(words)
        precision = recall = 0.0
        for caption in captions:
            others = caption or [""]
            common = _common(where, len(words), others)
            precision = max(precision, common / len(words))
            recall = max(recall, common / len(others))
        if precision and recall:
            scores[row] = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
    return scores


def _bits(words: Sequence[str]) -> dict[str, int]:
    """Give for each word an integer whose set bits are the places where it stands."""
    where: dict[str, int] = {}
    for place, word in enumerate(words):
        where[word] = where.get(word, 0) | 1 << place
    return where


def _common(where: dict[str, int], length: int, others: Sequence[str]) -> int:
    """Measure the longest common subsequence with one addition a word (Hyyro 2004).

    A zero bit in `row` marks a place in which the length grows by one.
    """
    row = full = (1 << length) - 1
    for word in others:
        match = row & where.get(word, 0)
        row = (row + match | row - match) & full
    return length - row.bit_count()
