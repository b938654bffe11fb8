"""Choose the questions that the captions of one picture answer.

A rule turns what the captions agree on into (question, answer) pairs. Facts that captions
contradict, or that only one of many mentions, give no question.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from captioner.questions import templates, words
from captioner.questions.caption_parser import CATEGORIES, CATEGORY, plural
from captioner.questions.picture_facts import PictureFacts, ancestors
from captioner.questions.templates import Question

# With fewer captions, a thing that none of them names may still be in the picture.
CAPTIONS_FOR_ABSENCE = 4

_PLAYED_BY_PEOPLE = frozenset(
    ("soccer", "football", "basketball", "baseball", "tennis", "hockey", "volleyball", "rugby")
    + ("golf", "cricket", "frisbee")
)
_OVERLAPPING_SPORTS = {"frisbee", "cycling", "horse racing"}
_SPORTS_WEAR = re.compile(r"(baseball|basketball|football|soccer|tennis) (cap|hat|shoe|shirt)s?")
_ONE_PERSON = ("man", "woman", "boy", "girl", "baby", "child")
_SUBJECTS = (*_ONE_PERSON, "person", *words.ANIMALS)
_COUNTED_ANIMALS = ("dog", "horse", "bird", "cow", "sheep", "elephant", "giraffe", "zebra", "bear")
_COUNTED = (*_COUNTED_ANIMALS, "cat", "man", "woman", "boy", "girl", "child")
_LARGEST_COUNT = 6
_COLOURED = frozenset(("animal", "vehicle", "garment", "object"))
_NO_COLOUR = frozenset(
    ("wave", "fountain", "hair", "wall", "rock", "tree", "fence", "toy model", "tunnel", "clock")
    + ("toilet", "sink", "house", "newspaper", "instrument", "drink", "scissors")
)
_TWO_COLOURS = ({"black", "white"}, {"brown", "white"}, {"black", "brown"})
_WORN = frozenset(words.GARMENTS) - {"collar", "gloves", "shoes"}
_RIDDEN = ("horse", "bicycle", "motorcycle", "skateboard", "wave", "scooter")

QuestionAnswer = tuple[Question, str]


def questions_of(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """All questions about a picture with their answers, each question once."""
    asked = set()
    for rule in (_kinds, _sports, _places, _people, _counts, _colours, _actions, _presence):
        for question, answer in rule(facts):
            if question not in asked:
                asked.add(question)
                yield question, answer


def _kinds(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """Ask which animal, vehicle or food it is, if the captions name only one kind."""
    for category in ("animal", "vehicle", "food"):
        things = set(CATEGORIES[category]) - set(words.NO_VEHICLES.split())
        possible = facts.possible_objects & things
        if len(possible) == 1:
            (thing,) = possible
            if facts.confident_counts.get(thing, 0) >= facts.support:
                yield templates.what_kind(category), thing


def _sports(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    counts: Counter[str] = Counter()
    for caption in facts.captions:
        text = _SPORTS_WEAR.sub("", f" {' '.join(caption.tokens)} ")
        counts.update(
            sport
            for sport, listed in words.SPORTS.items()
            if any(f" {word} " in text for word in listed.split(","))
        )
    sport = _agreed(counts, facts.support)
    if not sport or len(counts) > 1 or (sport == "frisbee" and "dog" in facts.possible_objects):
        return
    if sport in _PLAYED_BY_PEOPLE and not facts.possible_objects & set(words.PEOPLE):
        return
    yield templates.what_sport(), sport
    for other in sorted(words.SPORTS):
        if other == sport or not {other, sport} & _OVERLAPPING_SPORTS:
            yield templates.is_sport(other), _yes(other == sport)


def _places(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    counts = Counter(
        {place: n for place, n in facts.confident_counts.items() if place in words.PLACES}
    )
    narrower = words.VAGUE_PLACES
    for vague, places in narrower.items():
        if any(counts[place] for place in places):
            counts.pop(vague, None)
    place = _agreed(counts, facts.support)
    if not place or len(+counts) > 1:
        return
    yield templates.where(), place
    for subject in _subjects(facts):
        yield templates.where_is(subject.noun, subject.verb), place
    for other in words.AT_PLACES:
        similar = other in narrower.get(place, ()) or place in narrower.get(other, ())
        if other == place or not (similar or other in facts.possible_objects):
            yield templates.is_place(other), _yes(other == place)


def _people(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    person = facts.only_person
    if person in _ONE_PERSON:
        yield templates.who(), person
        action = _agreed(_count_actions(facts, {person, *ancestors(person)}), facts.support)
        if action and action != "riding":
            yield templates.who_does(action), person


def _counts(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """Ask how many there are, if the captions that give a number agree; "a dog" is one."""
    counted = {plural(thing): _count(facts, {thing}) for thing in _COUNTED}
    counted["people"] = _count(facts, words.PEOPLE)
    for nouns, number in counted.items():
        if number:
            yield templates.how_many(nouns), str(number)
            for word in ("two", "three", "four"):
                right = words.NUMBERS[word] == number
                yield templates.are_there(word, nouns), _yes(right)


def _count(facts: PictureFacts, things: Collection[str]) -> int:
    """The number that more than half of the captions give, or 0 if another contradicts it."""
    counts, at_least = [], 0
    for caption in facts.captions:
        mentions = [mention for mention in caption.mentions if mention.thing in things]
        hidden = not mentions and not caption.possible_objects.isdisjoint(things)
        if hidden or any(not mention.is_certain for mention in mentions):
            return 0
        number, known = 0, True
        for mention in mentions:
            if mention.number is None:
                number, known = number + 1 + mention.many, False
            elif not (mention.definite and number):
                number += mention.number
        at_least = max(at_least, number)
        if number and known:
            counts.append(number)
    enough = 2 * len(counts) > len(facts.captions)
    agreed = len(set(counts)) == 1 and at_least <= counts[0] <= _LARGEST_COUNT
    return counts[0] if enough and agreed else 0


def _colours(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """Ask the colour of a thing that occurs once and has one colour, or always the same two."""
    for thing in sorted(facts.confident_counts):
        colours = {mention.colours for mention in facts.mentions(thing) if mention.colours}
        if CATEGORY[thing] not in _COLOURED or thing in _NO_COLOUR or len(colours) != 1:
            continue
        (found,) = colours
        two = found in _TWO_COLOURS and CATEGORY[thing] == "animal"
        if (len(found) > 1 and not two) or not _is_alone(facts, thing):
            continue
        colour = " and ".join(sorted(found))
        if CATEGORY[thing] == "garment" and thing != "collar":
            yield from _worn_colours(facts, thing, colour)
        else:
            yield templates.what_colour(thing), colour
            yield from _is_colour(thing, colour)


def _worn_colours(facts: PictureFacts, garment: str, colour: str) -> Iterator[QuestionAnswer]:
    """Ask the colour of a garment by its wearer: the only person, or the only one of a kind."""
    owners = {
        subject.thing
        for caption in facts.captions
        for subject, relation, worn in caption.relations
        if relation == "wearing" and worn.thing == garment
    }
    owner = facts.only_person
    if owner is None and len(owners) == 1:
        (owner,) = (name if facts.is_single(name) else None for name in owners)
    if owner:
        yield templates.what_colour_worn(garment, owner), colour
        yield from _is_colour(garment, colour, owner)
    if facts.only_person:
        yield templates.what_colour(garment), colour
        yield from _is_colour(garment, colour)


def _is_colour(thing: str, colour: str, owner: str = "") -> Iterator[QuestionAnswer]:
    """Ask whether it has each colour, except for colours that people confuse with its own."""
    for other in words.COLOURS:
        similar = any(
            {other, part} <= group for group in words.LIKE_COLOURS for part in colour.split(" and ")
        )
        if other == colour or not (similar or other in colour):
            yield templates.is_colour(thing, other, owner), _yes(other == colour)


def _is_alone(facts: PictureFacts, thing: str) -> bool:
    """Whether no caption names two of it; for shorts and the like, whether there is one person."""
    for caption in facts.captions:
        mentions = [mention for mention in caption.mentions if mention.thing == thing]
        if thing in templates.PAIRS:
            if len(mentions) > 1 or facts.only_person is None:
                return False
        elif any(mention.number != 1 for mention in mentions) or (
            sum(not mention.definite for mention in mentions) > 1
        ):
            return False
    return True


@dataclass(frozen=True)
class _Subject:
    """A person or animal to ask about: its names, and its noun with "is" or "are"."""

    names: frozenset[str]
    noun: str
    verb: str


def _subjects(facts: PictureFacts) -> Iterator[_Subject]:
    person = facts.only_person
    if person:
        yield _Subject(frozenset((person, *ancestors(person))), person, "is")
    for thing in _SUBJECTS:
        if thing not in facts.confident_counts or (person and thing in words.PEOPLE):
            continue
        if facts.is_single(thing):
            yield _Subject(frozenset((thing,)), thing, "is")
        elif facts.confident_counts[thing] >= facts.support and all(
            mention.number != 1 for mention in facts.mentions(thing)
        ):
            yield _Subject(frozenset((thing,)), plural(thing), "are")


def _count_actions(facts: PictureFacts, names: Collection[str]) -> Counter[str]:
    """The number of captions that say each action of the subject with these names."""
    counts: Counter[str] = Counter()
    for caption in facts.captions:
        counts.update({action for subject, action in caption.actions if subject.thing in names})
    return counts


def _actions(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """Ask what a person or an animal does, and with what."""
    for subject in _subjects(facts):
        counts = _count_actions(facts, subject.names)
        action = _agreed(counts, facts.support)
        if action and action != "riding":
            yield templates.what_doing(subject.noun, subject.verb), action
        for other in words.ACTIONS if action else ():
            exclusive = any({other, action} <= group for group in words.EXCLUSIVE)
            if other == action or (exclusive and not counts[other]):
                question = templates.is_doing(subject.noun, subject.verb, other)
                yield question, _yes(other == action)
        for relation in words.RELATIONS:
            yield from _relation(facts, subject, relation)


def _relation(facts: PictureFacts, subject: _Subject, relation: str) -> Iterator[QuestionAnswer]:
    counts: Counter[str] = Counter()
    categories = words.RELATIONS[relation][2].split()
    for caption in facts.captions:
        counts.update(
            {
                thing.thing
                for actor, verb, thing in caption.relations
                if verb == relation
                and actor.thing in subject.names
                and CATEGORY[thing.thing] in categories
            }
        )
    thing = _agreed(counts, facts.support)
    if not thing or len(counts) > 1 or thing == "toy model":
        return
    if relation == "wearing" and facts.possible_objects & _WORN != {thing}:
        return
    yield templates.what_thing(subject.noun, subject.verb, relation), thing
    for other in _RIDDEN if relation == "riding" else ():
        if other == thing or other not in facts.possible_objects:
            question = templates.is_doing(subject.noun, subject.verb, f"riding a {other}")
            yield question, _yes(other == thing)


def _presence(facts: PictureFacts) -> Iterator[QuestionAnswer]:
    """Ask whether a thing is there; "no" only if none of many captions could mean one."""
    for thing, (phrase, open_words) in words.ASKED_THINGS.items():
        kinds = {kind for kind in words.PEOPLE if thing in ancestors(kind)}
        things = set(CATEGORIES.get(thing, ())) | kinds | {thing}
        question = templates.is_there(phrase, plural(thing))
        if any(facts.confident_counts.get(name, 0) >= facts.support for name in things):
            yield question, "yes"
        elif (
            len(facts.captions) >= CAPTIONS_FOR_ABSENCE
            and facts.possible_objects.isdisjoint(things | ancestors(thing))
            and (facts.words | facts.possible_objects).isdisjoint(open_words.split())
        ):
            yield question, "no"


def _agreed(counts: Counter[str], support: int) -> str | None:
    """The answer that enough captions give, and twice as many as give any other."""
    ranked = counts.most_common(2)
    if not ranked or ranked[0][1] < support:
        return None
    if len(ranked) > 1 and ranked[0][1] < 2 * ranked[1][1]:
        return None
    return ranked[0][0]


def _yes(true: bool) -> str:
    return "yes" if true else "no"
