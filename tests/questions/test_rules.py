"""Questions ask what the captions of a picture agree on, and "no" is certain."""

import pytest

from captioner.questions.caption_parser import ParsedCaption, plural, verb_forms
from captioner.questions.picture_facts import PictureFacts
from captioner.questions.rules import questions_of

DOG = (
    "A brown dog runs on the beach .",
    "A brown dog is running along a beach .",
    "A dog running on the sand with a red ball .",
    "The brown dog carries a ball .",
    "A puppy is running on the beach with a ball in its mouth .",
)


def answers(*captions: str) -> dict[str, str]:
    """The answer to every question about a picture, by its first phrasing."""
    facts = PictureFacts(captions)
    return {question.phrasings[0]: answer for question, answer in questions_of(facts)}


def test_all_questions_about_one_picture() -> None:
    asked = answers(*DOG)
    assert {text: answer for text, answer in asked.items() if answer not in ("yes", "no")} == {
        "what animal is this?": "dog",
        "where is this?": "beach",
        "where is the dog?": "beach",
        "how many dogs are there?": "1",
        "what color is the dog?": "brown",
        "what color is the ball?": "red",
        "what is the dog doing?": "running",
    }
    assert {text for text, answer in asked.items() if answer == "yes"} == {
        "is there a dog?",
        "is there an animal?",
        "is there a ball?",
        "is the dog brown?",
        "is the ball red?",
        "is the dog running?",
        "was this picture taken at the beach?",
    }
    no = {text for text, answer in asked.items() if answer == "no"}
    assert {
        "is the dog sitting?",
        "is the dog white?",
        "was this picture taken in a kitchen?",
    } <= no
    assert {"is there a man?", "is there a child?", "are there two dogs?"} <= no
    assert not {"is the dog tan?", "is there water?", "is there a frisbee?"} & set(asked)


@pytest.mark.parametrize(
    ("captions", "question", "answer"),
    [
        (["Two dogs play .", "Two black dogs run ."], "how many dogs are there?", "2"),
        (["A man and a woman sit .", "Two people sit ."], "how many people are there?", "2"),
        (["A man rides a horse ."], "what is the man riding?", "horse"),
        (["A woman is holding a red umbrella ."], "what is the woman holding?", "umbrella"),
        (["A boy wearing a blue shirt sits ."], "what color is the boy's shirt?", "blue"),
        (["A child stands .", "A boy stands ."], "who is in the picture?", "boy"),
        (["Some kids are swimming in a pool ."], "what are the children doing?", "swimming"),
        (["A man sits on a wooden bench ."], "what is the man sitting on?", "bench"),
        (["Men playing soccer ."], "what sport is this?", "soccer"),
        (["A red bus on a city street ."], "what vehicle is this?", "bus"),
        (["A slice of pizza on a plate ."], "what food is this?", "pizza"),
        (["A black and white dog barks loudly ."], "what color is the dog?", "black and white"),
        (["The dog 's ball is in the grass ."], "is there a dog?", "yes"),
        (["A toilet in a bathroom ."], "where is this?", "bathroom"),
    ],
)
def test_one_question(captions: list[str], question: str, answer: str) -> None:
    assert answers(*captions)[question] == answer


@pytest.mark.parametrize(
    ("captions", "question"),
    [
        (["A brown dog .", "A white dog ."], "what color is the dog?"),
        (["A brown dog and a white dog ."], "what color is the dog?"),
        (["A dog runs .", "Two dogs run ."], "how many dogs are there?"),
        (["Dogs run .", "A dog runs ."], "how many dogs are there?"),
        (["A dog .", "Another dog ."], "how many dogs are there?"),
        (["A dog and a cat ."], "what animal is this?"),
        (["A dog runs .", "A dog sits ."], "what is the dog doing?"),
        (["A man in a pool .", "A man on a street ."], "where is this?"),
        (["A boy .", "A man ."], "who is in the picture?"),
        (["A boy with a dog and a girl ."], "who is in the picture?"),
        (["A man holds a bat .", "A man holds a cup ."], "what is the man holding?"),
        (["A hot dog on a plate ."], "is there a dog?"),
        (["A dog house ."], "is there a dog?"),
        (["A statue of a dog ."], "is there a dog?"),
        (["A boy dressed as a dog ."], "is there a dog?"),
        (["A toy dog ."], "is there a dog?"),
        (["A group of cows ."], "is there a person?"),
        (["A man near a swimming pool ."], "what is the man doing?"),
        (["A man swings a bat ."], "what is the man doing?"),
        (["A man ready to run ."], "what is the man doing?"),
    ],
)
def test_what_is_not_asked(captions: list[str], question: str) -> None:
    assert question not in answers(*captions)


def test_two_of_many_captions_must_agree() -> None:
    captions = ("A dog .", "A dog .", "A pet with a frisbee .")
    assert "is there a frisbee?" not in answers(*captions)
    assert answers(*captions, "A dog catches a frisbee .")["is there a frisbee?"] == "yes"


@pytest.mark.parametrize(
    ("caption", "open_questions"),
    [
        ("A puppy .", ["is there a dog?", "is there an animal?"]),
        ("Some animal .", ["is there a dog?", "is there a cat?", "is there an animal?"]),
        ("A cat-like thing .", ["is there a cat?"]),
        ("A person .", ["is there a man?", "is there a girl?", "is there a person?"]),
        ("A boy .", ["is there a man?", "is there a child?", "is there a person?"]),
        ("A lady .", ["is there a girl?", "is there a person?"]),
        ("Someone's hand .", ["is there a person?"]),
        ("A busy street .", ["is there a car?", "is there a bicycle?"]),
        ("A soccer game .", ["is there a ball?", "is there a person?"]),
        ("The ocean .", ["is there water?"]),
    ],
)
def test_absent_only_if_no_word_suggests_it(caption: str, open_questions: list[str]) -> None:
    captions = [caption, *["A bowl of flowers ."] * 4]
    asked, flowers = answers(*captions), answers(*captions[1:])
    for question in open_questions:
        assert flowers[question] == "no"
        assert question not in asked


def test_absent_only_with_enough_captions() -> None:
    assert answers(*["A bowl of flowers ."] * 4)["is there a dog?"] == "no"
    assert "is there a dog?" not in answers(*["A bowl of flowers ."] * 3)


def test_plurals_and_verb_forms() -> None:
    (dog,) = ParsedCaption("Two big black and white dogs").mentions
    assert (dog.thing, dog.number, dog.colours) == ("dog", 2, {"black", "white"})
    nouns = ["dog", "child", "woman", "bus", "baby", "hot dog", "sheep", "toothbrush"]
    plurals = ["dogs", "children", "women", "buses", "babies", "hot dogs", "sheep", "toothbrushes"]
    assert [plural(noun) for noun in nouns] == plurals
    assert verb_forms("run") == ("run", "runs", "running")
    assert verb_forms("ride") == ("ride", "rides", "riding")
    assert verb_forms("carry") == ("carry", "carries", "carrying")
    assert verb_forms("sleep") == ("sleep", "sleeps", "sleeping")
