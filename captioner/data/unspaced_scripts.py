"""Scripts that are written without spaces between words, such as Chinese, Japanese and Thai."""

import re
from collections.abc import Iterable

# Thai, Lao, Myanmar, Khmer; Japanese kana; Chinese characters, also those beyond U+FFFF.
_LETTERS = (
    "\u0e01-\u0e30\u0e32-\u0e33\u0e40-\u0e46\u0e81-\u0ec6\u1000-\u109f\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Signs above and below the letter before them.
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u3099\u309a"
_LETTER = re.compile(f"[{_LETTERS}][{_MARKS}]*")


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of such a script."""
    return _LETTER.search(text) is not None


def space_out(text: str) -> str:
    """The text with spaces around each letter of such a script: its words, for counting."""
    return _LETTER.sub(lambda letter: f" {letter[0]} ", text) if has_unspaced(text) else text


def are_unspaced(texts: Iterable[str]) -> bool:
    """Whether most of the texts are sentences of such a script, which are one long word each."""
    count = unspaced = 0
    for text in texts:
        count += 1
        letters = len(_LETTER.findall(text))
        unspaced += letters >= 3 and letters > len(text.replace(" ", "")) / 2
    return unspaced > count / 2
