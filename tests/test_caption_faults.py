"""What counts as a fault of a caption beside the others of its picture, and what does not."""

import pytest

from captioner.datasets.caption_facts import PictureFacts
from captioner.datasets.caption_faults import find_faults
from captioner.datasets.caption_phrases import Caption


def faults(text: str, *others: str) -> list[str]:
    return [what for _, what in find_faults(Caption(text), PictureFacts(others))]


def test_a_thing_that_nobody_names_is_invented() -> None:
    others = ("a man sits on a bench", "a man with a newspaper")
    assert faults("a man holds a guitar on a bench", *others) == ["guitar"]
    assert faults("a man holds a newspaper on a bench", *others) == []
    assert faults("a cat on a bench and a dog", *others) == ["cat", "dog"]


def test_every_fault_is_told_with_its_kind() -> None:
    others = PictureFacts(["a man sleeps on a beach"])
    found = find_faults(Caption("two women running on a street with a dog"), others)
    assert found == [
        ("thing", "dog"),
        ("place", "street"),
        ("person", "woman"),
        ("action", "running"),
        ("number", "several people"),
    ]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a puppy runs", "a dog runs"),  # another name for it
        ("a person in snow", "a man in snow"),  # a man is one
        ("a man on skis", "a skier goes down"),  # of a skier's sex nothing is said
        ("a young man eats", "a boy eats"),  # one person's boy is another's young man
        ("a man rides a wave", "surfing in the ocean"),  # who surfs is somebody
        ("a man in a red shirt", "a man stands"),  # people wear what nobody mentions
        ("a dog behind a fence", "a dog stands"),  # and stand before what nobody mentions
        ("a man on a beach", "a man stands"),  # no place is named
        ("a dog in the water", "a dog in a lake"),  # said less closely
        ("a dog in a pool", "a dog in the water"),  # and more
        ("a man on a skateboard", "a skater does a trick"),  # a skater has one
        ("a man is standing", "a man is surfing"),  # as surfers do
        ("a man is standing", "a man is walking"),  # a photograph stands still
        ("a man is sitting", "the tree that he sits on"),  # whoever "he" is
        ("a man is standing by a dog", "a dog sleeps by a man"),  # the dog does
    ],
)
def test_what_the_others_leave_open_is_no_fault(text: str, other: str) -> None:
    assert faults(text, other) == []


@pytest.mark.parametrize(
    ("text", "other", "fault"),
    [
        ("a woman eats", "a man eats", "woman"),
        ("a man eats", "a lady eats", "man"),
        ("a man on a couch", "a small dog on a couch", "man"),
        ("a man with a book", "a girl with a book", "man"),
        ("a man on a beach", "a man in a kitchen", "beach"),
        ("a dog is running", "a dog is sleeping", "running"),
        ("a man on a horse", "two men on horses", "one person"),
        ("two men on a horse", "a man on a horse", "several people"),
        ("a group of people on horses", "a person on a horse", "several people"),
    ],
)
def test_what_the_others_rule_out_is_one(text: str, other: str, fault: str) -> None:
    assert faults(text, other) == [fault]


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("a man dances", ("a man and a woman dance", "a man dances")),
        ("a man and a woman dance", ("a man and a woman dance", "a man dances")),
        ("a man rides a bike", ("man rides a bike", "a man with two women behind")),
        ("two people at a table", ("man and woman at a table",)),
        ("two men at a table", ("a man and another man at a table",)),
    ],
)
def test_any_number_that_somebody_tells_is_right(text: str, others: tuple[str, ...]) -> None:
    assert faults(text, *others) == []


def test_of_three_captions_two_have_to_agree_on_what_is_ruled_out() -> None:
    assert faults("a dog is running", "a dog is sleeping", "a dog", "a dog") == []
    assert faults("a dog is running", *2 * ["a dog is sleeping"], "a dog") == ["running"]
    assert faults("a woman eats", "a man eats", "a person eats", "a person eats") == []
    assert faults("a woman eats", *2 * ["a man eats"], "a person eats") == ["woman"]


def test_without_other_captions_there_is_nothing_to_hold_it_against() -> None:
    assert faults("a man on a horse") == []
