"""Signs that a set of captions is worse than its scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

SHARE = 0.1  # of the pictures that one caption may serve
REPEATED = 0.01  # of the captions that may say the same three words twice


def find_warnings(captions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Say what is suspicious about captions: empty, one for many pictures, repeating themselves.

    captions: one a picture, lists of tokens. The result has one sentence a finding.
    """
    found = []
    empty = sum(not words for words in captions)
    if empty:
        found.append(f"{empty:,} of {len(captions):,} captions have no words; they score 0.")
    (commonest, times), *_ = Counter(tuple(words) for words in captions).most_common(1)
    if times > 1 and times > SHARE * len(captions):
        found.append(
            f"one caption serves {times:,} of {len(captions):,} pictures: {' '.join(commonest)!r}."
        )
    repeating = [words for words in captions if repeats(words)]
    if len(repeating) > REPEATED * len(captions):
        found.append(
            f"{len(repeating):,} of {len(captions):,} captions repeat themselves, "
            f"such as {' '.join(repeating[0])!r}."
        )
    return tuple(found)


def repeats(words: Sequence[str]) -> bool:
    """Tell whether a caption says a word twice running or the same three words twice."""
    if any(first == second for first, second in zip(words, words[1:], strict=False)):
        return True
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < len(trigrams)
