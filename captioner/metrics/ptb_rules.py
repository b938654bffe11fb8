"""The tokenizer's rules: patterns for one Penn-Treebank token.

Each rule is a pattern over the text that `captioner.metrics.ptb_characters.shape` returns. The
first rule that matches is used, so rules for longer tokens come first. Text that only helps to
recognise a token is in a lookahead.

The rules describe how the official tokenizer treated made-up texts. It was run on these:
abbreviations: every word of up to five letters before a full stop, common longer ones, and all in
captions; first words of sentences: all of up to four letters, and those in captions; apostrophes:
after every letter, and after words of captions in -ing without their g; emoticons, web addresses,
e-mail, tags and telephone numbers: the usual forms, and variants with one part changed.
"""

from __future__ import annotations

import re

from captioner.metrics.ptb_characters import DIGIT, LETTER, MARK, NOTHING

# These keep their full stop anywhere.
ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig
    bros calif capt cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec
    ens esq est etc ext feb fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun
    kan kans ky lieut lt ltd maj mar md messrs mich minn mlle mme mo mon mont mr mrs ms msgr mt natl
    neb nev nov oct okla penn pfc ph plc pres prof profs pvt rd rep reps rev rt sen sens sep sept
    seq sfc sgt spc sq sr st ste supt supts sys tel tenn thu thurs treas tue tues univ va vs vt wed
    wis wisc wm wyo
"""
CAPITAL_ABBREVIATIONS = (
    "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"  # ordinary words in lower case
)
NUMBERED = "art ca fig no nos op pp"  # only before a number, as in "no. 5"

# A full stop after a single letter ends the sentence, not the letter, before one of these.
STARTERS = """
    A An As At He If In It So We But Her Now One Our She The Yet You Here Last Many More Once Some
    Such That Then They This What When About After Other Since Their There These While However
    Earlier According
"""


def _one_of(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


# --- letters, digits and word ends ---
L = rf"[A-Za-z{LETTER}{MARK}]"
D = rf"[0-9{DIGIT}]"
LD = rf"[A-Za-z{LETTER}0-9{DIGIT}]"
END = r"(?= |$)"
STOP = r"(?:\.(?=[,;:]))?"  # a full stop with more marks after it stays with its word

# --- web addresses, e-mail, tags and telephone numbers ---
IN_ADDRESS = r"[^ \"<>|()]"
ADDRESS_END = r"[^ \"<>|().,!?{}\-]"
PATH = rf"/{IN_ADDRESS}+{ADDRESS_END}"
HOST = r"www(?:\.[A-Za-z0-9\-]+)+\.[A-Za-z]{2,4}"
KNOWN_HOST = r"(?:[A-Za-z0-9]+\.)+(?:com|edu|net|org)"
IN_DOMAIN = r"[^ \"<>|(){}.]"
TAG_NAME = r"[A-Za-z][\w:.\-]*"
AREA = r"\+?[0-9]{2,4} "
ADDRESSES = [
    rf"(?i:https?)://{IN_ADDRESS}+{ADDRESS_END}",
    rf"(?i:{HOST})(?![A-Za-z0-9])(?:{PATH})?|{KNOWN_HOST}{PATH}",
    rf"[A-Za-z0-9][\w.+\-]*@{IN_DOMAIN}+(?:\.{IN_DOMAIN}+)*",
    rf"<(?:/{TAG_NAME}|{TAG_NAME}(?: {TAG_NAME}(?:=(?:\"[^\"]*\"|'[^']*'))?)* ?/?)>",
    rf"(?:{AREA})?(?:{AREA}|\([0-9]{{2,3}}\) ?)[0-9]{{3,4}}[ \-][0-9]{{3,5}}",
]

# --- words ---
WORD = rf"{L}(?:{L}|{D})*(?:[.!?]{L}(?:{L}|{D})*)*"
CLITIC = "(?i:'(?:[msd]|re|ve|ll))"
NOT = r"[nN]['`][tT]"
ELIDED = rf"[dDlLoO]['`]{L}{{2}}{LD}*"  # d'oeuvre, o'clock
CHAINED = rf"{LD}+(?:_{LD}+)*"
INITIALS = r"[A-Za-z](?:\.[A-Za-z])+\."
IN_SLASHES = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
SENTENCE_END = rf" *$| +{_one_of(STARTERS + STARTERS.upper())}{END}"
WORDS = [
    rf"{WORD}(?={CLITIC}(?![A-Za-z]))",
    rf"(?:{CLITIC}|{NOT})(?![A-Za-z])",
    rf"[A-Za-z]*[A-MO-Za-mo-z](?={NOT})",
    rf"{IN_SLASHES}(?:/{IN_SLASHES}){{1,2}}",
    rf"(?:[A-Za-z0-9][A-Za-z0-9.,]*|{ELIDED}|{CHAINED})"
    rf"(?:-(?:{INITIALS}|{ELIDED}|{CHAINED}))+{STOP}",
    rf"{ELIDED}{STOP}|{LD}+(?:_{LD}+)+{STOP}",
    rf"[A-HJ-XZn]['`][A-Za-z{LETTER}]{{2,}}",  # B'day, but I'd and y' all
    r"(?i:ol'|c'mon|cap'n|s'mores|dunkin'|somethin')|[yY]'(?=[A-Za-z])",
    rf"{L}*[aeiouyAEIOUY]['`][aeiouA-Z]{L}*",  # Hawai'i, ma'am
    rf"{INITIALS}(?!{L})",
    rf"(?i:{_one_of(ABBREVIATIONS)}|ph\.d)\.(?!{L})",
    rf"{_one_of(CAPITAL_ABBREVIATIONS + ' ' + CAPITAL_ABBREVIATIONS.upper())}\.(?!{L})",
    rf"(?i:{_one_of(NUMBERED)})\.(?= ?{D})",
    rf"[A-Za-z]\.(?!{L}|{SENTENCE_END})",
    rf"[A-Z]+(?:[&+][A-Z]+)+{STOP}",
    r"[A-Z]*\$",
    rf"{WORD}{STOP}",
]

# --- numbers ---
NUMBERS = [
    rf"{D}*(?:[.:,]{D}+)+",
    rf"{LD}+{STOP}",
    rf"[\-+]{D}*(?:[.:,]{D}+)+|[\-+]{D}+",
]
MIXED_FRACTION = rf"{D}{{1,4}}[ \-]{D}{{1,4}}/{D}{{1,4}}"

# --- words that begin with a mark, and marks ---
MARKS = [
    rf"(?i:'(?:n'|em|till?|cause|[2-9]0s|t(?=is|was)))|'(?:[nN]|[0-9]{{2}}){END}",
    rf"#{L}+|@[A-Za-z_][A-Za-z0-9_]*",
    rf"[<>]?[:;=][\-']?[()\[\]DdPpO|](?!{LD})|-_-|\^_\^|=_=|~_~|<_<|>_>",
    r"\.{3,5}|-+|[!?]+|\*+|_+|@+|#+|''|``|<<|>>",
    rf"[^ {NOTHING}]",
]

PLAIN = r"[A-Za-z]+(?=,?(?: |$))"  # most words
RULES = [PLAIN, *ADDRESSES, MIXED_FRACTION, *WORDS, *NUMBERS, *MARKS]
NEXT_TOKEN = re.compile(rf"[ {NOTHING}]*({'|'.join(RULES)})")
