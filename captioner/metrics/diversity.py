"""How varied a set of captions is: the other half of their quality."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def distinct(captions: Sequence[Sequence[str]], order: int) -> float:
    """Give the share of n-grams that are different from each other (Li et al. 2016, distinct-n).

    captions: lists of tokens; order: n. From 0 to 1, and 0 when there are no n-grams.
    """
    ngrams = [
        tuple(words[start : start + order])
        for words in captions
        for start in range(len(words) - order + 1)
    ]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def diversity(
    captions: Sequence[Sequence[str]], seen: Collection[Sequence[str]] | None = None
) -> dict[str, float]:
    """Describe the variety and length of captions, lists of tokens.

    The result has "distinct-1" and "distinct-2" (see `distinct`), "vocabulary" (different words),
    "different captions" (share), "words a caption" (mean) and, with seen, the tokenized captions
    of a training set, "novel captions" (the share that is not among them).
    """
    number = max(1, len(captions))
    found = {
        "distinct-1": distinct(captions, 1),
        "distinct-2": distinct(captions, 2),
        "vocabulary": float(len({word for words in captions for word in words})),
        "different captions": len({tuple(words) for words in captions}) / number,
        "words a caption": sum(map(len, captions)) / number,
    }
    if seen is not None:
        known = {tuple(words) for words in seen}
        found["novel captions"] = sum(tuple(words) not in known for words in captions) / number
    return found
