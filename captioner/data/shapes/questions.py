"""Questions about scenes of shapes, balanced so that nothing can be guessed without looking.

Every question, word for word, has each of its possible answers equally often.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from captioner.data.shapes.scenes import COLOURS, NOUNS, PLURALS, Scene

_NUMBERS = ("1", "2", "3")


@dataclass(frozen=True)
class Form:
    """A question with all its possible answers, and how VQA v2 files it."""

    text: str
    question_type: str
    answer_type: str
    answers: tuple[str, ...]


def balanced_questions(scenes: Mapping[int, Scene], random: Random) -> list[tuple[int, Form, str]]:
    """(image id, question, answer) by image id; questions that cannot be balanced are left out."""
    asked: dict[Form, dict[str, list[int]]] = {}
    for image_id, scene in scenes.items():
        for form, answer in _questions(scene):
            images = asked.setdefault(form, {answer: [] for answer in form.answers})
            images[answer].append(image_id)
    chosen = []
    for form, images in asked.items():
        number = min(len(ids) for ids in images.values())
        for answer, ids in images.items():
            chosen += [(image_id, form, answer) for image_id in random.sample(ids, number)]
    return sorted(chosen, key=lambda question: question[0])


def _questions(scene: Scene) -> list[tuple[Form, str]]:
    return _yes_no(scene) + _numbers(scene) + _colours(scene) + _nouns(scene)


def _yes_no(scene: Scene) -> list[tuple[Form, str]]:
    """Also of things that are not there, but share their colour or shape with one that is."""
    kinds = {(shape.colour, shape.noun) for shape in scene.shapes}
    colours = {colour for colour, _ in kinds}
    nouns = {noun for _, noun in kinds}
    questions = []
    for colour in COLOURS:
        for noun in NOUNS:
            if colour in colours or noun in nouns:
                form = Form(f"Is there a {colour} {noun}?", "is there a", "yes/no", ("yes", "no"))
                questions.append((form, "yes" if (colour, noun) in kinds else "no"))
    return questions


def _numbers(scene: Scene) -> list[tuple[Form, str]]:
    counts = {noun: sum(shape.noun == noun for shape in scene.shapes) for noun in NOUNS}
    return [
        (Form(f"How many {PLURALS[noun]} are there?", "how many", "number", _NUMBERS), str(count))
        for noun, count in counts.items()
        if count
    ]


def _colours(scene: Scene) -> list[tuple[Form, str]]:
    """Of every noun whose shapes all have one colour."""
    questions = []
    for noun in NOUNS:
        colours = [shape.colour for shape in scene.shapes if shape.noun == noun]
        if len(set(colours)) == 1:
            one = len(colours) == 1
            text = f"What color is the {noun}?" if one else f"What color are the {PLURALS[noun]}?"
            question_type = "what color is the" if one else "what color are the"
            form = Form(text, question_type, "other", tuple(COLOURS))
            questions.append((form, colours[0]))
    return questions


def _nouns(scene: Scene) -> list[tuple[Form, str]]:
    """Of every colour that only one noun has."""
    questions = []
    for colour in COLOURS:
        nouns = {shape.noun for shape in scene.shapes if shape.colour == colour}
        if len(nouns) == 1:
            form = Form(f"What shape is {colour}?", "what shape is", "other", NOUNS)
            questions.append((form, nouns.pop()))
    return questions
