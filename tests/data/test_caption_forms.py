"""The caption files that people have, as they are, and what is wrong with some of them."""

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from captioner.data.caption_files import read_caption_file
from captioner.data.caption_json import write_coco
from captioner.errors import CaptionerError, CaptionerWarning

KAGGLE = """image,caption
1001_ab.jpg,A child in a red dress .
1001_ab.jpg,"A girl , smiling , goes in ."
2258_58.jpg.1,A rider .
"""
TOKENS = """1001_ab.jpg#0\tA child in a red dress .
1001_ab.jpg#1\tA girl , smiling , goes in .
2258_58.jpg.1#0\tA rider .
"""
FLICKR30K = """image_name| comment_number| comment
1001_ab.jpg| 0| A child in a red dress .
1001_ab.jpg| 1| A girl , smiling , goes in .
2258_58.jpg.1| 4   A rider .
"""
FLICKR = {
    "1001_ab.jpg": ("A child in a red dress .", "A girl , smiling , goes in ."),
    "2258_58.jpg.1": ("A rider .",),
}
LAVIS_TRAIN = [
    {"caption": "a dog", "image": "val2014/a.jpg", "image_id": "coco_0"},
    {"caption": "a wet dog", "image": "val2014/a.jpg", "image_id": "coco_0"},
]
LAVIS_VAL = [{"image": "val2014/a.jpg", "caption": ["a dog", "a wet dog"]}]
NEURALTALK = [{"file_path": "val2014/a.jpg", "id": 0, "captions": ["a dog", "a wet dog"]}]
HUGGING_FACE = '{"file_name": "val2014/a.jpg", "text": "a dog"}\n' * 1 + (
    '{"file_name": "val2014/a.jpg", "text": "a wet dog"}\n'
)


def read(folder: Path, name: str, content: Any, split: str = "train") -> dict[str, tuple[str, ...]]:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return {record.file_name: record.captions for record in read_caption_file(file, split).records}


@pytest.mark.parametrize(
    ("name", "text"),
    [("captions.txt", KAGGLE), ("Flickr8k.token.txt", TOKENS), ("results.csv", FLICKR30K)],
)
def test_flickr_in_three_forms(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text) == FLICKR


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coco_karpathy_train.json", LAVIS_TRAIN),
        ("coco_karpathy_val.json", LAVIS_VAL),
        ("coco_raw.json", NEURALTALK),
        ("metadata.jsonl", HUGGING_FACE),
        ("lines.json", HUGGING_FACE),
        ("semicolons.csv", "image;caption\nval2014/a.jpg;a dog\nval2014/a.jpg;a wet dog\n"),
        ("tabs.tsv", "image\tcaption\nval2014/a.jpg\ta dog\nval2014/a.jpg\ta wet dog\n"),
        ("spaces.csv", 'image, caption\nval2014/a.jpg, "a dog"\nval2014/a.jpg, a wet dog\n'),
    ],
)
def test_one_picture_with_two_captions_in_every_form(
    tmp_path: Path, name: str, content: Any
) -> None:
    assert read(tmp_path, name, content) == {"val2014/a.jpg": ("a dog", "a wet dog")}


def test_ids_of_captions_are_not_those_of_pictures(tmp_path: Path) -> None:
    lines = (
        '{"id": 7, "image": "a.jpg", "caption": "a"}\n{"id": 8, "image": "a.jpg", "caption": "b"}\n'
    )
    assert read(tmp_path, "a.jsonl", lines) == {"a.jpg": ("a", "b")}
    (tmp_path / "raw.json").write_text(json.dumps(NEURALTALK))
    assert read_caption_file(tmp_path / "raw.json").records[0].image_id == 0


def test_texts_beside_the_pictures(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.txt").write_text("a man with a camera\n\na man\n")
    (tmp_path / "sub" / "b.txt").write_text("a [1] dog")
    (tmp_path / "readme.txt").write_text("from my holidays")
    with pytest.warns(CaptionerWarning, match="1 texts have no picture .*: readme.txt"):
        records = read_caption_file(tmp_path).records
    assert {record.file_name: record.captions for record in records} == {
        "a.jpg": ("a man with a camera", "a man"),
        "sub/b.png": ("a [1] dog",),
    }
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(CaptionerError, match="a.txt: belongs to .*a.jpg, .*a.png"):
        read_caption_file(tmp_path)


def test_other_files_beside_a_picture_and_its_text_do_not_count(tmp_path: Path) -> None:
    # As tools that download pictures leave them: 000.jpg, 000.txt and 000.json.
    for name in ("000.jpg", "000.json", "000.npz"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "000.txt").write_text("a dog")
    (tmp_path / "001.json").write_text("{}")
    (tmp_path / "001.txt").write_text("a cat, of which there is no picture")
    with pytest.warns(CaptionerWarning, match="1 texts have no picture .*: 001.txt"):
        [record] = read_caption_file(tmp_path).records
    assert (record.file_name, record.captions) == ("000.jpg", ("a dog",))


def test_a_text_belongs_to_the_picture_of_its_whole_stem(tmp_path: Path) -> None:
    for name, caption in (("photo", "a dog"), ("photo.1", "a cat")):
        (tmp_path / f"{name}.jpg").touch()
        (tmp_path / f"{name}.txt").write_text(caption)
    captions = {record.file_name: record.captions for record in read_caption_file(tmp_path).records}
    assert captions == {"photo.jpg": ("a dog",), "photo.1.jpg": ("a cat",)}
    (tmp_path / "photo.jpg").unlink()
    with pytest.warns(CaptionerWarning, match="1 texts have no picture beside them.*photo.txt"):
        assert [r.file_name for r in read_caption_file(tmp_path).records] == ["photo.1.jpg"]


def test_json_lines_from_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "captions.jsonl"  # it can be read only once
    os.mkfifo(pipe)
    text = '{"image": "a.jpg", "caption": "a dog"}\n'
    writer = threading.Thread(target=pipe.write_text, args=[text], daemon=True)
    writer.start()
    assert [record.captions for record in read_caption_file(pipe).records] == [("a dog",)]


@pytest.mark.parametrize("rare", ["\u2028", "\x0b", "\x0c", "\x85"])
def test_only_line_ends_end_a_line(tmp_path: Path, rare: str) -> None:
    caption = f"a dog{rare}runs"
    found = [
        read(tmp_path, "a.token.txt", f"a.jpg#0\t{caption}\n"),
        read(
            tmp_path, "results.csv", f"image_name| comment_number| comment\na.jpg| 0| {caption}\n"
        ),
        read(tmp_path, "a.csv", f"image,caption\na.jpg,{caption}\n"),
    ]
    assert found == [{"a.jpg": (caption,)}] * 3
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "a.jpg").write_bytes(b"")
    (tmp_path / "beside" / "a.txt").write_text(f"{caption}\n")
    assert read_caption_file(tmp_path / "beside").records[0].captions == (caption,)


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.jsonl"])
def test_json_lines_of_one_line(tmp_path: Path, name: str) -> None:
    for field in ("image", "file_path", "image_name"):
        line = json.dumps({field: "a.jpg", "caption": "a dog"})
        assert read(tmp_path, name, f"{line}\n") == {"a.jpg": ("a dog",)}


def test_a_picture_without_a_name_in_json(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="record 1: expected"):
        read(tmp_path, "a.json", [{"image": " ", "caption": "a dog"}])


def test_a_folder_as_hugging_face_has_it(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "a man"}\n')
    [record] = read_caption_file(tmp_path).records
    assert (record.file_name, record.captions) == ("a.jpg", ("a man",))


def test_a_split_column_is_obeyed(tmp_path: Path) -> None:
    rows = "image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,validation\nc.jpg,a cow,train\n"
    assert set(read(tmp_path, "a.csv", rows)) == {"a.jpg", "c.jpg"}
    assert set(read(tmp_path, "a.csv", rows, "val")) == {"b.jpg"}
    with pytest.raises(CaptionerError, match="split 'test'; its splits are train, validation"):
        read(tmp_path, "a.csv", rows, "test")
    with pytest.raises(CaptionerError, match="a.jpg appears with two ids or in two splits"):
        read(tmp_path, "a.csv", rows + "a.jpg,a wet dog,validation\n")
    lines = '{"image": "a.jpg", "caption": "a", "split": "train"}\n{"image": "b", "caption": "a"}\n'
    with pytest.raises(CaptionerError, match="1 pictures have no split, others have one: b"):
        read(tmp_path, "a.jsonl", lines)


def test_a_split_in_cocos_form_is_obeyed(tmp_path: Path) -> None:
    splits = {"a.jpg": "train", "b.jpg": "val", "c.jpg": "restval"}
    images = [
        {"id": number, "file_name": name, "split": split}
        for number, (name, split) in enumerate(splits.items())
    ]
    said = [{"image_id": number, "caption": "a dog"} for number in range(3)]
    for content in ({"images": images, "annotations": said}, {"images": images}):
        assert set(read(tmp_path, "a.json", content)) == {"a.jpg", "c.jpg"}
        assert set(read(tmp_path, "a.json", content, "val")) == {"b.jpg"}


@pytest.mark.parametrize("header", ['"image","caption"', " image , caption", "Image;Caption"])
def test_a_header_is_recognised_whatever_the_file_is_called(tmp_path: Path, header: str) -> None:
    mark = ";" if ";" in header else ","
    assert read(tmp_path, "a.txt", f"{header}\na.jpg{mark}a dog\n") == {"a.jpg": ("a dog",)}


def test_an_empty_split_column_is_none(tmp_path: Path) -> None:
    rows = "image,caption,split\na.jpg,a dog,\n"
    assert read(tmp_path, "a.csv", rows) == {"a.jpg": ("a dog",)}
    with pytest.raises(CaptionerError, match="1 pictures have no split, others have one: a.jpg"):
        read(tmp_path, "a.csv", rows + "b.jpg,a cat,train\n")


def test_splits_may_have_a_year(tmp_path: Path) -> None:
    rows = "image,caption,split\na.jpg,a dog,train2014\nb.jpg,a cat,val2014\n"
    assert set(read(tmp_path, "a.csv", rows)) == {"a.jpg"}
    assert set(read(tmp_path, "a.csv", rows, "val")) == {"b.jpg"}


def test_splits_of_other_names_are_said(tmp_path: Path) -> None:
    rows = "image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,fold3\n"
    with pytest.warns(CaptionerWarning, match="splits fold3 are never read"):
        assert set(read(tmp_path, "a.csv", rows)) == {"a.jpg"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('1.jpg,"a red square\n2.jpg,a green square\n', "line 2: .*double quote too many"),
        (
            '1.jpg,a\n2.jpg,"a red square\n3.jpg,a green square\n4.jpg,a blue" square\n',
            "line 3: .*double quote too many",
        ),
        ('1.jpg,"a red\n2.jpg,a green"\n3.jpg,a\n', r"goes over several lines.*\(line 2\)"),
        ("1.jpg,nan\n2.jpg,a\n3.jpg,NaN\n", r"'nan' as a caption.*\(line 2\)"),
        ("1.jpg,\"['a', 'b']\"\n", r"a list of texts as one caption \(line 2\)"),
        ('1.jpg,"[\'a\', ""it\'s""]"\n', r"a list of texts as one caption \(line 2\)"),
        ("1.jpg,a,b\n", "line 2: 3 columns where the header has 2"),
        ("1.jpg,a dog\n,a cat\nnan,a cow\n", r"'' as the name of a picture.*\(line 3\)"),
        ("NaN,a dog\n", r"'NaN' as the name of a picture.*\(line 2\)"),
    ],
)
def test_bad_rows_are_one_line_each(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(CaptionerError, match=f"a.csv.*{message}") as error:
        read(tmp_path, "a.csv", "image,caption\n" + rows)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "header", ['"image","caption"', "image, caption", "Image;Caption", "file_path\tcaption"]
)
def test_tables_under_any_name(tmp_path: Path, header: str) -> None:
    row = re.sub("image|file_path", "a.jpg", header.lower()).replace("caption", "a dog")
    assert read(tmp_path, "captions.txt", f"{header}\n{row}\n") == {"a.jpg": ("a dog",)}


def test_rows_of_nothing_but_separators_do_not_count(tmp_path: Path) -> None:
    rows = "image,caption,split\na.jpg,a dog,train\n,,\n , ,\n"
    assert read(tmp_path, "a.csv", rows) == {"a.jpg": ("a dog",)}


def test_headers_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="two columns are called caption"):
        read(tmp_path, "a.csv", "image,caption,caption\na.jpg,a dog,a cat\n")
    with pytest.warns(CaptionerWarning, match="column 1 of the header has no name"):
        found = read(tmp_path, "a.csv", ",image,caption\n0,a.jpg,a dog\n")
    assert found == {"a.jpg": ("a dog",)}


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"id": [1], "image_id": 1, "caption": "a dog"}],
}


@pytest.mark.parametrize("more", [{"categories": []}, {"categories": None}, {"licenses": 5}, {}])
def test_coco_with_more_than_captions_need(tmp_path: Path, more: dict[str, Any]) -> None:
    assert read(tmp_path, "a.json", COCO | more) == {"a.jpg": ("a dog",)}


def test_ids_as_numbers_in_one_list_and_texts_in_the_other(tmp_path: Path) -> None:
    mixed = COCO | {"images": [{"id": "1", "file_name": "a.jpg"}]}
    assert read(tmp_path, "a.json", mixed) == {"a.jpg": ("a dog",)}


def test_one_id_as_a_number_and_as_a_text_is_one(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": "1", "file_name": "b.jpg"}]
    content = {"images": images, "annotations": [{"image_id": 1, "caption": "a dog"}]}
    with pytest.raises(CaptionerError, match="two pictures have the same id: 1; give each its own"):
        read(tmp_path, "a.json", json.dumps(content))


def test_every_form_becomes_cocos(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text(KAGGLE)
    counts = write_coco(read_caption_file(tmp_path / "captions.txt"), tmp_path / "coco.json")
    assert counts == (2, 3)
    written = read_caption_file(tmp_path / "coco.json").records
    assert {record.file_name: record.captions for record in written} == FLICKR
    assert [record.image_id for record in written] == [1, 2]
