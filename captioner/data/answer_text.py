"""How the official VQA evaluation rewrites answers before it compares them.

Behaviour after the evaluation code of Antol et al. 2015, "VQA: Visual Question Answering", quirks
included, as scores depend on them: a prediction "none" is 0, and a person's "none" stays "none".
"""

import re
from functools import lru_cache

_SIGNS = frozenset(';/[]"{}()=+\\_-><@`,?!')
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_POINT = re.compile(r"\.(?!\d)")  # stays in ".5" and in "2.5", goes everywhere else
_ARTICLES = ("a", "an", "the")
_TO_TEN = "zero one two three four five six seven eight nine ten"
_NUMBERS = {word: str(number) for number, word in enumerate(_TO_TEN.split())} | {"none": "0"}

# What the official table puts an apostrophe back into. It knows each of these with exactly one of
# its apostrophes left out: "couldnt've" and "couldn'tve", but neither "couldntve" nor "id've".
_CONTRACTIONS = """
    ain't aren't can't couldn't couldn't've could've didn't doesn't don't hadn't hadn't've hasn't
    haven't isn't mightn't mightn't've might've mustn't must've needn't not've oughtn't shan't
    shouldn't shouldn't've should've wasn't weren't won't wouldn't wouldn't've would've
    he'd he'd've he's it'd it'd've it'll she'd've they'd they'd've they'll they're they've
    we'd've we've you'd you'd've you'll you're you've y'all y'all'll y'all'd've
    somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's
    something'd something'd've something'll that's there'd there'd've there're there's
    how'd how'll how's what'll what're what's what've when's where'd where's where've
    who'd who'd've who'll who's who've why'll why're why's
    ma'am o'clock 'ow's'at 'twas
"""
_WITHOUT_APOSTROPHE = {
    word[:index] + word[index + 1 :]: word
    for word in _CONTRACTIONS.split()
    for index, sign in enumerate(word)
    if sign == "'"
} | {"somebody'd": "somebodyd"}  # the wrong way round in the official table, and so here


def normalise(answer: str) -> str:
    """The answer as predictions are compared: signs, numbers, articles and contractions rewritten.

    Lower-cased; zero to ten and none become digits; a, an, the go; "dont" becomes "don't".
    """
    text = strip_signs(" ".join(answer.split())).lower()
    words = (_NUMBERS.get(word, word) for word in text.split())
    kept = [word for word in words if word not in _ARTICLES]
    return " ".join(_WITHOUT_APOSTROPHE.get(word, word) for word in kept)


@lru_cache(maxsize=100_000)  # millions of answers, thousands of different ones
def normalise_list(answer: str) -> str:
    """The same for an answer that may name several things, as DAQUAR's "lamp, night stand".

    Each thing is rewritten by itself and the commas between them stay, so that a list of things
    is never equal to one thing with a longer name; their order counts.
    """
    return ", ".join(normalise(part) for part in answer.split(", "))


def strip_signs(answer: str) -> str:
    """The answer with signs other than : ' & $ % and the like gone or a space, as people's are.

    A sign goes if it is beside a space anywhere in the answer, or if the answer has a number
    with a comma in it, and else becomes a space: "red, blue" is "red blue" and "1,000" is "1000".
    A point goes unless a digit follows.
    """
    in_number = _COMMA_IN_NUMBER.search(answer) is not None
    text = answer
    for sign in _SIGNS.intersection(answer):  # in most answers none
        gone = in_number or f"{sign} " in answer or f" {sign}" in answer
        text = text.replace(sign, "" if gone else " ")
    return _POINT.sub("", text)
