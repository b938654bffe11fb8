"""The made set is the same everywhere, says only what is true, and cannot be guessed blind."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from captioner.config.toml_file import read_stages
from captioner.data.caption_files import read_captions
from captioner.data.images import open_picture
from captioner.data.shapes.maker import SHAPE_WORDS, make_shapes
from captioner.data.shapes.scenes import COLOURS
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError
from captioner.model import checkpoint

IMAGES = 400
Seen = dict[int, list[tuple[str, str, list[int]]]]


def make(folder: Path, **arguments: int) -> Path:
    settings = {"images": 10, "seed": 7, "size": 64} | arguments
    assert list(make_shapes(folder, **settings)) == list(range(1, settings["images"] + 1))
    return folder


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    data = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".toml"]
    for file in sorted(data):
        total.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made") / "shapes", images=IMAGES, size=224)


@pytest.fixture(scope="module")
def seen(shapes: Path) -> Seen:
    """What each picture really shows, read from its pixels: (colour, noun, box), by image id."""
    colour_names: dict[Any, str] = {value: name for name, value in COLOURS.items()}
    found = defaultdict(list)
    for split in ("train", "val"):
        content = read(shapes / f"instances_{split}.json")
        nouns = {category["id"]: category["name"] for category in content["categories"]}
        names = {picture["id"]: picture["file_name"] for picture in content["images"]}
        for shape in content["annotations"]:
            left, top, width, height = shape["bbox"]
            picture = open_picture(shapes / "images" / names[shape["image_id"]])
            centre = picture.getpixel((left + width // 2, top + height // 2))
            found[shape["image_id"]].append(
                (colour_names[centre], nouns[shape["category_id"]], shape["bbox"])
            )
    return found


def test_same_seed_same_bytes_on_every_machine(tmp_path: Path) -> None:
    expected = "22eaa47b996f684862ba0b6d8eb20673197cd2d088f410bed40588dfe498ac77"
    assert digest(make(tmp_path / "a")) == expected
    assert digest(make(tmp_path / "b")) == expected
    assert digest(make(tmp_path / "c", seed=8)) != expected


def test_files_and_splits(shapes: Path) -> None:
    assert sorted(path.name for path in shapes.iterdir()) == sorted(
        ["images", "training.toml"]
        + [
            f"{name}_{split}.json"
            for name in ("annotations", "captions", "instances", "questions")
            for split in ("train", "val")
        ]
    )
    run = read_stages(shapes / "training.toml")[""]
    assert run.data.train.captions == (str(shapes / "captions_train.json"),)
    shipped = checkpoint.load(checkpoint.default_checkpoint()).model.config
    assert (run.training.encoder_weights, run.model.encoder) == ("shipped", shipped.encoder)
    train = read_captions(shapes / "captions_train.json", [shapes / "images"])
    val = read_captions(shapes / "captions_val.json", [shapes / "images"])
    assert (len(train), len(val)) == (IMAGES * 4 // 5, IMAGES // 5)
    assert all(len(set(picture.captions)) == 5 for picture in train + val)
    contents = {hashlib.sha256(picture.path.read_bytes()).digest() for picture in train + val}
    assert len(contents) == IMAGES
    assert open_picture(val[0].path).size == (224, 224)


def test_boxes_hold_the_shapes_and_nothing_else(shapes: Path, seen: Seen) -> None:
    for picture in read_captions(shapes / "captions_val.json", [shapes / "images"]):
        pixels = np.asarray(open_picture(picture.path)).astype(int)
        foreground = (pixels != pixels[0, 0]).any(axis=2)
        for _, _, (left, top, width, height) in seen[int(picture.image_id)]:
            box = foreground[top : top + height, left : left + width]
            assert box[0].any() and box[-1].any() and box[:, 0].any() and box[:, -1].any()
            box[:] = False
        assert not foreground.any()


def test_shapes_have_their_form(shapes: Path, seen: Seen) -> None:
    # The part of its box that each covers: circle pi/4; cross 1 - 4 * 0.335^2; a star with inner
    # radius 0.45, 5 * 0.45 * sin(36 degrees), over 1.902 * 1.809.
    share = {"square": 1.0, "circle": 0.785, "triangle": 0.5, "cross": 0.551, "star": 0.384}
    shares = defaultdict(list)
    content = read(shapes / "instances_train.json")
    nouns = {category["id"]: category["name"] for category in content["categories"]}
    for shape in content["annotations"]:
        shares[nouns[shape["category_id"]]].append(
            shape["area"] / (shape["bbox"][2] * shape["bbox"][3])
        )
    assert set(shares) == set(share)
    for noun, values in shares.items():
        assert np.median(values) == pytest.approx(share[noun], abs=0.04), noun


def test_captions_are_true(shapes: Path, seen: Seen) -> None:
    kind = rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPE_WORDS)})"
    for split in ("train", "val"):
        for picture in read_captions(shapes / f"captions_{split}.json", [shapes / "images"]):
            there = seen[int(picture.image_id)]
            for caption in picture.captions:
                named = [
                    (colour, SHAPE_WORDS[word]) for colour, word in re.findall(kind, caption)
                ] or [(c, n) for c, n, _ in there if f"that are {c}" in caption][:1]
                assert set(named) == {(colour, noun) for colour, noun, _ in there}, caption
                boxes = {(colour, noun): box for colour, noun, box in there}
                first, last = boxes[named[0]], boxes[named[-1]]
                if "left of" in caption or "on the left" in caption:
                    assert first[0] + first[2] < last[0]
                if "right of" in caption:
                    assert first[0] > last[0] + last[2]
                if "above" in caption or "at the top" in caption:
                    assert first[1] + first[3] < last[1]
                if "below" in caption:
                    assert first[1] > last[1] + last[3]
                if "between" in caption:
                    assert boxes[named[1]][0] < first[0] < last[0]
                if "From left" in caption:
                    assert first[0] < boxes[named[1]][0] < last[0]
                number = 3 if "three" in caption.lower() else 2 if "two" in caption.lower() else 0
                assert not number or number == len(there)
                if "large" in caption or "small" in caption:
                    assert ("large" in caption) == (max(first[2:]) > 80)


def test_every_shape_word_has_a_box_of_that_name(shapes: Path, seen: Seen) -> None:
    for picture in read_captions(shapes / "captions_train.json", [shapes / "images"]):
        boxes = {noun for _, noun, _ in seen[int(picture.image_id)]}
        for caption in picture.captions:
            words = [word for word in split_words(caption) if word in SHAPE_WORDS]
            assert words and {SHAPE_WORDS[word] for word in words} <= boxes


def test_answers_are_true(shapes: Path, seen: Seen) -> None:
    for split in ("train", "val"):
        questions = read(shapes / f"questions_{split}.json")["questions"]
        annotations = read(shapes / f"annotations_{split}.json")["annotations"]
        for question, annotation in zip(questions, annotations, strict=True):
            assert question["question_id"] == annotation["question_id"]
            there = [(colour, noun) for colour, noun, _ in seen[question["image_id"]]]
            words = split_words(question["question"])
            answer = annotation["multiple_choice_answer"]
            if words[:2] == ["is", "there"]:
                assert (answer == "yes") == ((words[3], words[4]) in there)
            elif words[0] == "how":
                assert int(answer) == sum(noun == SHAPE_WORDS[words[2]] for _, noun in there)
            elif words[1] == "color":
                assert {answer} == {c for c, noun in there if noun == SHAPE_WORDS[words[4]]}
            else:
                assert {answer} == {noun for colour, noun in there if colour == words[3]}


def test_every_answer_to_a_question_is_equally_frequent(shapes: Path) -> None:
    for split in ("train", "val"):
        questions = read(shapes / f"questions_{split}.json")["questions"]
        annotations = read(shapes / f"annotations_{split}.json")["annotations"]
        answers: dict[str, Counter[str]] = defaultdict(Counter)
        for question, annotation in zip(questions, annotations, strict=True):
            assert [given["answer"] for given in annotation["answers"]] == [
                annotation["multiple_choice_answer"]
            ] * 10
            answers[question["question"]][annotation["multiple_choice_answer"]] += 1
        assert all(len(set(counts.values())) == 1 for counts in answers.values())
        choices = {"Is": 2, "How": 3, "What color": 6, "What shape": 5}
        for question, counts in answers.items():
            (start,) = (start for start in choices if question.startswith(start))
            assert len(counts) == choices[start]
        ids = [question["question_id"] for question in questions]
        assert len(set(ids)) == len(ids) > 0


def test_pycocotools_reads_the_instances(shapes: Path) -> None:
    coco = COCO(str(shapes / "instances_val.json"))
    assert coco.getCatIds(catNms=["star"]) == [4]
    assert len(coco.getImgIds()) == IMAGES // 5


@pytest.mark.parametrize("size", [64, 65, 300])
def test_any_size(tmp_path: Path, size: int) -> None:
    folder = make(tmp_path / "shapes", size=size)
    for picture in read_captions(folder / "captions_train.json", [folder / "images"]):
        assert open_picture(picture.path).size == (size, size)


def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path) -> None:
    making = make_shapes(tmp_path / "shapes", images=10, seed=0, size=64)
    next(making)
    assert isinstance(making, Generator)
    making.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_one_is_in_serves_as_long_as_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make(Path())
    assert digest(tmp_path / "here") == digest(make(tmp_path / "there"))


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    cases: list[tuple[Path, dict[str, int], str]] = [
        (tmp_path / "used", {}, "used is already there"),
        (tmp_path / "file", {}, "file is already there"),
        (tmp_path / "file" / "new", {}, "cannot write .*new: (Not a directory|File exists)"),
        (tmp_path / "new", {"images": 0}, "cannot make 0 pictures; give 10 to 100000"),
        (tmp_path / "new", {"size": 8}, "cannot draw 8 pixels wide; give 64 to 2048"),
    ]
    for folder, arguments, message in cases:
        with pytest.raises(CaptionerError, match=message):
            make(folder, **arguments)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine.txt", "used"]
