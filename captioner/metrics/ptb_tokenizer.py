"""The Penn-Treebank tokens that the official COCO caption scorer uses, without Java.

The official scorer runs Stanford's PTBTokenizer (CoreNLP 3.4.1, lower-casing) and then drops
punctuation. `captioner.metrics.ptb_rules` says how its behaviour was learned. What it does with
captions is done here; what it does with the following, which captions hardly have, is not:

- Scripts without spaces, such as Chinese and Thai: there a sentence is one token, here each letter.
- Words: "pro-" and "anti-" with nothing after the hyphen; d' j' l' before a space; e'er, c'est,
  o'o; C++, C#, F#; S&P-500; "cannot's" and the like; "-LRB-" spelled out; "Canada-U.S" and five
  such pairs of countries, which lose their last full stop.
- Abbreviations: ed. mfg. mtg. pte. ppte. ppty. and their plurals; "Jan.-Feb." and "Co.A", which are
  two tokens there and one here.
- Addresses: web addresses with an @, or with a hyphen or ".," after the host; hosts such as
  a&b.com; e-mail in angle brackets or with marks other than . _ + - before the @; file names that
  begin with a digit.
- Mark-up: comments and declarations, spaces around "=", entities other than &amp; &lt; &gt; &quot;
  &apos; &nbsp; in small letters, and tags and clitics (&apos;s) written with entities.
- Telephone numbers without a space or hyphen between the last two groups, or with more than one
  space or dots and hyphens mixed.
- Emoticons with o or * as the nose, with the mouths \\ @ {, with two different eyes, with x or an
  apostrophe for eyes, or in brackets, such as :o) :@ -_^ (^_^) (->).
- Marks: "\\/" and "\\*"; two typographic quotes side by side; the Armenian hyphen, Arabic decimal
  marks; the euro sign of Windows; symbols that it does not know (it drops ‼ and ₹), accents without
  a letter, and some marks of Indian scripts.
- Words, numbers and addresses without a space between them, such as "dog's1st" or "man.-A".
- The next caption: there, whether "K." at the end of a caption keeps its full stop depends on the
  first word of the next caption. Here it never does, so that tokens depend only on their caption.
- Line separators other than "\\n": there they shift all later captions by one picture. Here they
  are spaces.
"""

from __future__ import annotations

import re
from functools import lru_cache

from captioner.data.unspaced_scripts import space_out
from captioner.metrics.ptb_characters import shape
from captioner.metrics.ptb_rules import NEXT_TOKEN

DROPPED = re.compile(r"[.?!,:;'`\"–…]|''|``|-{1,4}|\.{3,5}")
"""The punctuation marks, quotes and dashes that the official code removes.

Its list also has brackets, but in capitals ("-LRB-"), which never match lower-cased tokens.
"""

CLITICS = re.compile(r"'(?:[msd]|re|ve|ll)|n['`]t")
"""Tokens that always get a straight apostrophe, whichever the caption has."""

SPLIT_WORDS = {"cannot": 3, "gonna": 3, "gotta": 3, "lemme": 3, "gimme": 3, "wanna": 3}
"""Words that are split into two tokens, and the index at which the second begins."""

ENTITIES = {"&quot;": '"', "&apos;": "'", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&amp;": "&"}
SPELLINGS = {
    "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "\u00a2": "cents", "\u00a3": "#",
    "\u20ac": "$", "\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3",
    "\u2154": "2/3",
}  # fmt: skip

_SPACES = re.compile("[\\x00-\\x1f\\x7f\\x85\xa0\u2028\u2029]")


def tokenize(text: str) -> list[str]:
    """Split a caption into the lower-case tokens that the official COCO metrics count.

    Equal to Stanford's PTBTokenizer as the official code runs it, without the punctuation it drops
    (Chen et al. 2015, "Microsoft COCO Captions", section 4.1), except for the cases listed above.
    """
    text = _SPACES.sub(" ", text).replace("\u00ad", "")
    if "&" in text:
        for entity, character in ENTITIES.items():
            text = text.replace(entity, character)
    if text.isascii():
        parts = [_to_tokens(token, token) for token in NEXT_TOKEN.findall(text)]
    else:
        text = space_out(text)
        found = NEXT_TOKEN.finditer(shape(text))
        parts = [_to_tokens(text[slice(*match.span(1))], match[1]) for match in found]
    return [token for part in parts for token in part]


@lru_cache(maxsize=1 << 16)
def _to_tokens(token: str, shaped: str) -> tuple[str, ...]:
    """Turn a piece of the caption into its tokens: none if dropped, one, or two."""
    token = token.lower()
    if token in SPLIT_WORDS:
        return token[: SPLIT_WORDS[token]], token[SPLIT_WORDS[token] :]
    return () if DROPPED.fullmatch(shaped) else (_spell(token, shaped.lower()),)


def _spell(token: str, shaped: str) -> str:
    """Write a token as the official tokenizer prints it."""
    if token in SPELLINGS:
        return SPELLINGS[token]
    if CLITICS.fullmatch(shaped):
        return shaped
    return token.replace(" ", "\u00a0").replace("(", "-lrb-").replace(")", "-rrb-")
