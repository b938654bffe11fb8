"""Sorts characters into the few kinds that the tokenizer's rules tell apart.

`shape` writes a text with one stand-in character for each kind, place by place, so that the rules
can be short. The kinds were found by asking the official tokenizer about every character of
Unicode's first plane; it drops all beyond, emoji among them.
"""

from __future__ import annotations

import re

LETTER = "é"
DIGIT = "٠"
MARK = "\u0301"  # goes on with a word, starts one, but does not follow a digit
SYMBOL = "§"  # a token of its own
NOTHING = "\0"  # dropped; parts the words on either side

PAIR = "\u201c"  # half of two typographic quotes side by side, which make one token

_STAND_INS = {
    "'": "\u0092\u2019\u203a",
    "`": "\u0091\u2018\u201b\u2039",
    '"': "\u0093\u0094\u00ab\u00bb\u201c\u201d",
    "\u2013": "\u0096\u0097\u2013\u2014\u2015",
    " ": "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u3000",
}
_PAIRS = re.compile("[\u0091-\u0094\u00ab\u00bb\u2018-\u201f\u2039\u203a]{2}")
_SIDE_BY_SIDE = "\ue000\ue000"
_AS_THEY_ARE = "\u00a0\u058a\u066b\u066c\u2010\u2011\u2026\u2044"
_SYMBOLS = (
    "\u0080 \u00a1-\u00a9 \u00ac \u00ae-\u00b4 \u00b6-\u00b9 \u00bc-\u00bf \u00d7 \u00f7 \u037e "
    "\u0387 \u0589 \u05be \u05c0 \u05c3 \u05c6 \u05f3-\u05f4 \u0600-\u0603 \u0606-\u060c \u0614 "
    "\u061b \u061e-\u061f \u066a \u066d \u06d4 \u0700-\u070d \u07f6-\u07f8 \u0964-\u0965 \u0e3f "
    "\u0e4f \u1fbd \u2016-\u2017 \u201a \u201e-\u2023 \u2030-\u2038 \u203b \u203e-\u2042 \u2070 "
    "\u2074-\u207e \u2080-\u208e \u20a0 \u20a4 \u20ac \u2100-\u2101 \u2103-\u2106 \u2108-\u2109 "
    "\u2114 \u2116-\u2118 \u211e-\u2123 \u2125 \u2127 \u2129 \u212e \u213a-\u213b \u2140-\u2144 "
    "\u214a-\u214d \u214f \u2153-\u215e \u2190-\u2bff \u3001-\u3002 \u3012 \u30fb \uff01-\uff0f "
    "\uff1a-\uff20 \uff3b-\uff40 \uff5b-\uff65 \uffe0-\uffe1 \uffe5-\uffe6"
)
_MARKS = (
    "\u02c2-\u02c5 \u02d2-\u02df \u02e5-\u02eb \u02ed \u02ef-\u036f \u0375 \u0378-\u0379 "
    "\u0384-\u0385 \u03f6 \u0483-\u0487 \u055a-\u055f \u0591-\u05bd \u05bf \u05c1-\u05c2 "
    "\u05c4-\u05c5 \u05c7 \u0615-\u061a \u064b-\u065e \u0670 \u06d6-\u06e4 \u06e7-\u06ed "
    "\u06fd-\u06fe \u070f \u0711 \u0730-\u074c \u07a6-\u07b0 \u07eb-\u07f3 \u0900-\u0903 \u093c "
    "\u093e-\u094e \u0951-\u0955 \u0962-\u0963 \u0981-\u0983 \u09bc \u09be-\u09c4 \u09c7-\u09c8 "
    "\u09cb-\u09cd \u09d7 \u09e2-\u09e3 \u0a01-\u0a03 \u0a3c \u0a3e-\u0a4f \u0a81-\u0a83 \u0abc "
    "\u0abe-\u0acf \u0b82 \u0bbe-\u0bc2 \u0bc6-\u0bc8 \u0bca-\u0bcd \u0c01-\u0c03 \u0c3e-\u0c56 "
    "\u0d3e-\u0d44 \u0d46-\u0d48 \u0e31 \u0e34-\u0e3a \u0e47-\u0e4e \u0eb1 \u0eb4-\u0ebc "
    "\u0ec8-\u0ecd"
)


def shape(text: str) -> str:
    """Give a text of the same length in which every character stands for its kind."""
    if text.isascii():
        return text
    return "".join(
        character if character < "\x7f" else _kinds.get(character) or _kind(character)
        for character in _PAIRS.sub(_SIDE_BY_SIDE, text)
    )


def _spread(ranges: str) -> list[str]:
    """List the characters of ranges such as "a-c x"."""
    found = []
    for span in ranges.split(" "):
        first, last = span[0], span[-1]
        found += [chr(code) for code in range(ord(first), ord(last) + 1)]
    return found


_kinds = dict.fromkeys(_spread(_MARKS), MARK) | dict.fromkeys(_spread(_SYMBOLS), SYMBOL)
_kinds |= {character: character for character in _AS_THEY_ARE}
_kinds["\ue000"] = PAIR
for _stand_in, _characters in _STAND_INS.items():
    _kinds |= dict.fromkeys(_characters, _stand_in)


def _kind(character: str) -> str:
    if character > "\uffff":
        kind = NOTHING
    elif character.isalpha():
        kind = LETTER
    elif character.isdecimal():
        kind = DIGIT
    else:
        kind = NOTHING
    return kind
