"""Scenes of one to three coloured shapes with sentences about them, the stuff of the made set.

A scene is drawn from one of five layouts, and each layout says the same thing in five ways. Order,
size words and relations follow from the picture alone, so that a model that sees it right writes
one of its five sentences word for word.
"""

from dataclasses import dataclass
from random import Random

COLOURS = {
    "red": (214, 34, 34),
    "green": (36, 150, 52),
    "blue": (34, 70, 214),
    "yellow": (242, 196, 0),
    "purple": (138, 42, 168),
    "black": (20, 20, 20),
}
PLURALS = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "star": "stars",
    "cross": "crosses",
}
NOUNS = tuple(PLURALS)

UNITS = 224  # a scene's lengths are in 224ths of the picture's side
_MARGIN = 4
_KINDS = tuple((colour, noun) for colour in COLOURS for noun in NOUNS)


@dataclass(frozen=True)
class Shape:
    """One coloured shape in the square of that side whose top left corner is (left, top)."""

    colour: str
    noun: str
    left: int
    top: int
    side: int

    def __str__(self) -> str:
        return f"{self.colour} {self.noun}"


@dataclass(frozen=True)
class Scene:
    """Shapes that do not touch, on a grey background (0..255), and five sentences about them."""

    shapes: tuple[Shape, ...]
    background: int
    captions: tuple[str, ...]


def draw_scene(random: Random) -> Scene:
    """A scene at random, every layout equally often."""
    layout = random.choice((_one, _group, _beside, _stacked, _row))
    shapes, captions = layout(random)
    return Scene(tuple(shapes), random.randrange(224, 256), tuple(captions))


def _one(random: Random) -> tuple[list[Shape], list[str]]:
    size, sides = random.choice((("small", range(52, 65)), ("large", range(110, 131))))
    side = random.choice(sides)
    left, top = _within(random, UNITS - side), _within(random, UNITS - side)
    shape = Shape(*random.choice(_KINDS), left, top, side)
    return [shape], [
        f"A {size} {shape}.",
        f"There is a {size} {shape}.",
        f"The picture shows a {size} {shape}.",
        f"A {shape} that is {size}.",
        f"One {size} {shape}.",
    ]


def _group(random: Random) -> tuple[list[Shape], list[str]]:
    number = random.choice((2, 3))
    colour, noun = random.choice(_KINDS)
    side = random.randrange(54, 65)
    cell = UNITS // 3
    shapes = []
    for index in random.sample(range(9), number):
        row, column = divmod(index, 3)
        left = column * cell + _within(random, cell - side)
        top = row * cell + _within(random, cell - side)
        shapes.append(Shape(colour, noun, left, top, side))
    word = {2: "two", 3: "three"}[number]
    plural = PLURALS[noun]
    return shapes, [
        f"{word.capitalize()} {colour} {plural}.",
        f"There are {word} {colour} {plural}.",
        f"The picture shows {word} {colour} {plural}.",
        f"A group of {word} {colour} {plural}.",
        f"{word.capitalize()} {plural} that are {colour}.",
    ]


def _beside(random: Random) -> tuple[list[Shape], list[str]]:
    left, right = (
        Shape(*kind, along, across, side)
        for kind, (along, across, side) in _spread(random, number=2)
    )
    return [left, right], [
        f"A {left} to the left of a {right}.",
        f"A {left} is on the left of a {right}.",
        f"There is a {left} to the left of a {right}.",
        f"A {right} to the right of a {left}.",
        f"The picture shows a {left} on the left and a {right} on the right.",
    ]


def _stacked(random: Random) -> tuple[list[Shape], list[str]]:
    upper, lower = (
        Shape(*kind, across, along, side)
        for kind, (along, across, side) in _spread(random, number=2)
    )
    return [upper, lower], [
        f"A {upper} above a {lower}.",
        f"A {upper} is above a {lower}.",
        f"There is a {upper} above a {lower}.",
        f"A {lower} below a {upper}.",
        f"The picture shows a {upper} at the top and a {lower} at the bottom.",
    ]


def _row(random: Random) -> tuple[list[Shape], list[str]]:
    left, middle, right = (
        Shape(*kind, along, across, side)
        for kind, (along, across, side) in _spread(random, number=3)
    )
    return [left, middle, right], [
        f"A {left}, a {middle} and a {right}.",
        f"There is a {left}, a {middle} and a {right}.",
        f"The picture shows a {left}, a {middle} and a {right}.",
        f"From left to right a {left}, a {middle} and a {right}.",
        f"A {middle} between a {left} and a {right}.",
    ]


def _spread(random: Random, *, number: int) -> list[tuple[tuple[str, str], tuple[int, int, int]]]:
    """Different kinds in a line, each with its (along, across, side); well apart along the line."""
    cell = UNITS // number
    centre = random.randrange(88, 137)
    positions = []
    for position in range(number):
        side = random.randrange(cell * 3 // 4, cell * 7 // 8)
        along = position * cell + _within(random, cell - side)
        across = centre + random.randrange(-24, 25) - side // 2
        positions.append((along, min(max(across, _MARGIN), UNITS - side - _MARGIN), side))
    return list(zip(random.sample(_KINDS, number), positions, strict=True))


def _within(random: Random, room: int) -> int:
    return random.randrange(_MARGIN, room - _MARGIN + 1)
