"""Questions made from captions are true of them, cannot be guessed blind, and stay the same."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.datasets.caption_facts import PictureFacts
from captioner.datasets.caption_phrases import Caption, plural, verb_forms
from captioner.datasets.caption_questions import questions_of
from captioner.datasets.made_questions import (
    QUESTIONS_A_PICTURE,
    YES_NO_A_PICTURE,
    MadeQuestion,
    balance,
    join_pictures,
    largest_share,
    make_questions,
    question_type,
    share_out,
    summarize,
    write_questions,
)
from captioner.datasets.question_texts import Question
from captioner.datasets.questions import read_question_file
from captioner.datasets.records import CaptionRecord
from captioner.errors import CaptionerError

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


def test_all_that_is_asked_about_a_picture() -> None:
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


def test_of_many_captions_two_must_agree() -> None:
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
def test_absent_only_if_nothing_named_could_be_one(caption: str, open_questions: list[str]) -> None:
    captions = [caption, *["A bowl of flowers ."] * 4]
    asked, flowers = answers(*captions), answers(*captions[1:])
    for question in open_questions:
        assert flowers[question] == "no"
        assert question not in asked


def test_absent_only_if_there_are_captions_enough() -> None:
    assert answers(*["A bowl of flowers ."] * 4)["is there a dog?"] == "no"
    assert "is there a dog?" not in answers(*["A bowl of flowers ."] * 3)


def test_words() -> None:
    (dog,) = Caption("Two big black and white dogs").mentions
    assert (dog.thing, dog.number, dog.colours) == ("dog", 2, {"black", "white"})
    nouns = ["dog", "child", "woman", "bus", "baby", "hot dog", "sheep", "toothbrush"]
    plurals = ["dogs", "children", "women", "buses", "babies", "hot dogs", "sheep", "toothbrushes"]
    assert [plural(noun) for noun in nouns] == plurals
    assert verb_forms("run") == ("run", "runs", "running")
    assert verb_forms("ride") == ("ride", "rides", "riding")
    assert verb_forms("carry") == ("carry", "carries", "carrying")
    assert verb_forms("sleep") == ("sleep", "sleeps", "sleeping")


def test_shares_by_hand() -> None:
    assert share_out({"yes": 7, "no": 40}, "yes/no") == {"yes": 7, "no": 7}
    assert share_out({"yes": 7}, "yes/no") == share_out({"yes": 7, "no": 1}, "yes/no") == {}
    # Three answers, at most 0.4 each: 20 of 20 + 20 + 10.
    assert share_out({"1": 90, "2": 50, "3": 10}, "number") == {"1": 20, "2": 20, "3": 10}
    # Four answers, at most 0.3 each: 9 of 9 + 9 + 6 + 6; the fifth has one picture and is left out.
    taken = share_out({"red": 50, "blue": 9, "green": 6, "pink": 6, "gold": 1}, "colour")
    assert taken == {"red": 9, "blue": 9, "green": 6, "pink": 6}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["yes/no", "number", "colour", "objects"]),
            st.integers(1, 4),  # phrasings
            st.dictionaries(st.integers(1, 60), st.integers(0, 6), max_size=60),  # answers
        ),
        max_size=12,
    ),
    st.integers(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_balance(asked: list[tuple[str, int, dict[int, int]]], seed: int) -> None:
    content: dict[Question, dict[str, list[int]]] = {}
    for number, (kind, phrasings, by_picture) in enumerate(asked):
        question = Question(kind, tuple(f"{number} {turn}?" for turn in range(phrasings)))
        names = ["no", "yes"] if kind == "yes/no" else list("abcdefg")
        content[question] = defaultdict(list)
        for image_id, turn in by_picture.items():
            content[question][names[turn % len(names)]].append(image_id)
    made = balance(content, Random(seed))
    chosen: dict[Question, Counter[str]] = defaultdict(Counter)
    texts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in made:
        assert one.image_id in content[one.question][one.answer]
        assert one.text in one.question.phrasings
        chosen[one.question][one.answer] += 1
        texts[one.text][one.answer] += 1
    for question, counts in chosen.items():
        share = 0.5 if question.kind == "yes/no" else largest_share(len(counts), question.kind)
        assert max(counts.values()) <= share * sum(counts.values()) + 1e-9
        for answer, count in counts.items():  # every phrasing equally often, whatever the answer
            dealt = [texts[text][answer] for text in question.phrasings]
            assert max(dealt) - min(dealt) <= 1 and sum(dealt) == count
        if question.kind == "yes/no":
            assert all(texts[text]["yes"] == texts[text]["no"] for text in question.phrasings)
    pictures = Counter(one.image_id for one in made)
    yes_no = Counter(one.image_id for one in made if one.question.kind == "yes/no")
    assert max(pictures.values(), default=0) <= QUESTIONS_A_PICTURE
    assert max(yes_no.values(), default=0) <= YES_NO_A_PICTURE
    assert len({(one.image_id, one.question) for one in made}) == len(made)


def test_summary_by_hand() -> None:
    question = Question("number", ("how many?",))
    made = [MadeQuestion(n, question, "how many?", answer) for n, answer in enumerate("1123")]
    found = {summary.kind: summary for summary in summarize(made)}
    assert (found["number"].questions, found["number"].answers) == (4, 3)
    assert found["number"].blind_accuracy == found["all"].blind_accuracy == 0.5
    assert found["colour"].questions == 0


def test_pictures_of_several_files() -> None:
    first = [CaptionRecord("a.jpg", 7, ("A dog .",)), CaptionRecord("b.jpg", 8, ("A cat .",))]
    same = [CaptionRecord("a.jpg", 7, ("A dog .", "A puppy ."))]
    assert {n: record.captions for n, record in join_pictures([first, same]).items()} == {
        7: ("A dog .", "A puppy ."),
        8: ("A cat .",),
    }
    clash = [CaptionRecord("c.jpg", 7, ("A cow .",))]
    named = [CaptionRecord("c.jpg", "c.jpg", ("A cow .",))]
    for more in (clash, named):
        joined = join_pictures([first, more])
        assert {n: record.file_name for n, record in joined.items()} == {
            1: "a.jpg",
            2: "b.jpg",
            3: "c.jpg",
        }


def pictures(number: int) -> dict[int, CaptionRecord]:
    colours, actions, animals = ("black", "white", "brown"), ("runs", "sits"), ("dog", "cat", "cow")
    return {
        n: CaptionRecord(
            f"{n}.jpg",
            n,
            (f"A {colours[n % 3]} {animals[n // 3 % 3]} {actions[n % 2]} in the snow .",) * 5,
        )
        for n in range(1, number + 1)
    }


def test_files(tmp_path: Path) -> None:
    records = pictures(60)
    made = make_questions(records.items(), 3)
    folder = tmp_path / "new" / "folder"
    write_questions(folder, "val", records, made, 3)
    names = json.loads((folder / "images_val.json").read_text())
    questions = json.loads((folder / "questions_val.json").read_text())
    annotations = json.loads((folder / "annotations_val.json").read_text())
    assert questions["made"] is True and "captions" in questions["info"]["description"]
    assert questions["data_subtype"] == "val"
    assert len(questions["questions"]) == len(annotations["annotations"]) == len(made) > 0
    for one, question, answer in zip(
        made, questions["questions"], annotations["annotations"], strict=True
    ):
        assert question["question"] == one.text
        assert question["question_id"] == answer["question_id"]
        assert names[str(question["image_id"])] == f"{one.image_id}.jpg"
        assert answer["multiple_choice_answer"] == one.answer
        assert [given["answer"] for given in answer["answers"]] == [one.answer]
    assert {a["answer_type"] for a in annotations["annotations"]} == {"yes/no", "other"}
    assert len({q["question_id"] for q in questions["questions"]}) == len(made)
    read = read_question_file(folder / "questions_val.json", folder / "annotations_val.json")
    assert [(r.image_id, r.text, r.answers) for r in read] == [
        (one.image_id, one.text, (one.answer,)) for one in made
    ]
    assert all(record.made for record in read)
    with pytest.raises(CaptionerError, match="questions_val.json is already there; give another"):
        write_questions(folder, "val", records, made, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptionerError, match="cannot write .*file"):
        write_questions(tmp_path / "file" / "x", "val", records, made, 3)


def test_question_types_are_those_of_vqa() -> None:
    assert question_type("what color is the dog?") == "what color is the"
    assert question_type("is there a cat?") == "is there a"
    assert question_type("how many dogs are there?") == "how many"
    assert question_type("say it") == "none of the above"


def test_same_seed_same_questions() -> None:
    records = pictures(60)
    made = make_questions(records.items(), 3)
    assert make_questions(records.items(), 3) == made
    assert make_questions(records.items(), 4) != made


def test_same_in_every_process(tmp_path: Path) -> None:
    """Python orders sets of words differently in every process."""
    file = tmp_path / "captions.jsonl"
    rows = [{"image": r.file_name, "caption": r.captions[0]} for r in pictures(40).values()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * 5))
    code = (
        "import sys; from pathlib import Path; from captioner.datasets import read_caption_file;"
        "from captioner.datasets.made_questions import join_pictures, make_questions;"
        "content = read_caption_file(Path(sys.argv[1]));"
        "pictures = join_pictures([content.records]);"
        "print(make_questions(pictures.items(), 0))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""


def test_captions_that_give_no_question() -> None:
    with pytest.raises(CaptionerError, match="no question can be made"):
        make_questions([(1, CaptionRecord("a.jpg", 1, ("...", "Ein Hund .")))], 0)
