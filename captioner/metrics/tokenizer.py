"""Penn-Treebank tokens as the official COCO caption scoring sees them, without Java.

The official scorer runs Stanford's PTBTokenizer (CoreNLP 3.4.1, lower-casing) and then drops
punctuation. Its lexer takes, at every place, the rule that matches most text, context included;
the same is done here, with rules of our own. What is known to differ:

- There, "K." at the end of a caption keeps its full stop or not by the first word of whatever
  caption comes next. Here it never does, so that a caption's tokens are its own.
- There, a line separator inside a caption (other than "\\n") shifts all later captions by one
  picture. Here it is a space.
- "Canada-U.S" and six such pairs of countries, written without the last full stop.
- Soft hyphens beside digits or marks, a curly apostrophe before the beginning of a longer word
  (as in ’nother), broken mark-up and letters that Unicode gained after 2012.
"""

from __future__ import annotations

import re
from functools import lru_cache

from captioner.metrics.characters import PAIR, shape
from captioner.metrics.token_rules import RULES

DROPPED = re.compile(r"[.?!,:;'`\"–…]|''|``|-{1,4}|\.{3,5}")
"""What the official code removes: its punctuation marks, quotes and dashes.

Its list has brackets too, but in capitals ("-LRB-"), which lower-cased tokens never are.
"""

CLITICS = re.compile(r"'(?:[msd]|re|ve|ll)|n['`]t")
"""What is written with a straight apostrophe whichever the caption has."""

SPLIT_WORDS = {"cannot": 3, "gonna": 3, "gotta": 3, "lemme": 3, "gimme": 3, "wanna": 3}
"""Words that are two, and where the second begins."""

SPELLINGS = {
    "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "\u00a2": "cents", "\u00a3": "#", "\u0080": "$", "\u00a4": "$", "\u20a0": "$", "\u20ac": "$",
    "\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3",
    "&lt;": "<", "&gt;": ">", "&quot;": "", "&apos;": "", "&nbsp;": "", "&mdash;": "",
    "&ndash;": "",
}  # fmt: skip

QUOTES = str.maketrans(
    dict.fromkeys("\u0093\u00ab\u201c", "``")
    | dict.fromkeys("\u0094\u00bb\u201d", "''")
    | dict.fromkeys("\u0091\u2018\u201b\u2039", "`")
    | dict.fromkeys("\u0092\u2019\u203a", "'")
)

_CONTROL = re.compile("[\\x00-\\x1f\\x7f\\x85\u2028\u2029]")

# A caption made of these alone can be tokenized piece by piece: none of them looks at the next.
_PLAIN = re.compile(
    r"\"?(?:[A-Za-z]{2,}(?:['-][A-Za-z]+)*[,?!]?|(?:[A-Za-z]+['-])*[A-Za-z]{2,}\.)\"?"
    r"|[A-Za-z],?|[.,?!;\"]"
)


def tokenize(text: str) -> list[str]:
    """Split a caption into the lower-case tokens that the official COCO metrics count.

    Equal to Stanford's PTBTokenizer as the official code runs it, official punctuation dropped
    (Chen et al. 2015, "Microsoft COCO Captions", section 4.1).
    """
    tokens: list[str] = []
    for piece in text.split():
        found = _scan_plain(piece)
        if found is None:
            text = _CONTROL.sub(" ", text).replace("&apos;", "'").replace("\u00ad", "")
            return _scan(text)
        tokens += found
    return tokens


@lru_cache(maxsize=1 << 16)
def _scan_plain(piece: str) -> list[str] | None:
    """Give the tokens of a plain piece; None if the caption must be looked at as a whole."""
    return _scan(piece) if _PLAIN.fullmatch(piece) else None


def _scan(text: str) -> list[str]:
    """Apply the rules from left to right, the longest match first."""
    shaped = shape(text) + "\n\n"
    tokens: list[str] = []
    position = 0
    while position < len(text):
        longest = end = position
        for rule in RULES:
            match = rule.match(shaped, position)
            if match and match.end() > longest:
                longest, end = match.end(), match.end(1)
        token = text[position:end].lower()
        split = SPLIT_WORDS.get(token)
        if split and longest == end:
            tokens += [token[:split], token[split:]]
        elif not DROPPED.fullmatch(shaped, position, end):
            tokens.append(_spell(token, shaped[position:end].lower()))
        position = max(end, position + 1)
    return [token for token in tokens if token]


def _spell(token: str, shaped: str) -> str:
    """Write a token as the official tokenizer prints it."""
    if token in SPELLINGS:
        return SPELLINGS[token]
    if CLITICS.fullmatch(shaped):
        return shaped
    if shaped == PAIR + PAIR:
        token = token.translate(QUOTES)
        return "" if token in ("''", "``") else token
    token = token.replace("&amp;", "&").replace(" ", "\u00a0")
    return token.replace("(", "-lrb-").replace(")", "-rrb-")
