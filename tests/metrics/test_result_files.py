"""What is refused before anything is scored, and what the refusal says."""

import json
from pathlib import Path

import pytest

from captioner import CaptionerError
from captioner.metrics import score_captions
from captioner.metrics.caption_results import read_references, read_results

RESULT = [{"image_id": 1, "caption": "a dog"}]
ANNOTATIONS = {"images": [{"id": 1}, {"id": 2}], "annotations": [{"image_id": 1, "caption": "dog"}]}


def write(folder: Path, content: object) -> Path:
    file = folder / "file.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_good_files_are_read(tmp_path: Path) -> None:
    assert read_results(write(tmp_path, RESULT)) == {1: "a dog"}
    assert read_references(write(tmp_path, ANNOTATIONS)) == {1: ["dog"], 2: []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ANNOTATIONS, "is an annotations file, not a results file"),
        ("{nonsense", "is not valid JSON"),
        ([], "is not a results file"),
        ({"a": 1}, "is not a results file"),
        ([{"image_id": 1}], "record 0 is not right"),
        (["a dog"], "record 0 is not right"),
        ([{"image_id": 1, "caption": 5}], "5 as a caption for picture 1; expected text"),
        ([{"image_id": 1, "caption": " "}], "an empty caption for picture 1"),
        ([{"image_id": None, "caption": "a"}], "has the image_id None"),
        (RESULT * 2 + [{"image_id": 9, "caption": "a"}], "more than one caption for picture 1;"),
    ],
)
def test_bad_results_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        read_results(write(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RESULT, "is a list, as results are"),
        ({"images": []}, "is not an annotations file"),
        ({"annotations": [{"image_id": 1, "caption": ""}]}, "an empty caption for picture 1"),
        ({"images": [{}], "annotations": []}, 'needs an "id"'),
    ],
)
def test_bad_references_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        read_references(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="nowhere.json: No such file"):
        read_results(tmp_path / "nowhere.json")


WANTED = {number: ["a dog"] for number in range(6)}


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({0: "a"}, WANTED, r"no caption for 5 pictures \(1, 2, 3, ...\)"),
        (dict.fromkeys(range(8), "a"), WANTED, r"without references: 2 pictures \(6, 7\)"),
        (dict.fromkeys(range(6), "a"), WANTED | {3: []}, "no references for picture 3"),
        ({0: None}, {0: ["a"]}, "captions must be text, got NoneType for picture 0"),
        ({0: "a"}, {0: "a dog"}, "references must be a list a picture"),
        ({"0": "a"}, {0: ["a"]}, "no picture is in both: .*'0'.* a number is not equal to a text"),
        ({}, {}, "no picture is in both"),
    ],
)
def test_results_for_other_pictures_are_refused(
    candidates: dict, references: dict, message: str
) -> None:
    with pytest.raises(CaptionerError, match=message):
        score_captions(candidates, references)


def test_allow_partial_scores_what_both_have() -> None:
    found = score_captions({0: "a dog", 9: "a"}, WANTED | {3: []}, allow_partial=True)
    assert found.pictures == (0,)
    assert "pictures:1 of 7, partial" in found.signature
