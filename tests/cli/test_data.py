"""captioner data, as a user meets it: what it prints, where, and with which exit status."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from captioner.cli.data import app
from captioner.data import coco_download
from captioner.errors import CaptionerError

REAL = Path(__file__).parents[3] / "shared" / "data"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / f"{name}.png")
    return folder


def write(file: Path, rows: str) -> Path:
    file.write_text(f"image,caption\n{rows}", encoding="utf-8")
    return file


def test_check_of_a_clean_set(tmp_path: Path, images: Path) -> None:
    captions = write(tmp_path / "own.csv", "a.png,A cat!\na.png,the cat's hat\nb.png,two cats\n")
    result = run("check", "--images", images, "--captions", captions)
    assert result.exit_code == 0
    lines = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines())
    assert lines == {
        "pictures": "2",
        "pictures without captions": "0",
        "captions": "3",
        "different words": "7",  # a cat the cat's hat two cats
        "words in the longest caption": "3",
        "words that will be known": "7",
        "unknown words, per cent": "0.0",
        "captions of unknown words": "0",
        "missing pictures": "0",
        "found without their folder": "0",
        "ambiguous names": "0",
        "also held out": "0",
        "captions without spaces": "0",
        "unreadable pictures": "0",
        "duplicate pictures": "0",
        "empty captions": "0",
        "unknown image ids": "0",
    }


def test_check_finds_every_problem(tmp_path: Path, images: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "broken.jpg").write_bytes((images / "a.png").read_bytes()[:40])
    (more / "twin.png").write_bytes((images / "a.png").read_bytes())
    names = ["a.png", "b.png", "broken.jpg", "gone.png", "twin.png", "c.png"]
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": 0, "caption": "a cat"},
            {"image_id": 1, "caption": " ... "},
            {"image_id": 2, "caption": "a dog"},
            {"image_id": 3, "caption": "a cow"},
            {"image_id": 4, "caption": "a cat again"},
            {"image_id": 99, "caption": "who?"},
        ],
    }
    (tmp_path / "captions.json").write_text(json.dumps(content))
    arguments = ("--images", images, "--images", more, "--captions", tmp_path / "captions.json")
    result = run("check", *arguments, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    (unreadable,) = report.pop("unreadable")
    assert "broken.jpg" in unreadable
    assert report == {
        "pictures": 6,
        "pictures_without_captions": 1,
        "captions": 5,
        "vocabulary": 5,
        "longest_caption": 3,
        "known_words": 5,
        "unknown_share": 0.0,
        "commonest_unknown": [],
        "captions_without_known": 0,
        "missing": ["gone.png"],
        "partly": [],
        "ambiguous": [],
        "held_out": [],
        "unspaced": [],
        "duplicates": [["a.png", "twin.png"]],
        "empty_captions": ["b.png"],
        "unknown_ids": [99],
    }
    result = run("check", *arguments)
    assert result.exit_code == 1
    assert "    a.png = twin.png\n" in result.stdout


def test_check_names_a_picture_that_stands_twice(tmp_path: Path, images: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "caption": "a cat"}],
    }
    (tmp_path / "captions.json").write_text(json.dumps(content))
    result = run("check", "--images", images, "--captions", tmp_path / "captions.json", "--json")
    assert json.loads(result.stdout)["duplicates"] == [["a.png", "a.png"]]


def test_check_compares_with_held_out_pictures_and_known_words(
    tmp_path: Path, images: Path, tiny_checkpoint: Path
) -> None:
    (images / "twin.png").write_bytes((images / "a.png").read_bytes())
    captions = write(tmp_path / "own.csv", "a.png,a red fox\nb.png,ein Hund\n")
    held_out = write(tmp_path / "val.csv", "twin.png,a cat\n")
    options = ("--val-captions", held_out, "--start-from", tiny_checkpoint, "--json")
    result = run("check", "--images", images, "--captions", captions, *options)
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["held_out"] == ["a.png"]  # the same content under another name
    assert report["commonest_unknown"] == ["ein", "fox", "hund"]
    assert (report["unknown_share"], report["captions_without_known"]) == (3 / 5, 1)


def test_check_says_which_held_out_pictures_it_did_not_find(tmp_path: Path, images: Path) -> None:
    captions = write(tmp_path / "own.csv", "a.png,a cat\n")
    held_out = write(tmp_path / "val.csv", "b.png,a cat\nelsewhere.png,a dog\n")
    result = run("check", "--images", images, "--captions", captions, "--val-captions", held_out)
    assert "1 of its pictures were not found" in result.stderr and "elsewhere" in result.stderr
    assert result.exit_code == 0


def test_convert_writes_cocos_form_once(tmp_path: Path) -> None:
    captions = write(tmp_path / "own.csv", "a.png,a cat\na.png,two cats\nb.png,a dog\n")
    result = run("convert", captions, tmp_path / "coco.json")
    assert result.stdout == f"{tmp_path / 'coco.json'}: 3 captions of 2 pictures\n"
    written = json.loads((tmp_path / "coco.json").read_text())
    assert written["images"] == [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    assert run("convert", captions, tmp_path / "coco.json").exit_code != 0


def test_convert_says_which_split_it_wrote(tmp_path: Path) -> None:
    captions = tmp_path / "own.csv"
    captions.write_text("image,caption,split\na.png,a cat,train\nb.png,a dog,val\n")
    result = run("convert", "--split", "val", captions, tmp_path / "val.json")
    assert result.stdout == f"{tmp_path / 'val.json'}: 1 captions of 1 pictures in split val\n"


def test_convert_writes_nothing_of_a_file_without_pictures(tmp_path: Path) -> None:
    result = run("convert", write(tmp_path / "own.csv", ""), tmp_path / "coco.json")
    assert "own.csv: no pictures found" in str(result.exception)
    assert not (tmp_path / "coco.json").exists()


def test_check_names_few_of_many(tmp_path: Path, images: Path) -> None:
    captions = write(tmp_path / "own.csv", "".join(f"gone{n}.png,a cat\n" for n in range(9)))
    result = run("check", "--images", images, "--captions", captions)
    assert result.stdout.count("gone") == 3
    assert "... (--json names them all)" in result.stdout


def test_check_of_bad_input(tmp_path: Path, images: Path) -> None:
    captions = write(tmp_path / "own.csv", "a.png,a cat\n")
    for folder, file, message in (
        (tmp_path / "none", captions, "none is not a folder"),
        (images, tmp_path / "none.csv", "cannot read"),
        (images, images / "a.png", "not UTF-8"),
    ):
        result = run("check", "--images", folder, "--captions", file)
        assert isinstance(result.exception, CaptionerError)  # main() prints it and exits with 2
        assert message in str(result.exception)
        assert result.stdout == ""


def test_questions(tmp_path: Path, images: Path) -> None:
    colours = ("black", "white", "brown")
    rows = "".join(f"{n}.png,A {colours[n % 3]} dog runs .\n" * 5 for n in range(30))
    captions = write(tmp_path / "own.csv", rows)
    arguments = (
        "questions",
        "--captions",
        captions,
        "--output",
        tmp_path / "made",
        "--name",
        "val",
    )
    result = run(*arguments)
    assert result.exit_code == 0
    table = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in table] == ["kind", "objects", "number", "colour", "yes/no", "all"]
    assert table[3] == ["colour", "30", "3", "3", "0.333"]  # 10 of each colour
    assert table[4][4] == "0.500"
    questions = json.loads((tmp_path / "made" / "questions_val.json").read_text())
    assert len(questions["questions"]) == int(table[5][1])
    again = run(*arguments[:-1], "again", "--json")
    assert [row["questions"] for row in json.loads(again.stdout)] == [
        int(row[1]) for row in table[1:]
    ]
    first, second = (tmp_path / "made" / f"annotations_{name}.json" for name in ("val", "again"))
    assert first.read_text().replace('"val"', '"again"') == second.read_text()
    for more, message in (
        ((), "questions_val.json is already there"),
        (("--images", images), "own.csv: 30 of its pictures are not in"),
        (("--captions", tmp_path / "none.csv"), "cannot read"),
        (("--split", "dev"), "unknown split 'dev'"),
    ):
        result = run(*arguments, *more)
        assert isinstance(result.exception, CaptionerError)
        assert message in str(result.exception)
        assert result.stdout == ""


def test_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    result = run("shapes", folder, "--images", 10, "--seed", 3, "--size", 64)
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n")
    assert result.stderr.startswith("wrote 10 pictures ") and result.stderr.count("\n") == 1
    assert f"captioner train --config {folder / 'training.toml'} " in result.stderr
    for split in ("train", "val"):
        result = run(
            "check", "--images", folder / "images", "--captions", folder / f"captions_{split}.json"
        )
        assert result.exit_code == 0, result.stdout
    assert isinstance(run("shapes", folder).exception, CaptionerError)


def test_coco_prints_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download_coco(folder: Path, *, year: int, server: str, progress: object) -> None:
        calls.append((folder, year, server))
        assert callable(progress)
        for done in range(0, 1001):
            progress("downloading a.zip", done * 1_000_000, 1_000_000_000)

    monkeypatch.setattr(coco_download, "download_coco", download_coco)
    result = run("coco", tmp_path, "--year", 2017, "--from", "http://127.0.0.1:1")
    assert calls == [(tmp_path, 2017, "http://127.0.0.1:1")]
    assert result.stdout == f"{tmp_path}\n"
    assert result.stderr == ""  # it took no time
    run("coco", tmp_path)
    assert calls[1] == (tmp_path, 2014, coco_download.COCO_SERVER)


@pytest.mark.skipif(not REAL.exists(), reason="wants the real photographs beside the project")
def test_check_of_real_photographs() -> None:
    images = REAL / "coco" / "images"
    result = run("check", "--images", images, "--captions", REAL / "coco" / "captions_val.json")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["pictures", "1017"]


def test_shard_packs_what_check_and_convert_then_read(tmp_path: Path, images: Path) -> None:
    captions = write(tmp_path / "own.csv", "a.png,a cat\nb.png,two cats\nb.png,cats\nc.png,no\n")
    shards, back = tmp_path / "shards", tmp_path / "back.json"
    result = run("shard", images, captions, shards, "--pictures-per-shard", 2)
    assert (result.exit_code, result.stdout) == (0, f"{shards}\n")
    assert sorted(file.name for file in shards.glob("*.tar")) == [
        "shard-000000.tar",
        "shard-000001.tar",
    ]
    assert run("check", "--images", shards, "--captions", shards).exit_code == 0
    run("convert", shards, back)
    texts = [record["caption"] for record in json.loads(back.read_text())["annotations"]]
    assert texts == ["a cat", "two cats", "cats", "no"]
    assert "is already there" in str(run("shard", images, captions, shards).exception)
