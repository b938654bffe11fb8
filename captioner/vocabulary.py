"""Text to words to ids, and back."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from captioner.errors import CaptionerError

PADDING, START, END, UNKNOWN = range(4)
NEVER_WRITTEN = [PADDING, START, UNKNOWN]
SPECIAL_TOKENS = ("<padding>", "<start>", "<end>", "<unknown>")

# A word is a run of letters and digits of any script; apostrophes and hyphens stay when inside it.
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, punctuation dropped; inner apostrophes and hyphens are kept."""
    return _WORD.findall(text.lower().replace("’", "'"))


class Vocabulary:
    """The words a model knows; ids 0 to 3 are padding, start, end and unknown.

    Raises CaptionerError for no words at all, a word given twice, or one that is a special token.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if not words:
            raise CaptionerError(
                "the vocabulary is empty: no word of the training captions is frequent enough; "
                "give more captions or lower min_count"
            )
        self.words = (*SPECIAL_TOKENS, *words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            repeated = [word for word, count in Counter(self.words).items() if count > 1]
            raise CaptionerError(f"the vocabulary holds words twice: {', '.join(repeated[:3])}")

    @classmethod
    def build(cls, captions: Iterable[str], *, min_count: int) -> "Vocabulary":
        """All words seen at least min_count times, the most frequent first (ties by spelling)."""
        counts = Counter(word for caption in captions for word in split_words(caption))
        kept = [item for item in counts.items() if item[1] >= min_count]
        return cls([word for word, _ in sorted(kept, key=lambda item: (-item[1], item[0]))])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str, *, max_words: int | None = None) -> list[int]:
        """Ids of the text's words, then END; no START. Words beyond max_words are cut off."""
        return [self._ids.get(word, UNKNOWN) for word in split_words(text)[:max_words]] + [END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words of these ids, up to the first END, joined by spaces."""
        words = []
        for token in tokens:
            if token == END:
                break
            words.append(self.words[token])
        return " ".join(words)
