"""How much of a set of texts a vocabulary knows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from captioner.data.vocabulary import Vocabulary, split_words

MAX_UNKNOWN = 0.1  # largest share of unknown words that needs no warning


@dataclass(frozen=True)
class WordCoverage:
    """Counts of texts and of their tokens: words, or characters where those are written."""

    tokens: int
    unknown: int
    commonest_unknown: tuple[str, ...]
    texts: int
    texts_without_known: int

    @property
    def unknown_share(self) -> float:
        """The share of tokens that are unknown, from 0 to 1."""
        return self.unknown / max(1, self.tokens)


def word_coverage(texts: Iterable[str], vocabulary: Vocabulary) -> WordCoverage:
    """Count the tokens of the texts that the vocabulary lacks."""
    known = set(vocabulary.words)
    unknown: Counter[str] = Counter()
    tokens = count = without_known = 0
    for text in texts:
        found = vocabulary.split(split_words(text))
        lacking = [token for token in found if token not in known]
        unknown.update(lacking)
        tokens += len(found)
        count += 1
        without_known += len(lacking) == len(found)
    commonest = sorted(unknown, key=lambda token: (-unknown[token], token))[:5]
    return WordCoverage(tokens, unknown.total(), tuple(commonest), count, without_known)


def default_min_count(captions: int) -> int:
    """How often a word must be seen to be learned: once in small sets, five times in large ones.

    captions: how many there are. From 20,000 on it is 5, as is usual for Flickr8k and COCO.
    """
    return min(5, 1 + captions // 5000)
