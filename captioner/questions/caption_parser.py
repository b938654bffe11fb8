"""Parse one caption: the things it mentions, how many, what colour, who does what.

There is no tagger or grammar: a noun phrase is a known noun with the words before it, back to the
article. What these rules do not cover is ignored.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from captioner.questions import words

_TOKEN = re.compile(r"'s\b|[a-z]+(?:['-][a-z]+)*|\d+|[,.;:!?()]")
_PUNCTUATION = frozenset(",.;:!?()")
_SINGULAR = {"a": 1, "an": 1, "one": 1, "single": 1, "lone": 1}
_DEFINITE = {"the", "his", "her", "its", "their", "this", "that"}
_UNCOUNTED = {"another", "some", "several", "many", "other", "few", "each", "second"}
_FIRST_WORDS = {*_SINGULAR, *words.NUMBERS, *_DEFINITE, *_UNCOUNTED}
_LONGEST_NAME = 4  # words
_WORDS_BEFORE = 7  # that a noun phrase may have before its noun

CATEGORIES: dict[str, dict[str, str]] = {
    "person": words.PEOPLE,
    "animal": words.ANIMALS,
    "vehicle": words.VEHICLES,
    "food": words.FOODS,
    "garment": words.GARMENTS,
    "object": words.OBJECTS,
    "place": words.PLACES,
}
CATEGORY = {thing: category for category, things in CATEGORIES.items() for thing in things}


def plural(name: str) -> str:
    """The plural of a noun; only its last word changes."""
    *rest, last = name.split(" ")
    if last in words.ALWAYS_PLURAL or (last.endswith("s") and not last.endswith(("ss", "us"))):
        changed = last
    elif last in words.IRREGULAR:
        changed = words.IRREGULAR[last]
    elif last.endswith(("s", "sh", "ch", "x")):
        changed = last + "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        changed = last[:-1] + "ies"
    else:
        changed = last + "s"
    return " ".join([*rest, changed])


def verb_forms(verb: str) -> tuple[str, str, str]:
    """A verb's plain form, its form with "he" and its -ing form: run, runs, running."""
    third = verb + ("es" if verb.endswith(("s", "sh", "ch", "x")) else "s")
    if verb.endswith("y") and verb[-2] not in "aeiou":
        third = verb[:-1] + "ies"
    if verb == "lie":
        return verb, third, "lying"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb, third, verb[:-1] + "ing"
    doubled = re.search(r"[^aeiou][aeiou][bdgmnpt]$", verb) is not None and verb != "eat"
    return verb, third, verb + (verb[-1] if doubled else "") + "ing"


def _names() -> dict[tuple[str, ...], tuple[str, bool]]:
    """Map the words of each name to the thing it means and whether the name is a plural."""
    names: dict[tuple[str, ...], tuple[str, bool]] = {}
    for things in CATEGORIES.values():
        for thing, listed in things.items():
            for word in listed.split(","):
                names[tuple(plural(word).split(" "))] = thing, True
                if word not in words.ALWAYS_PLURAL:
                    names[tuple(word.split(" "))] = thing, False
    return names


_NAMES = _names()
_FUNCTION_WORDS = frozenset(words.FUNCTION_WORDS.split())
_NOT_REAL = frozenset(words.NOT_REAL.split())
_COLOUR = {word: name for name, listed in words.COLOURS.items() for word in listed.split()}
_ACTION = {
    form: answer
    for answer, verbs in words.ACTIONS.items()
    for verb in verbs.split(",")
    for form in verb_forms(verb)
}
_ACTION["lounging"] = "lying down"
_NO_VERB_AFTER = {"to", "for", "of", "by", "not", "no", "rock", "ice", "water"}
_NO_VERB_AFTER |= {*_SINGULAR, *_DEFINITE}
_NO_VERB_BEFORE = {"pool", "castle", "wall", "board", "stick", "shoes", "gear", "'s"}
# These are actions only without an object: not swinging a racket or flying a kite.
_NEED_NO_OBJECT = {form for verb in ("swing", "fly", "roll", "slide") for form in verb_forms(verb)}
_RELATION_VERBS = {
    relation: {form for verb in verbs.split(",") for form in verb_forms(verb)}
    for relation, (verbs, *_) in words.RELATIONS.items()
}
# With verbs such as "hold" that are no actions, so that a noun before them ends its noun phrase.
_VERBS = frozenset(_ACTION).union(words.OTHER_VERBS.split(), *_RELATION_VERBS.values())
_ENDS = _FUNCTION_WORDS | _PUNCTUATION | _VERBS


@dataclass(frozen=True)
class Mention:
    """A noun phrase; `number` is None if unknown, `is_certain` False if it may not be real."""

    thing: str
    many: bool
    number: int | None
    definite: bool
    colours: frozenset[str]
    start: int
    end: int
    is_certain: bool

    @property
    def category(self) -> str:
        """The key of CATEGORIES that has this thing, such as "animal"."""
        return CATEGORY[self.thing]


class ParsedCaption:
    """The tokens, noun phrases, actions and relations of one caption."""

    def __init__(self, text: str) -> None:
        lowered = text.lower().replace("’", "'").replace("white water", "whitewater")
        self.tokens = [
            part
            for token in _TOKEN.findall(lowered)
            for part in ((token[:-2], "'s") if token.endswith("'s") and token != "'s" else (token,))
        ]
        self.mentions = list(self._find_mentions())
        self.actions = tuple(self._find_actions())
        self.relations = tuple(self._find_relations())

    @cached_property
    def words(self) -> frozenset[str]:
        """All words, and the parts of hyphenated words."""
        return frozenset(self.tokens) | {part for word in self.tokens for part in word.split("-")}

    @cached_property
    def possible_objects(self) -> frozenset[str]:
        """Everything that any sequence of words could name, even if it means something else."""
        parts = [part for token in self.tokens for part in token.split("-")]
        sequences = (
            tuple(parts[start : start + length])
            for start in range(len(parts))
            for length in range(1, _LONGEST_NAME + 1)
        )
        return frozenset(_NAMES[part][0] for part in sequences if part in _NAMES)

    def _find_mentions(self) -> Iterator[Mention]:
        position, last = 0, None
        while position < len(self.tokens):
            length = 0 if self._is_quantity(position) else self._match(position)
            follows_animate = (
                last is not None
                and last.end == position
                and last.category in ("person", "animal")
                and self.tokens[position] in _VERBS
            )
            if not length or follows_animate:
                position += 1
                continue
            last = self._mention(position, position + length)
            yield last
            position += length

    def _is_quantity(self, position: int) -> bool:
        """Whether the token is the "group" of "a group of cows", which does not mean people."""
        after = self.tokens[position + 1 : position + 2]
        return after == ["of"] and self.tokens[position] in words.QUANTITIES

    def _match(self, position: int) -> int:
        for length in range(min(_LONGEST_NAME, len(self.tokens) - position), 0, -1):
            if tuple(self.tokens[position : position + length]) in _NAMES:
                return length
        return 0

    def _mention(self, noun: int, end: int) -> Mention:
        thing, many = _NAMES[tuple(self.tokens[noun:end])]
        start = self._phrase_start(noun)
        before = self.tokens[start:noun]
        first = before[0] if before else ""
        number = _SINGULAR.get(first) or words.NUMBERS.get(first)
        definite = not many and number is None and first not in _UNCOUNTED
        if many and number == 1:
            number = None
        return Mention(
            thing=thing,
            many=many,
            number=1 if definite else number,
            definite=definite,
            colours=frozenset(_COLOUR[word] for word in before if word in _COLOUR),
            start=start,
            end=end,
            is_certain=self._ends_phrase(end)
            and _NOT_REAL.isdisjoint(before)
            and not self._is_likeness(start),
        )

    def _phrase_start(self, noun: int) -> int:
        """The position of the noun phrase's article or number, or of its first adjective."""
        start = noun
        while start > max(0, noun - _WORDS_BEFORE):
            word, before = self.tokens[start - 1], self.tokens[max(0, start - 2)]
            if word in _FIRST_WORDS:
                return start - 1
            joins = word in ("and", ",") and before in _COLOUR and self.tokens[start] in _COLOUR
            ends = word in _ENDS or word.endswith("ing")
            if ends and not joins:
                return start
            start -= 1
        return start

    def _ends_phrase(self, end: int) -> bool:
        """Whether the noun is complete here: "a dog runs", not "a dog house"."""
        if end == len(self.tokens):
            return True
        word = self.tokens[end]
        if self._match(end) and word not in _VERBS:
            return False
        return word in _ENDS or word.endswith(("ing", "ly", "ed"))

    def _is_likeness(self, start: int) -> bool:
        """Whether the words before it say that this is a picture or a costume of the thing."""
        before = self.tokens[max(0, start - 3) : start]
        if before[-1:] == ["of"]:
            return bool(set(before) & {*_NOT_REAL, "shape", "form"})
        return before[-1:] == ["like"] or before[-2:] in (["dressed", "as"], ["up", "as"])

    def _subject_of(self, position: int) -> Mention | None:
        """The person or animal that is the subject of the verb at this position, if any."""
        for mention in reversed(self.mentions):
            if mention.end <= position and mention.category in ("person", "animal"):
                between = self.tokens[mention.end : position]
                clear = not set(between) & {",", ".", ";", "as", "while", "'s", "to", "by"}
                return mention if mention.is_certain and clear else None
        return None

    def _find_actions(self) -> Iterator[tuple[Mention, str]]:
        """Subjects with what they do, such as (the dog, "running")."""
        for position, word in enumerate(self.tokens):
            if word in _ACTION and self._is_verb(position):
                subject = self._subject_of(position)
                if subject:
                    yield subject, _ACTION[word]

    def _find_relations(self) -> Iterator[tuple[Mention, str, Mention]]:
        """Subject, relation and object, such as (the man, "riding", the horse)."""
        for position, word in enumerate(self.tokens):
            for relation, (_, links, _) in words.RELATIONS.items():
                if word not in _RELATION_VERBS[relation] or not self._is_verb(position):
                    continue
                subject, thing = self._subject_of(position), self._object_after(position, links)
                if subject and thing:
                    yield subject, relation, thing

    def _object_after(self, position: int, links: Iterable[str]) -> Mention | None:
        for mention in self.mentions:
            if mention.start > position and mention.is_certain:
                between = " ".join(self.tokens[position + 1 : mention.start])
                return mention if between in links else None
        return None

    def _is_verb(self, position: int) -> bool:
        """Whether it is a verb here: not "a run", "to run", "swimming pool" or "swings a bat"."""
        word = self.tokens[position]
        before = self.tokens[position - 1] if position else ""
        after = self.tokens[position + 1] if position + 1 < len(self.tokens) else ""
        if before in _NO_VERB_AFTER or before in _COLOUR or after in _NO_VERB_BEFORE:
            return False
        if word in _NEED_NO_OBJECT and after in (*_FIRST_WORDS, *_COLOUR, "at", "kites"):
            return False
        follows_noun = any(mention.end == position for mention in self.mentions)
        if word.endswith("ing"):  # not the "running" of "with running shoes"
            follows = follows_noun or before in ("is", "are", "and")
            return follows or not self._match(position + 1)
        return follows_noun or before in ("that", "who", "and") or before.endswith("ly")
