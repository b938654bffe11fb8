"""Caption files of all forms say the same; a wrong one is one line with what and where."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.data.box_files import read_instances
from captioner.data.caption_files import READERS, read_captions
from captioner.data.caption_source import CaptionSource
from captioner.errors import CaptionerError

REAL = Path(__file__).parents[3] / "shared" / "data"

COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}],
    "annotations": [
        {"id": 1, "image_id": 3, "caption": "a hat"},
        {"id": 2, "image_id": 7, "caption": "two cats, one dog"},
        {"id": 3, "image_id": 3, "caption": " ein Hut über Wasser "},
    ],
}
KARPATHY: dict[str, Any] = {
    "images": [
        {"filename": "b.png", "imgid": 7, "split": "train", "sentences": [{"raw": "cats"}]},
        {"filename": "a.png", "imgid": 3, "split": "restval", "sentences": [{"raw": "a hat"}]},
        {"filename": "c.png", "imgid": 4, "split": "val", "sentences": [{"raw": "no"}]},
    ]
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write_file(name: str, content: Any) -> Path:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_file


Write = Callable[[str, Any], Path]


def test_coco(images: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = read_captions(write("captions.json", COCO), [images])
    assert (first.path, first.image_id) == (images / "b.png", 7)
    assert first.captions == ("two cats, one dog",)
    assert (second.path, second.image_id) == (images / "a.png", 3)
    assert second.captions == ("a hat", "ein Hut über Wasser")
    assert capsys.readouterr().out == ""  # pycocotools prints; results alone belong on stdout


def test_a_large_file_is_recognised_without_a_copy_of_its_text(write: Write) -> None:
    captions = [{"image_id": 3, "caption": f"{number} hats, of felt"} for number in range(9999)]
    file = write("captions.json", COCO | {"annotations": captions})
    source = CaptionSource(file)
    source.parsed_json()
    tracemalloc.start()
    recognised = [reader.name for reader in READERS if reader.recognises(source)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recognised[0] == "COCO's JSON"
    assert peak < file.stat().st_size


def test_karpathy_splits(images: Path, write: Write) -> None:
    file = write("dataset.json", KARPATHY)
    assert [picture.image_id for picture in read_captions(file, [images])] == [7, 3]
    assert [picture.image_id for picture in read_captions(file, [images], "val")] == [4]
    with pytest.raises(CaptionerError, match="no pictures in its split 'test'"):
        read_captions(file, [images], "test")
    with pytest.raises(CaptionerError, match="unknown split 'valid'; expected one of train, val"):
        read_captions(file, [images], "valid")


def test_karpathy_coco_names_the_folder_and_the_coco_id(images: Path, write: Write) -> None:
    (images / "val2014").mkdir()
    (images / "c.png").rename(images / "val2014" / "c.png")
    record = {
        "filepath": "val2014",
        "filename": "c.png",
        "cocoid": 391895,
        "imgid": 0,
        "split": "test",
        "sentences": [{"raw": "a man"}],
    }
    file = write("dataset_coco.json", {"images": [record], "dataset": "coco"})
    for folder in (images, images / "val2014"):  # the parent of val2014, or the folder itself
        (picture,) = read_captions(file, [folder], "test")
        assert picture.path == images / "val2014" / "c.png" and picture.image_id == 391895


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.csv", 'image,caption\nb.png,"two cats, one dog"\na.png,a hat\na.png,ein Hut über\n'),
        (
            "bom.csv",
            '\ufeffcaption,image\r\n"two cats, one dog",b.png\r\na hat,a.png\r\nein Hut über,a.png',
        ),
        (
            "own.jsonl",
            '{"image": "b.png", "caption": "two cats, one dog"}\n\n'
            '{"image": "a.png", "caption": "a hat"}\n{"image": "a.png", "caption": "ein Hut über"}',
        ),
        (
            "bom.jsonl",
            '\ufeff{"image": "b.png", "caption": "two cats, one dog", "by": "me"}\r\n'
            '{"image": "a.png", "caption": "a hat"}\r\n'
            '{"image": "a.png", "caption": "ein Hut über"}\r\n',
        ),
    ],
)
def test_tables(images: Path, write: Write, name: str, text: str) -> None:
    first, second = read_captions(write(name, text), [images])
    assert (first.image_id, first.captions) == ("b.png", ("two cats, one dog",))
    assert (second.path, second.captions) == (images / "a.png", ("a hat", "ein Hut über"))


def test_folders_are_searched_in_order(tmp_path: Path, images: Path, write: Write) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (images / "b.png").rename(other / "b.png")
    (other / "a.png").write_bytes(b"")
    pictures = read_captions(write("captions.json", COCO), [images, other])
    assert [picture.path for picture in pictures] == [other / "b.png", images / "a.png"]


def test_blank_captions_and_pictures_without_are_left_out(images: Path, write: Write) -> None:
    file = write("own.csv", "image,caption\na.png,  \nb.png,...\nb.png,a cat\nnone.png,-\n")
    (picture,) = read_captions(file, [images])
    assert picture.captions == ("a cat",)


def without(content: dict[str, Any], key: str, field: str) -> dict[str, Any]:
    first, *others = content[key]
    kept = {name: value for name, value in first.items() if name != field}
    return content | {key: [kept, *others]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "cannot read .*none.csv: No such file"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.json", [1], "not a caption file; expected .*JSON Lines, .*COCO's JSON"),
        ("a.json", {"annotations": 5}, "annotations is not a list"),
        (
            "a.json",
            without(COCO, "images", "file_name"),
            "1 pictures have no file_name: 7",
        ),
        (
            "a.json",
            without(COCO, "annotations", "caption"),
            "record 1 of annotations has no valid caption",
        ),
        ("a.json", COCO | {"images": COCO["images"] * 2}, "two pictures have the same id"),
        (
            "a.json",
            COCO | {"images": COCO["images"][:1]},
            "1 image ids have captions but no picture record: 3",
        ),
        ("a.json", COCO | {"annotations": []}, "no captions found"),
        ("a.json", without(KARPATHY, "images", "sentences"), "picture 1 is not in Karpathy's form"),
        (
            "a.json",
            {"images": ["a.png"]},
            "record 1 of images has no valid id",
        ),
        (
            "a.json",
            {"images": [KARPATHY["images"][0] | {"imgid": [1]}]},
            "picture 1 is not in Karpathy's form",
        ),
        ("a.json", {"images": KARPATHY["images"][:1] * 2}, "two pictures have the same id"),
        ("a.tsv", "a.png\ta hat\n", "expected a header with the columns image and caption"),
        ("a.csv", f"image,caption\n{'long ' * 99},a.png\n", "1 of its pictures are not in"),
        ("a.csv", "", "is empty; expected a header with the columns image"),
        ("a.csv", "a.png,a hat\n", "first line is 'a.png,a hat'; expected a header"),
        (
            "a.csv",
            "image,caption\na.png,a hat, red\n",
            "a.csv, line 2: . columns where the header has 2",
        ),
        ("a.csv", "image,caption\na.png\n", "a.csv, line 2: . columns where the header has 2"),
        ("a.csv", "image,caption\n", "no captions found"),
        ("a.jsonl", '{"image": "a.png"}\n', "a.jsonl, line 1: expected"),
        (
            "a.jsonl",
            '{"image": "a.png", "caption": "x"}\nhat\n',
            "a.jsonl, line 2: not JSON; it begins with .hat",
        ),
    ],
)
def test_wrong_files(images: Path, write: Write, name: str, content: Any, message: str) -> None:
    file = images / name if content is None else write(name, content)
    with pytest.raises(CaptionerError, match=message) as error:
        read_captions(file, [images])
    assert name in str(error.value) and "\n" not in str(error.value)


def test_not_utf8(images: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("image,caption\na.png,über\n".encode("latin-1"))
    with pytest.raises(CaptionerError, match="not UTF-8 text; save it as UTF-8"):
        read_captions(tmp_path / "a.csv", [images])


def test_missing_pictures_are_counted_and_named(images: Path, write: Write) -> None:
    rows = "".join(f"gone{number}.png,a cat\n" for number in range(5))
    file = write("own.csv", f"image,caption\na.png,a hat\n{rows}")
    with pytest.raises(
        CaptionerError, match=r"5 of its pictures are not in .*images: gone0.png, gone1.png, gone2"
    ):
        read_captions(file, [images])


def test_a_folder_that_is_not_there(tmp_path: Path, images: Path, write: Write) -> None:
    """Said as such, rather than that every picture is missing."""
    file = write("captions.json", COCO)
    for wrong in (tmp_path / "gone", file):
        with pytest.raises(CaptionerError, match=f"{wrong} is not a folder; expected one that"):
            read_captions(file, [images, wrong])


INSTANCES: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "b.png", "width": 40, "height": 20},
        {"id": 3, "file_name": "a.png", "width": 10, "height": 10},
    ],
    "categories": [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}],
    "annotations": [
        {"image_id": 7, "category_id": 6, "bbox": [4, 5, 10, 10]},
        {"image_id": 7, "category_id": 6, "bbox": [0, 0, 40, 20]},
    ],
}


def test_instances(images: Path, write: Write) -> None:
    file = write("instances.json", "\ufeff" + json.dumps(INSTANCES))
    (first, second), categories = read_instances(file, [images])
    assert (first.path, second.path) == (images / "b.png", images / "a.png")
    assert first.boxes == {6: [(0.1, 0.25, 0.25, 0.5), (0.0, 0.0, 1.0, 1.0)]}
    assert second.boxes == {}
    assert categories == {"cat": 5, "dog": 6}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ([], "not in the form of COCO's instances file"),
        (COCO, "not in the form of COCO's instances file .KeyError.'categories'"),
        (without(INSTANCES, "annotations", "bbox"), "KeyError.'bbox'"),
        (INSTANCES | {"images": INSTANCES["images"][1:]}, "KeyError.7"),
        (
            INSTANCES | {"images": [INSTANCES["images"][0] | {"file_name": "gone.png"}]},
            "1 of its pictures are not in .*images: gone.png",
        ),
    ],
)
def test_wrong_instances(images: Path, write: Write, content: Any, message: str) -> None:
    with pytest.raises(CaptionerError, match=message) as error:
        read_instances(write("instances.json", content), [images])
    assert "instances.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.skipif(not REAL.exists(), reason="wants the real photographs beside the project")
def test_karpathy_equals_coco_on_flickr8k() -> None:
    images = [REAL / "flickr8k" / "images"]
    for split, count in (("train", 6000), ("val", 1000)):
        coco = read_captions(REAL / "flickr8k" / f"captions_{split}.json", images)
        karpathy = read_captions(REAL / "flickr8k" / "dataset_flickr8k.json", images, split)
        assert len(coco) == count
        assert {p.image_id: p for p in coco} == {p.image_id: p for p in karpathy}
