"""The English phrasings of every question."""

from dataclasses import dataclass

from captioner.questions import words

# Nouns without "a", and nouns that are plural though they mean one thing.
_MASS_NOUNS = ("snow", "grass", "water")
PAIRS = frozenset(
    ("shorts", "pants", "glasses", "sunglasses", "goggles", "gloves", "shoes", "skis")
)


@dataclass(frozen=True)
class Question:
    """One question in all its phrasings; `kind` is objects, number, colour or yes/no."""

    kind: str
    phrasings: tuple[str, ...]

    @property
    def answer_type(self) -> str:
        """The answer type of VQA v2: yes/no, number or other."""
        return self.kind if self.kind in ("yes/no", "number") else "other"


def _question(kind: str, *phrasings: str) -> Question:
    return Question(kind, phrasings)


def what_kind(category: str) -> Question:
    """Ask which animal, vehicle or food it is."""
    return _question(
        "objects",
        f"what {category} is this?",
        f"what {category} is in the picture?",
        f"what kind of {category} is this?",
        f"which {category} can you see?",
    )


def what_sport() -> Question:
    """Ask which sport is played."""
    return _question(
        "objects",
        "what sport is this?",
        "what sport is shown?",
        "which sport is this?",
        "what sport is in the picture?",
    )


def is_sport(sport: str) -> Question:
    """Ask whether it is a certain sport."""
    return _question(
        "yes/no", f"is this {sport}?", f"is the sport {sport}?", f"is this a picture of {sport}?"
    )


def where() -> Question:
    """Ask where the picture was taken."""
    return _question(
        "objects",
        "where is this?",
        "where was this picture taken?",
        "what place is this?",
        "where was this photo taken?",
    )


def where_is(noun: str, verb: str) -> Question:
    """Ask where a person or an animal is."""
    return _question(
        "objects", f"where {verb} the {noun}?", f"where {verb} the {noun} in the picture?"
    )


def is_place(place: str) -> Question:
    """Ask whether it is a certain place."""
    there = words.AT_PLACES[place]
    return _question(
        "yes/no",
        f"was this picture taken {there}?",
        f"is this {there}?",
        f"was this photo taken {there}?",
    )


def who() -> Question:
    """Ask who the only person in the picture is."""
    return _question(
        "objects",
        "who is in the picture?",
        "who is this?",
        "who can you see in the picture?",
        "who is shown in the picture?",
    )


def who_does(action: str) -> Question:
    """Ask who does a certain action."""
    return _question("objects", f"who is {action}?", f"who is {action} in the picture?")


def how_many(nouns: str) -> Question:
    """Ask how many of a plural noun there are."""
    return _question(
        "number",
        f"how many {nouns} are there?",
        f"how many {nouns} are in the picture?",
        f"how many {nouns} can you see?",
        f"how many {nouns} do you see?",
    )


def are_there(number: str, nouns: str) -> Question:
    """Ask whether there are so many, the number given as a word."""
    return _question(
        "yes/no",
        f"are there {number} {nouns}?",
        f"are there {number} {nouns} in the picture?",
    )


def what_colour(thing: str) -> Question:
    """Ask the colour of a thing."""
    verb = "are" if thing in PAIRS else "is"
    return _question(
        "colour",
        f"what color {verb} the {thing}?",
        f"what is the color of the {thing}?",
        f"what colour {verb} the {thing}?",
    )


def what_colour_worn(garment: str, owner: str) -> Question:
    """Ask the colour of a garment, named with its wearer."""
    verb = "are" if garment in PAIRS else "is"
    return _question(
        "colour",
        f"what color {verb} the {owner}'s {garment}?",
        f"what is the color of the {owner}'s {garment}?",
        f"what color {garment} is the {owner} wearing?",
    )


def is_colour(thing: str, colour: str, owner: str = "") -> Question:
    """Ask whether a thing, with its owner if given, has a certain colour."""
    verb = "are" if thing in PAIRS else "is"
    whose = f"{owner}'s " if owner else ""
    return _question("yes/no", f"{verb} the {whose}{thing} {colour}?")


def what_doing(noun: str, verb: str) -> Question:
    """Ask what a person or an animal is doing."""
    return _question(
        "objects", f"what {verb} the {noun} doing?", f"what {verb} the {noun} doing in the picture?"
    )


def is_doing(noun: str, verb: str, action: str) -> Question:
    """Ask whether a person or an animal does a certain action."""
    return _question("yes/no", f"{verb} the {noun} {action}?")


def what_thing(noun: str, verb: str, relation: str) -> Question:
    """Ask what a person or an animal holds, rides, wears and so on."""
    return _question("objects", f"what {verb} the {noun} {relation}?")


def is_there(phrase: str, nouns: str) -> Question:
    """Ask whether a thing, given with its article and in the plural, is in the picture."""
    if phrase in _MASS_NOUNS:
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
