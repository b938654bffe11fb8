"""Questions and annotations of VQA v2: what is read, how pictures are found, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from captioner import CaptionerError
from captioner.data.question_files import QuestionRecord, read_question_file, read_questions
from captioner.data.shapes.maker import make_shapes

REAL = Path(__file__).parents[3] / "shared" / "data"

QUESTIONS: dict[str, Any] = {
    "data_subtype": "val2014",
    "questions": [
        {"question_id": 31, "image_id": 3, "question": " What color is the dog? "},
        {"question_id": 71, "image_id": 7, "question": "Is there a cat?"},
        {"question_id": 32, "image_id": 3, "question": "How many dogs are there?"},
    ],
}
ANSWERS = {31: ["brown"] * 7 + ["tan", "dark brown", "brown"], 71: ["no"], 32: ["2"] * 10}
TYPES = {
    31: ("what color is the", "other"),
    71: ("is there a", "yes/no"),
    32: ("how many", "number"),
}
ANNOTATIONS: dict[str, Any] = {
    "annotations": [
        {
            "question_id": question["question_id"],
            "image_id": question["image_id"],
            "question_type": TYPES[question["question_id"]][0],
            "answer_type": TYPES[question["question_id"]][1],
            "answers": [{"answer": text} for text in ANSWERS[question["question_id"]]],
        }
        for question in reversed(QUESTIONS["questions"])
    ]
}
CAPTIONS = {"images": [{"id": 3}], "annotations": [{"image_id": 3, "caption": "a dog"}]}
RESULTS = [{"question_id": 31, "answer": "brown"}]


def write(file: Path, content: object) -> Path:
    file.write_text(json.dumps(content))
    return file


def read(folder: Path, questions: object = QUESTIONS, annotations: object = ANNOTATIONS) -> Any:
    return read_question_file(
        write(folder / "q.json", questions), write(folder / "a.json", annotations)
    )


def changed(content: dict[str, Any], key: str, number: int, **fields: object) -> dict[str, Any]:
    """The same file with fields of one record changed; None takes a field away."""
    records = [dict(record) for record in content[key]]
    records[number] = {
        name: value for name, value in (records[number] | fields).items() if value is not None
    }
    return content | {key: records}


def test_questions_come_in_their_order_with_their_answers(tmp_path: Path) -> None:
    first, second, third = read(tmp_path)
    assert first == QuestionRecord(
        question_id=31,
        image_id=3,
        text="What color is the dog?",
        answers=tuple(ANSWERS[31]),
        question_type="what color is the",
        answer_type="other",
        made=False,
    )
    assert (second.question_id, second.answers, second.answer_type) == (71, ("no",), "yes/no")
    assert (third.question_id, third.image_id, third.question_type) == (32, 3, "how many")


@pytest.mark.parametrize("name", ["question_id", "image_id"])
def test_ids_as_numbers_in_one_file_and_texts_in_the_other(tmp_path: Path, name: str) -> None:
    texts = [record | {name: str(record[name])} for record in ANNOTATIONS["annotations"]]
    assert read(tmp_path, annotations={"annotations": texts}) == read(tmp_path)
    assert len(read(tmp_path)) == 3
    twice = [*ANNOTATIONS["annotations"], texts[0]]
    if name == "question_id":
        with pytest.raises(CaptionerError, match="1 annotations have no question"):
            read(tmp_path, annotations={"annotations": twice})


def test_questions_alone_have_no_answers(tmp_path: Path) -> None:
    record = read_question_file(write(tmp_path / "q.json", QUESTIONS))[0]
    assert (record.answers, record.question_type, record.answer_type) == ((), "", "")


@pytest.mark.parametrize(("head", "made"), [({"made": True}, True), ({"made": False}, False)])
def test_made_questions_are_marked(tmp_path: Path, head: dict[str, Any], made: bool) -> None:
    assert {record.made for record in read(tmp_path, QUESTIONS | head)} == {made}


@pytest.mark.parametrize(
    "names",
    [
        ("COCO_val2014_000000000003.jpg", "COCO_val2014_000000000007.png"),
        ("000000000003.jpg", "000000000007.jpg"),
        ("3.jpg", "7.png"),
    ],
)
def test_pictures_are_found_by_the_names_of_coco(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "second").mkdir()
    for folder, name in zip((tmp_path, tmp_path / "second"), names, strict=True):
        (folder / name).touch()
    questions = write(tmp_path / "q.json", QUESTIONS)
    asked = read_questions(questions, None, [tmp_path, tmp_path / "second"])
    three, seven = tmp_path / names[0], tmp_path / "second" / names[1]
    assert [question.path for question in asked] == [three, seven, three]


def test_pictures_are_found_by_a_map_or_by_ids_that_are_names(tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").touch()
    (tmp_path / "cat.png").touch()
    questions, annotations = (
        write(tmp_path / "q.json", QUESTIONS),
        write(tmp_path / "a.json", ANNOTATIONS),
    )
    names = write(tmp_path / "names.json", {"3": "dog.jpg", "7": "cat.png", "8": "not-there.jpg"})
    asked = read_questions(questions, annotations, [tmp_path], names)
    assert [question.path.name for question in asked] == ["dog.jpg", "cat.png", "dog.jpg"]
    assert [question.answers for question in asked] == [tuple(ANSWERS[key]) for key in (31, 71, 32)]
    named = {"questions": [{"question_id": "a", "image_id": "cat.png", "question": "Is it red?"}]}
    assert read_questions(write(questions, named), None, [tmp_path])[0].path == tmp_path / "cat.png"


def test_the_made_shapes_are_read_as_they_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    list(make_shapes(folder, images=40, seed=3, size=64))
    files = (folder / "questions_val.json", folder / "annotations_val.json")
    asked = read_questions(*files, [folder / "images"])
    assert len(asked) == len(json.loads(files[0].read_text())["questions"]) > 0
    assert all(
        len(set(question.answers)) == 1 and len(question.answers) == 10 for question in asked
    )
    assert asked[0].path.name == f"COCO_val_{asked[0].image_id:012d}.png"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real questions are not beside the project")
@pytest.mark.parametrize(
    ("name", "map_file", "number", "picture"),
    [
        ("coco", None, 1464, "COCO_val2014_000000393243.jpg"),
        ("daquar", "images_val.json", 796, "image11.jpg"),
    ],
)
def test_real_questions_are_read(
    name: str, map_file: str | None, number: int, picture: str
) -> None:
    folder = REAL / name
    asked = read_questions(
        folder / "questions_val.json",
        folder / "annotations_val.json",
        [folder / "images"],
        folder / map_file if map_file else None,
    )
    assert (len(asked), asked[0].path.name) == (number, picture)
    assert {len(question.answers) for question in asked} == {1}


def test_annotations_without_types_leave_them_empty(tmp_path: Path) -> None:
    bare = changed(ANNOTATIONS, "annotations", 2, question_type=None, answer_type=None)
    first = read(tmp_path, QUESTIONS, bare)[0]
    assert (first.question_id, first.question_type, first.answer_type) == (31, "", "")


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (ANNOTATIONS, "q.json is a file of annotations, the answers .*; expected questions"),
        (CAPTIONS, "q.json is a file of captions; expected questions"),
        (RESULTS, "q.json is a list, as results are; expected questions"),
        ({"images": [{"id": 3}]}, "q.json is a file of pictures or captions"),
        ({"a": 1}, "q.json is not in the form of VQA v2"),
        ("what?", "q.json holds no record"),
        ({"questions": []}, "q.json has no questions"),
        ({"questions": ["Is it red?"]}, "record 1 has no valid question_id"),
        (changed(QUESTIONS, "questions", 2, image_id=None), "record 3 has no valid image_id"),
        (changed(QUESTIONS, "questions", 2, question_id=31), "two questions have the id 31"),
        (changed(QUESTIONS, "questions", 1, question=" "), r"question 71 has no words \(' '\)"),
        (changed(QUESTIONS, "questions", 1, question=None), r"question 71 has no words \(None\)"),
        (changed(QUESTIONS, "questions", 1, question="?"), r"question 71 has no words \('\?'\)"),
        (
            QUESTIONS | {"questions": QUESTIONS["questions"][:1]},
            "a.json: 2 annotations have no question in .*q.json: 32, 71",
        ),
    ],
)
def test_bad_questions_are_refused(tmp_path: Path, questions: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message) as error:
        read(tmp_path, questions)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (QUESTIONS, "a.json is a file of questions; expected annotations"),
        (CAPTIONS, "a.json is a file of captions; expected annotations"),
        (RESULTS, "a.json is a list, as results are; expected annotations"),
        (changed(ANNOTATIONS, "annotations", 0, answers=[]), "no answer to question 32"),
        (changed(ANNOTATIONS, "annotations", 0, answers=None), "no answer to question 32"),
        (changed(ANNOTATIONS, "annotations", 0, answers=[{"answer": ""}]), "no answer to question"),
        (
            changed(ANNOTATIONS, "annotations", 0, answers=[{"answer": 2}]),
            r"\{'answer': 2\} as an answer to",
        ),
        (changed(ANNOTATIONS, "annotations", 0, answers=[{}]), r"\{\} as an answer to question 32"),
        (changed(ANNOTATIONS, "annotations", 0, question_id=71), "two questions have the id 71"),
        (changed(ANNOTATIONS, "annotations", 0, image_id=7), "another picture than in .*: 32"),
        (
            ANNOTATIONS | {"annotations": ANNOTATIONS["annotations"][2:]},
            "q.json: 2 questions have no annotation in .*a.json: 71, 32",
        ),
        ({"annotations": []}, "q.json: 3 questions have no annotation"),
    ],
)
def test_bad_annotations_are_refused(tmp_path: Path, annotations: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        read(tmp_path, QUESTIONS, annotations)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            None,
            "q.json: 1 image ids have no picture in .*: 7; .* as COCO_val2014_000000000007.jpg;",
        ),
        ({"3": "3.jpg"}, "names.json: 1 image ids of the questions have no file name: 7"),
        ({"3": "3.jpg", "7": "gone.jpg"}, "names.json: 1 of its pictures are not in .*: gone.jpg"),
        (["3.jpg"], "names.json does not name pictures; expected a JSON map"),
        ({"3": 3}, "names.json does not name pictures; expected a JSON map"),
    ],
)
def test_ids_without_pictures_are_refused(tmp_path: Path, names: object, message: str) -> None:
    (tmp_path / "3.jpg").touch()
    questions = write(tmp_path / "q.json", QUESTIONS)
    file = None if names is None else write(tmp_path / "names.json", names)
    with pytest.raises(CaptionerError, match=message):
        read_questions(questions, None, [tmp_path], file)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="nowhere is not a folder"):
        read_questions(write(tmp_path / "q.json", QUESTIONS), None, [tmp_path / "nowhere"])
