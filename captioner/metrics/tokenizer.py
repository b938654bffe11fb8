"""Penn-Treebank tokens as the official COCO caption scoring sees them, without Java.

The official scorer runs Stanford's PTBTokenizer (CoreNLP 3.4.1, lower-casing) and then drops the
tokens in `DROPPED`. Its lexer takes, at every position, the rule that matches the longest piece of
text, trailing context included. The same is done here with our own rules: `RULES` below.
"""

from __future__ import annotations

import re

DROPPED = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"]
    + [".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""What the official code removes. The brackets never match: by then they are in lower case."""

# --- pieces of the rules ---------------------------------------------------------------------
APOSTROPHE = r"['\u0092\u2019]"
LETTER = r"[^\W\d_]"
ALNUM = r"[^\W_]"
BARE = r"[A-Za-z0-9]"
WORD = rf"{LETTER}{ALNUM}*(?:[.!?]{LETTER}{ALNUM}*)*"
NUMBER = r"[-+]?(?:\d*(?:[.:,]\d+)+|\d+)"
HYPHENATED = rf"{BARE}(?:{BARE}|[.,](?=[A-Za-z0-9.,]*-))*(?:-{BARE}+)+"
SLASHED = rf"{BARE}+(?:-[A-Za-z]+){{0,2}}(?:\\?/{BARE}+(?:-[A-Za-z]+){{0,2}}){{1,2}}"
ENDING = rf"{APOSTROPHE}(?:s|m|d|ll|re|ve)(?!{LETTER})"
ABBREVIATION = (
    r"(?:Mr|Mrs|Ms|Dr|St|Ave|Blvd|Jr|Sr|Inc|Ltd|Corp|Co|etc|vs|Ph\.D|Sgt|Gen|Lt|Col|Capt"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri)\."
)
INITIALS = r"[A-Za-z](?:\.[A-Za-z])*\."

SPLIT_WORDS = {
    "cannot": 3,
    "gonna": 3,
    "gotta": 3,
    "lemme": 3,
    "gimme": 3,
    "wanna": 3,
}
"""Words written as two: where the second begins."""

RULES = [
    re.compile(pattern, flags)
    for pattern, flags in (
        (rf"({WORD})", 0),
        (rf"({WORD})(?:{ENDING})", re.IGNORECASE),
        (rf"({WORD}?)(?=n{APOSTROPHE}t(?!{LETTER}))n't", re.IGNORECASE),
        (rf"(n{APOSTROPHE}t)(?!{LETTER})", re.IGNORECASE),
        (rf"({ENDING})", re.IGNORECASE),
        (rf"({NUMBER})", 0),
        (rf"(\d{ALNUM}*)", 0),
        (rf"({HYPHENATED})", 0),
        (rf"({SLASHED})", 0),
        (rf"({ABBREVIATION})", re.IGNORECASE),
        (rf"({INITIALS})", 0),
        (rf"([dDoOlL]{APOSTROPHE}{LETTER}+)", 0),
        (rf"({APOSTROPHE}n{APOSTROPHE})", re.IGNORECASE),
        (r"([A-Z]&[A-Z])", re.IGNORECASE),
        (r"(\.{3,}|-{2,}|[!?]{2,})", 0),
        (r"(\S)", 0),
    )
]

NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
         '"': "''"}  # fmt: skip

_PLAIN = re.compile(r"[A-Za-z]+,?|[A-Za-z]{2,}[.]")
_CACHE: dict[str, list[str]] = {}


def tokenize(text: str) -> list[str]:
    """Split a caption into the lower-case tokens that the official COCO metrics count.

    Equal to Stanford's PTBTokenizer as pycocoevalcap runs it, official punctuation dropped
    (Chen et al. 2015, "Microsoft COCO Captions", section 4.1).
    """
    chunks = text.split()
    if not all(map(_PLAIN.fullmatch, chunks)):
        return _scan(text)
    tokens: list[str] = []
    for chunk in chunks:
        found = _CACHE.get(chunk)
        if found is None:
            found = _CACHE[chunk] = _scan(chunk)
        tokens += found
    return tokens


def _scan(text: str) -> list[str]:
    tokens = []
    position = 0
    while position < len(text):
        longest, end = position, position + 1
        token = ""
        for rule in RULES:
            match = rule.match(text, position)
            if match and match.end() > longest:
                longest, end, token = match.end(), match.end(1), match.group(1)
        position = max(end, position + 1)
        tokens += _written(token)
    return [token for token in tokens if token and token not in DROPPED]


def _written(token: str) -> list[str]:
    """Give a token's final spelling."""
    token = token.lower().replace("\u2019", "'")
    if token in SPLIT_WORDS:
        return [token[: SPLIT_WORDS[token]], token[SPLIT_WORDS[token] :]]
    if token.startswith("..."):
        return ["..."]
    if token.startswith("--"):
        return ["--"]
    return [NAMES.get(token, token)]
