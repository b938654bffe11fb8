"""Text to tokens (words or characters) to ids, and back."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

from captioner.errors import CaptionerError

PADDING, START, END, UNKNOWN = range(4)
NEVER_WRITTEN = [PADDING, START, UNKNOWN]
SPECIAL_TOKENS = ("<padding>", "<start>", "<end>", "<unknown>")

# Signs that belong to the letter before them, such as the vowels of Hindi; re has no class for
# them. Beyond 0x10000 are few scripts in use, and re is five times slower with sets that go there.
_MARKS = "".join(
    sign for sign in map(chr, range(0x300, 0x10000)) if unicodedata.category(sign) in ("Mn", "Mc")
)

# A word is a run of letters and digits of any script; apostrophes and hyphens stay when inside it.
_WORD = re.compile(rf"\w[\w{_MARKS}]*(?:['-]\w[\w{_MARKS}]*)*")

# What models use inside for the start, the end, an unknown word and padding; no word of a caption.
MARKER = re.compile(
    r"<(?:/?s|start|sos|bos|end|eos|unk|unknown|pad|padding)>|\[(?:unk|cls|sep|pad)\]"
    r"|\b(?:start|end)seq\b",
    re.IGNORECASE,
)


def split_words(text: str) -> list[str]:
    """Lower-case words of a text, punctuation dropped; inner apostrophes and hyphens are kept.

    However a letter with an accent is stored, in one code point or two, it gives the same word.
    """
    composed = unicodedata.normalize("NFC", text.lower())
    return _WORD.findall(composed.replace("’", "'").replace("_", " "))


def has_words(text: str) -> bool:
    """Whether split_words finds any word."""
    return _WORD.search(text.replace("_", " ")) is not None


class Vocabulary:
    """The words a model knows, its tokens; ids 0 to 3 are padding, start, end and unknown.

    Raises CaptionerError for no words at all, a word given twice, or one that is a special token.
    """

    tokens_per_word = 1

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
            raise CaptionerError(
                f"the vocabulary has words more than once: {', '.join(repeated[:3])}"
            )

    @classmethod
    def build(cls, captions: Iterable[str], *, min_count: int) -> Self:
        """All tokens seen at least min_count times, the most frequent first (ties by spelling)."""
        return cls(_frequent(cls._count(captions), min_count))

    @classmethod
    def _count(cls, texts: Iterable[str]) -> Counter[str]:
        return Counter(token for text in texts for token in cls.split(split_words(text)))

    def __len__(self) -> int:
        return len(self.words)

    def extended(self, texts: Iterable[str], *, min_count: int) -> Self:
        """This vocabulary with the tokens of the texts that it lacks, after its own."""
        own = self.words[len(SPECIAL_TOKENS) :]
        counts = self._count(texts)
        added = [word for word in _frequent(counts, min_count) if word not in self._ids]
        return type(self)([*own, *added])

    @staticmethod
    def split(words: Sequence[str]) -> list[str]:
        """The tokens of these words: themselves."""
        return list(words)

    @staticmethod
    def group(tokens: Sequence[str]) -> list[list[int]]:
        """The indices of the tokens that make up each written word: one token each."""
        return [[index] for index in range(len(tokens))]

    def encode(self, text: str, *, max_words: int | None = None) -> list[int]:
        """Ids of the text's tokens, then END; no START.

        Words beyond max_words are cut off, and END with them: the text does not end there.
        """
        words = split_words(text)
        tokens = [self._ids.get(token, UNKNOWN) for token in self.split(words[:max_words])]
        is_cut = max_words is not None and len(words) > max_words
        return tokens if is_cut else [*tokens, END]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words of these ids, up to the first END, joined by spaces."""
        written = []
        for token in tokens:
            if token == END:
                break
            written.append(self.words[token])
        return " ".join("".join(written[i] for i in indices) for indices in self.group(written))


def _frequent(counts: Counter[str], min_count: int) -> list[str]:
    """The tokens with at least this count, the most frequent first, ties by spelling."""
    kept = [item for item in counts.items() if item[1] >= min_count]
    return [token for token, _ in sorted(kept, key=lambda item: (-item[1], item[0]))]


class CharacterVocabulary(Vocabulary):
    """The characters a model knows; it writes words letter by letter, with a space between two.

    Raises CaptionerError for an entry that is no single character, beside what Vocabulary raises.
    """

    # English captions have 4.3 letters per word, and a space between two; rounded up.
    tokens_per_word = 6

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        longer = [word for word in words if len(word) != 1]
        if longer:
            raise CaptionerError(
                f"tokens is 'character' but the vocabulary holds words, such as {longer[0]!r}; "
                "set tokens to 'word', or build a vocabulary of characters"
            )

    @staticmethod
    def split(words: Sequence[str]) -> list[str]:
        """The characters of these words and the spaces between them."""
        return list(" ".join(words))

    @staticmethod
    def group(tokens: Sequence[str]) -> list[list[int]]:
        """The indices of the letters of each written word; spaces belong to none."""
        groups: list[list[int]] = [[]]
        for index, character in enumerate(tokens):
            if character == " ":
                groups.append([])
            else:
                groups[-1].append(index)
        return [indices for indices in groups if indices]


VOCABULARIES = {"word": Vocabulary, "character": CharacterVocabulary}


def encode_question(text: str, vocabulary: Vocabulary) -> list[int]:
    """Ids of a question's words; of one without any, that of the unknown word."""
    return vocabulary.encode(text)[:-1] or [UNKNOWN]
