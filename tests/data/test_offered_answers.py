"""Which answers a question offers."""

import pytest

from captioner.data.offered_answers import offered_answers

KNOWN = {"dog", "cat", "red", "green", "blue", "night stand", "yes", "no", "2", "raining", "it"}


@pytest.mark.parametrize(
    ("question", "offered"),
    [
        ("Is it a dog or a cat?", ("dog", "cat")),
        ("is the thing a cat or the dog", ("cat", "dog")),
        ("is this a night stand or a dog?", ("night stand", "dog")),
        ("Is it red, green, or blue?", ("red", "green", "blue")),
        ("what color is it, red or blue?", ("red", "blue")),
        ("is it raining, yes or no?", ("yes", "no")),
        ("are they two or no?", ("2", "no")),
    ],
)
def test_offered(question: str, offered: tuple[str, ...]) -> None:
    assert offered_answers(question, KNOWN) == offered


@pytest.mark.parametrize(
    "question",
    [
        "is it a dog?",
        "is there a dog or a cat?",  # yes or no
        "are there dogs or a cat?",
        "is it a dog or a cat sleeping?",  # what it ends with is no answer
        "is it a dog or a unicorn?",  # nor is this one known
        "is it a unicorn or a dog?",
        "how many are red or blue?",
        "what is red or blue",
        "is it a dog or a dog?",
        "or",
        "is it or",
        " or a cat",
        "",
    ],
)
def test_nothing_offered(question: str) -> None:
    assert offered_answers(question, KNOWN) == ()
