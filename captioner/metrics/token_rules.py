"""The tokenizer's rules: what makes one Penn-Treebank token.

Each rule is a pattern over the characters that `captioner.metrics.characters.shape` writes; its
group 1 is the token and anything matched after it is context. The rules were found by asking the
official tokenizer about millions of short texts.
"""

from __future__ import annotations

import re

from captioner.metrics.characters import DIGIT, LETTER, MARK, NOTHING

# --- words that have a full stop ---
ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig
    bros calif capt cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec
    ens esq est etc ext feb fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun
    kan kans ky lieut lt ltd maj mar md messrs mich minn mlle mme mo mon mont mr mrs ms msgr mt natl
    neb nev nov oct okla penn pfc ph plc pres prof profs pvt rd rep reps rev rt sen sens sep sept
    seq sfc sgt spc sq sr st ste supt supts sys tel tenn thu thurs treas tue tues univ va vs vt wed
    wis wisc wm wyo
"""
SMALL_ABBREVIATIONS = "mfg mtg ppte pptes ppty pptys pte ptes pty ptys"  # but not in capitals
CAPITAL_ABBREVIATIONS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"  # words when in small letters
NUMBERED = "art ca fig no nos op pp"  # only before a number, as in "no. 5"

# A full stop after a single letter ends the sentence, not the letter, before one of these.
STARTERS = """
    A An As At He If In It So We But Her Now One Our She The Yet You Here Last Many More Once Some
    Such That Then They This What When About After Other Since Their There These While However
    Earlier According
"""


def _one_of(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


def _any_case(pattern: str) -> str:
    return f"(?i:{pattern})"


# --- pieces ---
A = r"[A-Za-z]"
L = rf"[A-Za-z{LETTER}{MARK}\u00ad]"
D = rf"[0-9{DIGIT}]"
WORD = rf"{L}(?:{L}|{D})*(?:[.!?]{L}(?:{L}|{D})*)*"
NUMBER = rf"[-+]?(?:{D}*(?:[.:,\u00ad\u066b\u066c]{D}+)+|{D}+)"
CLITIC = _any_case("'(?:[msd]|re|ve|ll)")
INITIALS = rf"(?:{A}(?:\.{A})+)"
COUNTRY = r"(?:(?:Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(?:U\.K|U\.S\.S\.R))"
PART = rf"[A-Za-z0-9{LETTER}{DIGIT}\u00ad]"
AND = r"(?:&(?i:amp;)?)"
FRACTION = rf"{D}{{1,4}}\\?[/\u2044]{D}{{1,4}}"
PHONE = (
    r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
    r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
NOT_IN_URL = r" \t\u00a0\"<>|()"
NOT_AT_END = NOT_IN_URL + r".!?{},\-"
PATH = rf"(?:/[^{NOT_IN_URL}]+[^{NOT_AT_END}])?"
NAME = r"[A-Za-z][A-Za-z0-9_:.\-]*"
ATTRIBUTE = rf"{NAME}(?: *= *(?:'[^']*'|\"[^\"]*\"))?"
TAG = rf"<(?:[!?][A-Za-z\-][^>]*|/?{NAME}(?: +{ATTRIBUTE})* */?) *>"
SENTENCE_END = rf" *$|[ \u00a0]+(?:{_one_of(STARTERS + STARTERS.upper())}(?:[ \u00a0]|$)|{TAG})"

WORDS = [
    rf"({WORD})(?:{CLITIC})?",
    r"([A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*)[nN]'[tT]",
    rf"({CLITIC}|[nN]'[tT])(?!{A})",
    rf"((?:{D}|[A-Za-z{LETTER}])+)",
    r"([A-Za-z0-9]+(?:_[A-Za-z0-9]+)+)",
    rf"({PART}(?:{PART}|[.,])*?(?:-(?:{INITIALS}\.|{PART}+))+)",
    r"([A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})",
    rf"([A-Z]+(?:{AND}[A-Z]+)+|(?i:pro-|anti-)|S{AND}P-500|S{AND}Ls|C\.D\.s)",
    _any_case(r"(c\+\+|[cf]#)"),
]
STOPS = [
    rf"({WORD}\.)[,;:\u3001]",
    rf"((?i:{_one_of(ABBREVIATIONS)}|(?:ph|ed)\.d)\.)",
    rf"({_one_of(SMALL_ABBREVIATIONS + ' ' + SMALL_ABBREVIATIONS.title())}\.)",
    rf"({_one_of(CAPITAL_ABBREVIATIONS + ' ' + CAPITAL_ABBREVIATIONS.upper())}\.)",
    rf"({_any_case(_one_of(NUMBERED))}\.)(?= ?{D})",
    rf"({INITIALS}\.|{COUNTRY}\.|{A}\.(?!{SENTENCE_END}))",
]
NUMBERS = [
    rf"({NUMBER})",
    rf"((?:{D}{{1,4}}[-\u00a0 ])?{FRACTION})",
    rf"({D}{{1,2}}[-/]{D}{{1,2}}[-/]{D}{{2,4}})",
    rf"({PHONE})",
]
APOSTROPHES = [
    rf"([dDlLnNoO]'{A}{{2,}}|[oO]'[oO]|{A}+[aeiouyAEIOUY]'[aeiouA-Z]{A}*)",
    rf"([dDjJlL]'|[yY]'(?={A}))",
    _any_case(r"('n'?|ol'|'em|'till?|'[0-9][0-9]|'[2-9]0s|c'mon|c'est|cap'n|dunkin'|somethin')"),
    _any_case(r"('t)(?=is|was)"),
]
MARKS = [
    rf"([A-Z]*\$|[@#]{L}+|@[A-Za-z_][A-Za-z_0-9]*)",
    r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])",
    r"([\^x=~<>]\.[\^x=~<>]|[-\^x=~<>']_[-\^x=~<>']|[tToO][._][tToO])",
    r"(\([-\^x=~<>'][_.]?[-\^x=~<>']\))",
    r"(\.{3,5}|-+|[!?]+|\*+|_+|@+|#+|''|``|<<|>>|(?:\\\*){1,3})",
    r"(-[LR][RCS]B-)",
    rf"([^ {NOTHING}])",
]
ADDRESSES = [
    rf"((?i:https?)://[^{NOT_IN_URL}]+[^{NOT_AT_END}])",
    rf"((?i:www)\.(?:[^{NOT_AT_END}]+\.)+[A-Za-z]{{2,4}}{PATH})",
    rf"((?:[^{NOT_AT_END}'`_$]+\.)+(?i:com|net|org|edu){PATH})",
    rf"((?:<|&lt;)?[A-Za-z0-9][^{NOT_IN_URL}]*@(?:[^{NOT_IN_URL}.]+\.)*[^{NOT_IN_URL}.]+(?:>|&gt;)?)",
    rf"({TAG})",
    _any_case(r"(&(?:amp|lt|gt|quot|apos|nbsp|mdash|ndash);)"),
]
RULES = [re.compile(rule) for rule in WORDS + STOPS + NUMBERS + APOSTROPHES + MARKS + ADDRESSES]
