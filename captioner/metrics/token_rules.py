"""The tokenizer's rules: what makes one Penn-Treebank token.

Each rule is a pattern over the characters that `captioner.metrics.characters.shape` writes; its
group 1 is the token and anything matched after it is context. Two line ends follow the text. The
longest match counts, and of equally long ones the first.

The lists of words and kinds of characters were found by asking the official tokenizer about every
short word and every character. The patterns follow what is known of its lexer's behaviour and were
corrected until it agreed on hundreds of thousands of made-up texts.
"""

from __future__ import annotations

import re

from captioner.metrics.characters import DIGIT, LETTER, MARK, NOTHING, PAIR

# --- words that have a full stop ---
TITLES = """
    adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr
    drs elec ens ft gen gov govs hon insp invt jos lieut lt maj messrs mlle mme mr mrs ms msgr
    mt natl pfc ph pres prof profs pvt rep reps rev sen sens sfc sgt spc st ste supt supts treas
    vs wm
"""
SMALL_TITLES = "mfg mtg"  # but not in capitals
# These can end a sentence as well: their rule looks at the two characters after the stop.
ENDINGS = """
    al ala apr ariz assn aug bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec
    esq est etc ext feb fla fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn
    mo mon mont neb nev nov oct okla penn plc rd rt sep sept seq sq sr sys tel tenn thu thurs
    tue tues univ va vt wed wis wisc wyo
"""
SMALL_ENDINGS = "ppte pptes ppty pptys pte ptes pty ptys"
CAPITAL_ENDINGS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"  # words when in small letters
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
L = rf"(?:[A-Za-z{LETTER}{MARK}]|&[aeiouAEIOU](?:acute|grave|uml);)"
D = rf"[0-9{DIGIT}]"
WORD = rf"{L}(?:{L}|{D})*(?:[.!?]{L}(?:{L}|{D})*)*"
NUMBER = rf"[-+]?(?:{D}*(?:[.:,\u066b\u066c]{D}+)+|{D}+)"
CLITIC = _any_case("'(?:[msd]|re|ve|ll)")
INITIALS = rf"(?:{A}(?:\.{A})+)"
PART = rf"[A-Za-z0-9{LETTER}{DIGIT}]"
NOT = r"[nN]['`][tT]"
ELIDED = rf"[dDlLoO]['`]{A}{{2}}{PART}*"  # d'oeuvre, o'clock
UNIT = rf"(?:{ELIDED}|{PART}+(?:_{PART}+)*)"
JOINED = rf"{UNIT}(?:[-\u058a\u2010\u2011]{UNIT})*"
JOINED_NUMBERS = rf"[A-Za-z0-9][A-Za-z0-9.,]*?(?:-(?:{INITIALS}\.|[A-Za-z0-9]+))+"
FILE_ENDING = _one_of("""
    bat bmp c cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png
    ppt ps py sql tar txt wav x xml zip
""")
AND = r"(?:&(?i:amp;)?)"
FRACTION = rf"{D}{{1,4}}\\?[/\u2044]{D}{{1,4}}"
GAP = r"[- \u00a0]"
AREA = rf"(?:\([0-9]{{2,3}}\)[ \u00a0]?|\+{{0,2}}(?:[0-9]{{2,4}}{GAP}){{1,2}})"
PHONE = rf"{AREA}[0-9]{{3,4}}{GAP}?[0-9]{{3,5}}"
DOTTED_PHONE = r"(?:\+{0,2}[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
NOT_IN_URL = r" \n\t\u00a0\"<>|()"
NOT_AT_END = NOT_IN_URL + r".!?{},\-"
PATH = rf"(?:/[^{NOT_IN_URL}]+[^{NOT_AT_END}])?"
NAME = r"[A-Za-z][A-Za-z0-9_:.\-]*"
ATTRIBUTE = rf"{NAME}(?: *= *(?:'[^']*'|\"[^\"]*\"))?"
TAG = rf"<(?:[!?][A-Za-z\-][^>\n]*|/{NAME}|{NAME}(?: +{ATTRIBUTE})* */?) *>"
SENTENCE_END = rf" *\n|[ \u00a0]+(?:{_one_of(STARTERS + STARTERS.upper())}[ \u00a0\n]|{TAG})"

WORDS = [
    rf"({WORD})(?:{CLITIC})?",
    rf"([A-Za-z]*[A-MO-Za-mo-z]){NOT}",
    rf"({CLITIC}|{NOT})(?!{A})",
    rf"((?:{D}|[A-Za-z{LETTER}])+)",
    r"([A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})",
    rf"([A-Z]+(?:(?:{AND}|\+)[A-Z]+)+)",
    rf"((?i:pro-|anti-)|S{AND}P-500|S{AND}Ls|C\.D\.s)",
    _any_case(r"(c\+\+|[cf]#)"),
]
STOPS = [
    rf"((?:{WORD}|{JOINED}|{JOINED_NUMBERS})\.)[,;:\u3001]",
    rf"((?i:{_one_of(TITLES)})\.)",
    rf"({_one_of(SMALL_TITLES + ' ' + SMALL_TITLES.title())}\.)",
    rf"((?:{PART}+\.)+(?i:{FILE_ENDING}))(?=[ \n.?!,])",
    rf"((?i:(?:ph|ed)\.d|{_one_of(ENDINGS)})\.)(?s:..)",
    rf"({_one_of(SMALL_ENDINGS + ' ' + SMALL_ENDINGS.title())}\.)(?s:..)",
    rf"({_one_of(CAPITAL_ENDINGS + ' ' + CAPITAL_ENDINGS.upper())}\.)(?s:..)",
    rf"({_any_case(_one_of(NUMBERED))}\.)(?= ?{D})",
    rf"({INITIALS}\.|{A}\.(?!{SENTENCE_END}))",
]
# After the stops, to which ties belong: "etc.-5" is "etc." and "-5".
NUMBERS = [
    rf"({JOINED})",
    rf"({JOINED_NUMBERS})",
    rf"({NUMBER})",
    rf"((?:{D}{{1,4}}[-\u00a0 ])?{FRACTION})",
    rf"({D}{{1,2}}[-/]{D}{{1,2}}[-/]{D}{{2,4}})",
    rf"({PHONE}|{DOTTED_PHONE})",
]
APOSTROPHES = [
    rf"([oO]'[oO]|[A-HJ-XZn]['`][A-Za-z{LETTER}]{{2,}})",
    rf"([A-Za-z{LETTER}]+[aeiouyAEIOUY]['`][aeiouA-Z][A-Za-z{LETTER}]*)",
    rf"([dDjJlL]'|[yY]'(?={A}))",
    _any_case(r"('n'|ol'|'em|'till?|'cause|e'er|'[2-9]0s|c'mon|c'est|cap'n|dunkin'|somethin')"),
    _any_case(r"('n|'[0-9][0-9])(?=[ \u00a0\n])"),
    _any_case(r"('t)(?=is|was)"),
]
MARKS = [
    rf"([A-Z]*\$|#{L}+)",
    r"(@[A-Za-z_][A-Za-z_0-9]*)",
    r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?![A-Za-z0-9])",
    r"([-\^x=~<>']_[-\^x=~<>'])",
    r"(\([-\^x=~<>'][-_.]?[-\^x=~<>']\))",
    r"(\.{3,5}|-+|[!?]+|\*+|_+|@+|#+|''|``|<<|>>|(?:\\\*){1,3})",
    rf"(-(?i:[LR][RCS]B)-|{PAIR}{{2}})",
    rf"([^ \n{NOTHING}\u00a0\u058a\u066b\u066c\u2010\u2011])",
]
ADDRESSES = [
    rf"((?i:https?)://[^{NOT_IN_URL}]+[^{NOT_AT_END}])",
    rf"((?i:www)\.(?:[^{NOT_IN_URL}.!?{{}},]+\.)+[A-Za-z]{{2,4}}{PATH})",
    rf"((?:[^{NOT_IN_URL}`'!?{{}}$,-_]+\.)+(?i:com|net|org|edu){PATH})",
    rf"((?:<|&lt;)?[A-Za-z0-9][^{NOT_IN_URL}{{}}]*@(?:[^{NOT_IN_URL}{{}}.]+\.)*[^{NOT_IN_URL}{{}}.]+(?:>|&gt;)?)",
    rf"({TAG})",
    _any_case(r"(&(?:amp|lt|gt|quot|apos|nbsp|mdash|ndash);)"),
]
RULES = [re.compile(rule) for rule in WORDS + STOPS + NUMBERS + APOSTROPHES + MARKS + ADDRESSES]
