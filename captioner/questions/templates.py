"""How each question is put in English, in one or several phrasings."""

from dataclasses import dataclass

from captioner.questions import words

# Things that "is there ...?" asks without "a", and things that come in pairs.
_MASSES = ("snow", "grass", "water")
PAIRS = frozenset(
    ("shorts", "pants", "glasses", "sunglasses", "goggles", "gloves", "shoes", "skis")
)


@dataclass(frozen=True)
class Question:
    """One question however it is phrased; `kind` is objects, number, colour or yes/no."""

    kind: str
    phrasings: tuple[str, ...]

    @property
    def answer_type(self) -> str:
        """How VQA v2 files it: yes/no, number or other."""
        return self.kind if self.kind in ("yes/no", "number") else "other"


def _question(kind: str, *phrasings: str) -> Question:
    return Question(kind, phrasings)


def what_kind(category: str) -> Question:
    """Of an animal, a vehicle or food."""
    return _question(
        "objects",
        f"what {category} is this?",
        f"what {category} is in the picture?",
        f"what kind of {category} is this?",
        f"which {category} can you see?",
    )


def what_sport() -> Question:
    """Of the sport that is played."""
    return _question(
        "objects",
        "what sport is this?",
        "what sport is shown?",
        "which sport is this?",
        "what sport is in the picture?",
    )


def is_sport(sport: str) -> Question:
    """Whether it is a certain sport."""
    return _question(
        "yes/no", f"is this {sport}?", f"is the sport {sport}?", f"is this a picture of {sport}?"
    )


def where() -> Question:
    """Of the whole picture."""
    return _question(
        "objects",
        "where is this?",
        "where was this picture taken?",
        "what place is this?",
        "where was this photo taken?",
    )


def where_is(noun: str, verb: str) -> Question:
    """Of somebody or an animal."""
    return _question(
        "objects", f"where {verb} the {noun}?", f"where {verb} the {noun} in the picture?"
    )


def is_place(place: str) -> Question:
    """Whether it is a certain place."""
    there = words.AT_PLACES[place]
    return _question(
        "yes/no",
        f"was this picture taken {there}?",
        f"is this {there}?",
        f"was this photo taken {there}?",
    )


def who() -> Question:
    """Of the only person in the picture."""
    return _question(
        "objects",
        "who is in the picture?",
        "who is this?",
        "who can you see in the picture?",
        "who is shown in the picture?",
    )


def who_does(action: str) -> Question:
    """Of the only person, by what they do."""
    return _question("objects", f"who is {action}?", f"who is {action} in the picture?")


def how_many(nouns: str) -> Question:
    """Of a plural noun."""
    return _question(
        "number",
        f"how many {nouns} are there?",
        f"how many {nouns} are in the picture?",
        f"how many {nouns} can you see?",
        f"how many {nouns} do you see?",
    )


def are_there(number: str, nouns: str) -> Question:
    """Whether there is a certain number, given as a word."""
    return _question(
        "yes/no",
        f"are there {number} {nouns}?",
        f"are there {number} {nouns} in the picture?",
    )


def what_colour(thing: str) -> Question:
    """Of a thing."""
    verb = "are" if thing in PAIRS else "is"
    return _question(
        "colour",
        f"what color {verb} the {thing}?",
        f"what is the color of the {thing}?",
        f"what colour {verb} the {thing}?",
    )


def what_colour_worn(garment: str, owner: str) -> Question:
    """Of a garment, by who wears it."""
    verb = "are" if garment in PAIRS else "is"
    return _question(
        "colour",
        f"what color {verb} the {owner}'s {garment}?",
        f"what is the color of the {owner}'s {garment}?",
        f"what color {garment} is the {owner} wearing?",
    )


def is_colour(thing: str, colour: str, owner: str = "") -> Question:
    """Whether a thing, perhaps somebody's, has a certain colour."""
    verb = "are" if thing in PAIRS else "is"
    whose = f"{owner}'s " if owner else ""
    return _question("yes/no", f"{verb} the {whose}{thing} {colour}?")


def what_doing(noun: str, verb: str) -> Question:
    """Of somebody or an animal."""
    return _question(
        "objects", f"what {verb} the {noun} doing?", f"what {verb} the {noun} doing in the picture?"
    )


def is_doing(noun: str, verb: str, action: str) -> Question:
    """Whether somebody or an animal does a certain thing."""
    return _question("yes/no", f"{verb} the {noun} {action}?")


def what_thing(noun: str, verb: str, relation: str) -> Question:
    """What somebody holds, rides, wears and so on."""
    return _question("objects", f"what {verb} the {noun} {relation}?")


def is_there(phrase: str, nouns: str) -> Question:
    """Whether a thing, given with its article and in the plural, is in the picture."""
    if phrase in _MASSES:
        return _question(
            "yes/no",
            f"is there {phrase}?",
            f"is there {phrase} in the picture?",
            f"can you see any {phrase}?",
            f"is there any {phrase} in the picture?",
        )
    return _question(
        "yes/no",
        f"is there {phrase}?",
        f"is there {phrase} in the picture?",
        f"can you see {phrase}?",
        f"do you see {phrase}?",
        f"are there any {nouns}?",
    )
