"""Made questions are balanced, are written completely, and depend only on the seed."""

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

from captioner.data.question_files import read_question_file
from captioner.data.records import CaptionRecord
from captioner.errors import CaptionerError
from captioner.questions.balanced_set import (
    QUESTIONS_PER_PICTURE,
    YES_NO_PER_PICTURE,
    MadeQuestion,
    balance,
    balanced_counts,
    join_pictures,
    largest_share,
    make_questions,
    question_type,
    summarize,
    write_questions,
)
from captioner.questions.templates import Question


def test_shares_by_hand() -> None:
    assert balanced_counts({"yes": 7, "no": 40}, "yes/no") == {"yes": 7, "no": 7}
    assert (
        balanced_counts({"yes": 7}, "yes/no")
        == balanced_counts({"yes": 7, "no": 1}, "yes/no")
        == {}
    )
    # Three answers, at most 0.4 each: 20 of 20 + 20 + 10.
    assert balanced_counts({"1": 90, "2": 50, "3": 10}, "number") == {"1": 20, "2": 20, "3": 10}
    # Four answers, at most 0.3 each: 9 of 9 + 9 + 6 + 6; the fifth has one picture and is left out.
    taken = balanced_counts({"red": 50, "blue": 9, "green": 6, "pink": 6, "gold": 1}, "colour")
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
    for item in made:
        assert item.image_id in content[item.question][item.answer]
        assert item.text in item.question.phrasings
        chosen[item.question][item.answer] += 1
        texts[item.text][item.answer] += 1
    for question, counts in chosen.items():
        share = 0.5 if question.kind == "yes/no" else largest_share(len(counts), question.kind)
        assert max(counts.values()) <= share * sum(counts.values()) + 1e-9
        for answer, count in counts.items():  # every phrasing equally often, whatever the answer
            dealt = [texts[text][answer] for text in question.phrasings]
            assert max(dealt) - min(dealt) <= 1 and sum(dealt) == count
        if question.kind == "yes/no":
            assert all(texts[text]["yes"] == texts[text]["no"] for text in question.phrasings)
    pictures = Counter(item.image_id for item in made)
    yes_no = Counter(item.image_id for item in made if item.question.kind == "yes/no")
    assert max(pictures.values(), default=0) <= QUESTIONS_PER_PICTURE
    assert max(yes_no.values(), default=0) <= YES_NO_PER_PICTURE
    assert len({(item.image_id, item.question) for item in made}) == len(made)


def test_summary_by_hand() -> None:
    question = Question("number", ("how many?",))
    made = [MadeQuestion(n, question, "how many?", answer) for n, answer in enumerate("1123")]
    summaries = {summary.kind: summary for summary in summarize(made)}
    assert (summaries["number"].questions, summaries["number"].answers) == (4, 3)
    assert summaries["number"].blind_accuracy == summaries["all"].blind_accuracy == 0.5
    assert summaries["colour"].questions == 0


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
    for item, question, answer in zip(
        made, questions["questions"], annotations["annotations"], strict=True
    ):
        assert question["question"] == item.text
        assert question["question_id"] == answer["question_id"]
        assert names[str(question["image_id"])] == f"{item.image_id}.jpg"
        assert answer["multiple_choice_answer"] == item.answer
        assert [row["answer"] for row in answer["answers"]] == [item.answer]
    assert {a["answer_type"] for a in annotations["annotations"]} == {"yes/no", "other"}
    assert len({q["question_id"] for q in questions["questions"]}) == len(made)
    read = read_question_file(folder / "questions_val.json", folder / "annotations_val.json")
    assert [(r.image_id, r.text, r.answers) for r in read] == [
        (item.image_id, item.text, (item.answer,)) for item in made
    ]
    assert all(record.made for record in read)
    with pytest.raises(CaptionerError, match="questions_val.json is already there; give another"):
        write_questions(folder, "val", records, made, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptionerError, match="cannot write .*file"):
        write_questions(tmp_path / "file" / "x", "val", records, made, 3)


def test_vqa_question_types() -> None:
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
        "import sys; from pathlib import Path;"
        "from captioner.data.caption_files import read_caption_file;"
        "from captioner.questions.balanced_set import join_pictures, make_questions;"
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
    with pytest.raises(CaptionerError, match="no balanced question can be made"):
        make_questions([(1, CaptionRecord("a.jpg", 1, ("...", "Ein Hund .")))], 0)
