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
    code. P and R are the length of the longest common subsequence divided by that of the candidate
    and of the reference, each the maximum over the picture's references.
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
        # As in the official code, an empty caption is one empty word.
        words = candidate or [""]
        masks = _position_masks(words)
        precision = recall = 0.0
        for caption in captions:
            others = caption or [""]
            common = _common_length(masks, len(words), others)
            precision = max(precision, common / len(words))
            recall = max(recall, common / len(others))
        if precision and recall:
            scores[row] = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
    return scores


def _position_masks(words: Sequence[str]) -> dict[str, int]:
    """For each word, an integer whose set bits are the positions of the word."""
    masks: dict[str, int] = {}
    for position, word in enumerate(words):
        masks[word] = masks.get(word, 0) | 1 << position
    return masks


def _common_length(masks: dict[str, int], length: int, others: Sequence[str]) -> int:
    """The length of the longest common subsequence, with one addition per word (Hyyro 2004).

    A zero bit in `row` is a position at which the length grows by one.
    """
    row = full = (1 << length) - 1
    for word in others:
        match = row & masks.get(word, 0)
        row = (row + match | row - match) & full
    return length - row.bit_count()
