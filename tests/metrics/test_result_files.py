"""Result and reference files are checked before scoring, with clear messages."""

import json
from pathlib import Path

import pytest

from captioner import CaptionerError
from captioner.metrics import score_captions
from captioner.metrics.caption_results import read_references
from captioner.metrics.result_files import read_answers, read_results, with_known_ids

RESULT = [{"image_id": 1, "caption": "a dog"}]
ANNOTATIONS = {"images": [{"id": 1}, {"id": 2}], "annotations": [{"image_id": 1, "caption": "dog"}]}


def write(folder: Path, content: object) -> Path:
    file = folder / "file.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_good_files_are_read(tmp_path: Path) -> None:
    assert read_results(write(tmp_path, RESULT)) == {1: "a dog"}
    assert read_references(write(tmp_path, ANNOTATIONS)) == {1: ("dog",), 2: ()}


def test_json_lines_of_one_line_are_read(tmp_path: Path) -> None:
    assert read_results(write(tmp_path, RESULT[0])) == {1: "a dog"}
    assert read_answers(write(tmp_path, {"question_id": 1, "answer": "dog"})) == {1: "dog"}


def test_a_picture_is_found_by_its_name_where_one_has_a_folder_before_it() -> None:
    results = {"../photos/a.jpg": "a dog", "b.jpg": "a cat", "x/c.jpg": "a cow", 7: "a hen"}
    known = ["a.jpg", "photos/b.jpg", "1/c.jpg", "2/c.jpg", "7"]
    assert with_known_ids(results, known, "picture") == {
        "a.jpg": "a dog",
        "photos/b.jpg": "a cat",
        "x/c.jpg": "a cow",  # of two pictures
        "7": "a hen",
    }
    with pytest.raises(CaptionerError, match="more than one result for picture 'a.jpg'"):
        with_known_ids({"1/a.jpg": "a dog", "2/a.jpg": "a cat"}, ["a.jpg"], "picture")


def test_a_message_stays_short_whatever_the_file_holds(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="for picture 'results'; expected text") as error:
        read_results(write(tmp_path, {"results": RESULT * 1000}))
    assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ANNOTATIONS, "is a file of annotations, not of results"),
        ("{nonsense", "not valid JSON"),
        ([], "is not a results file"),
        ({"a": 1}, "1 as a caption for picture 'a'"),
        ([{"image_id": 1}], "record 1 is not a result"),
        (["a dog"], "record 1 is not a result"),
        ([{"image_id": 1, "caption": 5}], "5 as a caption for picture 1; expected text"),
        ([{"image_id": 1, "caption": " "}], "an empty caption for picture 1"),
        ([{"image_id": None, "caption": "a"}], "has the image_id None"),
        ('{"image_id": 1, "caption": "a"}\n\n\n{"image_id": 2}x\n', "line 4: not valid JSON"),
        (RESULT * 2 + [{"image_id": 9, "caption": "a"}], "more than one caption for picture 1;"),
    ],
)
def test_bad_results_raise(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        read_results(write(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RESULT, "not a caption file; expected .*COCO's JSON"),
        ({"images": [{}], "annotations": []}, "record 1 of images has no valid id"),
        ({"annotations": [{"image_id": [1], "caption": "a"}]}, "has no valid image_id"),
    ],
)
def test_bad_references_raise(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        read_references(write(tmp_path, content))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="nowhere.json: No such file"):
        read_results(tmp_path / "nowhere.json")


REFERENCES = {number: ["a dog"] for number in range(6)}


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({0: "a"}, REFERENCES, r"no caption for 5 pictures \(1, 2, 3, ...\)"),
        (dict.fromkeys(range(8), "a"), REFERENCES, r"without references: 2 pictures \(6, 7\)"),
        ({0: None}, {0: ["a"]}, "captions must be text, got NoneType for picture 0"),
        ({0: "a"}, {0: "a dog"}, "references must be a list of texts per picture"),
        ({0: "a", "0": "b"}, {0: ["a"]}, "more than one result for picture 0"),
        ({5: "a"}, {0: ["a"]}, "no picture is in both: .*5, the references for picture 0"),
        ({0: "a"}, {0: [None]}, "references must be a list of texts per picture"),
        ({}, {}, "no picture is in both"),
    ],
)
def test_results_for_other_pictures_raise(candidates: dict, references: dict, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        score_captions(candidates, references)


def test_allow_partial_scores_the_common_pictures() -> None:
    found = score_captions({0: "a dog", 9: "a"}, REFERENCES | {3: []}, allow_partial=True)
    assert found.pictures == (0,)
    assert "pictures:1 of 6, partial, 1 without references left out" in found.signature


@pytest.mark.parametrize(
    "content",
    [
        [{"id": 1, "caption": "a dog"}, {"id": 2, "caption": "a cat"}],
        [{"image_id": "1", "caption": "a dog"}, {"image_id": "2", "caption": "a cat"}],
        {"1": "a dog", "2": "a cat"},
        '{"image_id": 1, "caption": "a dog"}\n{"image_id": 2, "caption": "a cat"}\n',
    ],
    ids=["id for image_id", "ids as text", "keyed by id", "JSON Lines"],
)
def test_other_forms_of_results_score_the_same(tmp_path: Path, content: object) -> None:
    references = {1: ["a dog"], 2: ["a red cat"]}
    found = score_captions(read_results(write(tmp_path, content)), references)
    assert found.pictures == (1, 2)
    assert found.values == score_captions({1: "a dog", 2: "a cat"}, references).values


def test_other_forms_of_answers_are_read(tmp_path: Path) -> None:
    lines = '{"question_id": 7, "answer": "yes"}\n{"question_id": 8, "answer": ""}\n'
    assert read_answers(write(tmp_path, {"7": "yes", "8": ""})) == {"7": "yes", "8": ""}
    assert read_answers(write(tmp_path, lines)) == {7: "yes", 8: ""}


def test_what_has_no_words_is_left_out_and_counted() -> None:
    """Scores are those of the rest alone, and the signature says what is missing."""
    captions = {1: "a dog runs", 2: "a cat"}
    whole = score_captions(captions, {1: ["a dog runs"], 2: ["a red cat"]})
    with_empty = score_captions(
        {**captions, 3: "a bird"}, {1: ["a dog runs", " "], 2: ["a red cat", "..."], 3: [""]}
    )
    assert with_empty.values == whole.values
    assert "pictures:2, 1 without references left out|" in with_empty.signature
    assert "references:1, 2 empty left out|" in with_empty.signature


def test_references_of_every_form(tmp_path: Path) -> None:
    picture = {"filename": "a.jpg", "imgid": 5, "sentences": [{"raw": "a dog"}]}
    karpathy = {"images": [picture | {"split": "test"}, picture | {"imgid": 6, "split": "val"}]}
    assert read_references(write(tmp_path, karpathy), "test") == {5: ("a dog",)}
    table = tmp_path / "refs.csv"
    table.write_text("image,caption\na.jpg,a dog\na.jpg,a wet dog\n")
    assert read_references(table) == {"a.jpg": ("a dog", "a wet dog")}


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [
        ({1: "a dog"}, {1: ["a dog"]}, "CIDEr is 0 by its formula"),
        ({1: "a dog", 2: "a"}, {1: ["a dog"], 2: ["a dog"]}, "CIDEr is 0 by its formula"),
        ({1: "<start> a dog <end>", 2: "a"}, {1: ["a dog"], 2: ["cat"]}, "such as <start>"),
        ({1: "a <UNK> dog", 2: "a"}, {1: ["a dog"], 2: ["cat"]}, "such as <UNK>"),
        ({1: "dog", 2: "cat"}, {1: ["a dog"], 2: ["a cat"]}, "no caption has 4 words"),
    ],
)
def test_scores_that_mislead_come_with_a_warning(
    captions: dict[int, str], references: dict[int, list[str]], message: str
) -> None:
    assert message in " ".join(score_captions(captions, references).warnings)


def test_usual_scores_come_without_a_warning() -> None:
    captions = {1: "a dog runs fast", 2: "a cat sits here"}
    references = {1: ["a dog is running fast"], 2: ["the cat sits right here"]}
    assert score_captions(captions, references).warnings == ()


def test_scripts_without_spaces_are_counted_by_character() -> None:
    """A sentence as one word would be right as a whole or wrong as a whole."""
    references = {1: ["一个红色的圆形"], 2: ["一只黑色的狗"]}
    found = score_captions({1: "一个红色的方形", 2: "一只白色的狗"}, references)
    # 6 of 7 and 5 of 6 characters are right.
    assert found.values["BLEU-1"] == pytest.approx(11 / 13)
    assert found.values["CIDEr"] > 0
    assert "nopunct,unspaced-by-character" in found.signature
    assert "unspaced" not in score_captions({1: "a dog"}, {1: ["a dog"]}).signature
