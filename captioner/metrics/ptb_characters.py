"""Map characters to the few kinds that the tokenizer's rules distinguish.

`shape` replaces every character by one that represents its kind, so that the rules can be short.
The kinds were found by running the official tokenizer on every character of Unicode's first plane;
it drops all others, such as emoji.
"""

from __future__ import annotations

import unicodedata

LETTER = "é"
DIGIT = "٠"
MARK = "\u0301"  # continues or starts a word, but does not follow a digit
SYMBOL = "§"  # a token of its own
NOTHING = "\0"  # dropped; separates the words on either side

_STAND_INS = {
    other: character
    for character, others in {
        "'": "\u0092\u2019\u203a",
        "`": "\u0091\u2018\u201b\u2039",
        '"': "\u0093\u0094\u00ab\u00bb\u201c\u201d",
        "\u2013": "\u0096\u0097\u2013\u2014\u2015",
        "-": "\u2010\u2011",
        "/": "\u2044",
        "\u2026": "\u2026",
        " ": "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u3000",
    }.items()
    for other in others
}


def shape(text: str) -> str:
    """Replace every character by the one that represents its kind; the length stays the same."""
    if text.isascii():
        return text
    return "".join(
        character if character.isascii() else _STAND_INS.get(character) or _kind(character)
        for character in text
    )


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character > "\uffff":
        kind = NOTHING
    elif character.isalpha():
        kind = LETTER
    elif category == "Nd":
        kind = DIGIT
    elif category in ("Mn", "Mc") and character < "\u1000":
        kind = MARK
    elif category[0] in "PS" or category == "No":
        kind = SYMBOL
    else:
        kind = NOTHING
    return kind
