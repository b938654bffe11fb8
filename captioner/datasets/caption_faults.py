"""What a caption says that no other caption of its picture names, or that they rule out."""

from collections import Counter
from collections.abc import Iterator

from captioner.datasets.absence_words import ASKED_THINGS
from captioner.datasets.caption_facts import PictureFacts, ancestors
from captioner.datasets.caption_phrases import CATEGORY, Caption
from captioner.datasets.noun_words import KINDS_OF_PEOPLE
from captioner.datasets.scene_words import APART, VAGUE_PLACES

# Actions that one still picture may show for one another.
_ALIKE = ({"standing", "walking"}, {"running", "jumping"})

# Whom one person calls so and another so.
_TAKEN_FOR = {
    "man": {"boy"},
    "woman": {"girl"},
    "boy": {"man", "child", "baby"},
    "girl": {"woman", "child", "baby"},
    "child": {"baby"},
    "baby": {"child", "boy", "girl"},
}

# What may be there whether anyone says so or not, as clothes are.
_BACKGROUND = frozenset(("tree", "wall", "fence", "sign", "hair", "camera"))

# Words that make a thing likely that they do not name.
_OPEN_WORDS = {
    **{thing: frozenset(words.split()) for thing, (_, words) in ASKED_THINGS.items()},
    "skis": frozenset(("skier", "skiers", "skiing", "slope")),
    "bat": frozenset(("baseball", "batter", "hitter", "cricket", "softball")),
    "racket": frozenset(("tennis", "badminton")),
    "wave": frozenset(("surfer", "surfers", "surfing", "surfboard", "surf", "ocean", "sea")),
    "rock": frozenset(("cliff", "mountain", "climber", "climbing", "stone", "stones")),
    "table": frozenset(("desk", "counter", "dinner", "meal", "restaurant", "plate")),
    "truck": frozenset(("van", *ASKED_THINGS["truck"][1].split())),
    "sink": frozenset(("kitchen", "bathroom", "restroom")),
}


def find_faults(caption: Caption, facts: PictureFacts) -> list[tuple[str, str]]:
    """The faults of a caption of the picture that these facts are of, each (kind, what).

    Kinds are "thing", "person" and "place", for what no caption of the picture names (object
    hallucination, Rohrbach et al. 2018), "action" for one that rules out those they agree on, and
    "number" for one person in place of several or several in place of one. What they leave open is
    no fault: clothes and background, a place or the sex of somebody where none is told, and what
    their other words make likely.
    """
    if not facts.captions:
        return []
    return [*_invented(caption, facts), *_ruled_out(caption, facts), *_miscounted(caption, facts)]


def _invented(caption: Caption, facts: PictureFacts) -> Iterator[tuple[str, str]]:
    named = facts.named.union(*(ancestors(thing) for thing in facts.named))
    for thing in sorted({mention.thing for mention in caption.mentions if mention.sure} - named):
        category = CATEGORY[thing]
        if category == "person":
            kind, wrong = "person", _is_somebody_else(thing, facts, named)
        elif category == "place":
            kind, wrong = "place", _is_elsewhere(thing, named)
        else:
            goes_unsaid = category == "garment" or thing in _BACKGROUND
            likely = _OPEN_WORDS.get(thing, frozenset()) & (facts.words | facts.named)
            kind, wrong = "thing", not (goes_unsaid or likely)
        if wrong:
            yield kind, thing


def _is_somebody_else(person: str, facts: PictureFacts, named: frozenset[str]) -> bool:
    """Whether the captions agree on people of another sex or age, or tell of nobody."""
    if "person" not in named:
        return _OPEN_WORDS["person"].isdisjoint(facts.words)
    alike = _TAKEN_FOR.get(person, set())
    agreed = {kind for kind in KINDS_OF_PEOPLE if facts.sure.get(kind, 0) >= facts.support}
    return named.isdisjoint(alike) and not agreed <= alike


def _is_elsewhere(place: str, named: frozenset[str]) -> bool:
    """Whether the captions name places, and none that is another word for this one."""
    places = {other for other in named if CATEGORY[other] == "place"}
    alike = VAGUE_PLACES.get(place, set())
    alike = alike | {vague for vague, closer in VAGUE_PLACES.items() if place in closer}
    return bool(places) and places.isdisjoint(alike)


def _ruled_out(caption: Caption, facts: PictureFacts) -> Iterator[tuple[str, str]]:
    told = Counter(
        deed
        for other in facts.captions
        for deed in {(subject.category, action) for subject, action in other.actions}
    )
    agreed = {deed for deed, times in told.items() if times >= facts.support}
    for category, action in sorted({(who.category, action) for who, action in caption.actions}):
        theirs = {other for of, other in agreed if of == category}
        apart = set().union(*(group for group in APART if action in group))
        apart -= set().union(*(pair for pair in _ALIKE if action in pair))
        if action not in facts.deeds and theirs & apart:
            yield "action", action


def _miscounted(caption: Caption, facts: PictureFacts) -> Iterator[tuple[str, str]]:
    said = _people(caption)
    told = [number for number in map(_people, facts.captions) if number]
    if told and said == 1 < min(told):
        yield "number", "one person"
    if told and said > 1 == max(told):
        yield "number", "several people"


def _people(caption: Caption) -> int:
    """How many people a caption tells of, at least; 0 where it tells of none."""
    people = [m for m in caption.mentions if m.category == "person" and m.sure]
    new = [m for m in people if not m.definite]
    known = {m.thing for m in new}
    again = {m.thing for m in people if m.definite} - known
    return sum(m.number or (2 if m.many else 1) for m in new) + len(again)
