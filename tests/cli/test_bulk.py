"""captioner bulk in one process: sources, outputs, restarts, and input that is wrong."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import make_picture

from captioner import Captioner
from captioner.files import exclusive_lock
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel

Run = Callable[..., tuple[int, str, str]]
NAMES = [f"{letter}.png" for letter in "abcde"]


@pytest.fixture
def run(command: Run, tiny_checkpoint: Path, tmp_path: Path, monkeypatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("bulk", *arguments, "--checkpoint", tiny_checkpoint)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures, of which c.png is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        (folder / name).write_bytes(b"none" if name == "c.png" else make_picture(seed))
    return folder


@pytest.fixture
def captions(photos: Path, tiny_checkpoint: Path) -> dict[str, str]:
    """What captioner says of each of them that it can read."""
    model = Captioner.load(tiny_checkpoint, "cpu")
    return {name: model.caption(photos / name).text for name in NAMES if name != "c.png"}


def rows_of(output: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for file in sorted(output.glob("part-*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def assert_captions(rows: list[dict[str, object]], captions: dict[str, str]) -> None:
    """Every picture once, in order, with its own caption, and c.png with its error."""
    assert [str(row["picture"])[-5:] for row in rows] == NAMES
    for row in rows:
        name = str(row["picture"])[-5:]
        assert row["caption"] == captions.get(name)
        assert (row["error"] is None) == (row["confidence"] is not None) == (name in captions)


def write_tar(file: Path, photos: Path) -> None:
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as tar:
        for name in NAMES:
            for member, content in (
                (f"x/{name}", (photos / name).read_bytes()),
                (f"x/{name[0]}.json", b"{}"),
                (f"x/._{name}", b"macOS's own"),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def test_a_folder_in_parts_of_two(run, photos, captions):
    status, out, err = run("photos", "--output", "out", "--pictures-per-part", 2)
    assert (status, out) == (1, "out\n")  # c.png is none
    assert err.endswith("out: 5 pictures, 1 of them unreadable\n")
    files = sorted(path.name for path in Path("out").glob("part*"))
    assert files == [f"part-0000000{number}.jsonl" for number in range(3)]
    rows = rows_of(Path("out"))
    assert_captions(rows, captions)
    assert rows[0]["picture"] == "photos/a.png"
    assert "not a picture" in str(rows[2]["error"])


def test_a_restart_captions_only_what_is_not_there(run, photos, captions):
    run("photos", "--output", "out", "--pictures-per-part", 2)
    Path("out/part-00000000.jsonl").write_text("kept\n")
    Path("out/part-00000002.jsonl").unlink()
    Path("out/.part-00000002.jsonl.partial").write_text("of a killed run")
    status, _, err = run("photos", "--output", "out", "--pictures-per-part", 2)
    assert (status, "2 of 3 parts are done already" in err) == (0, True)
    assert Path("out/part-00000000.jsonl").read_text() == "kept\n"
    last = json.loads(Path("out/part-00000002.jsonl").read_text())
    assert (last["picture"], last["caption"]) == ("photos/e.png", captions["e.png"])
    assert not list(Path("out").glob("*.partial"))


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_shards_are_a_part_each(run, photos, captions, ending):
    for number in range(2):
        write_tar(Path(f"s{number}.{ending}"), photos)
    run("s{0..1}." + ending, "--output", "out")
    rows = rows_of(Path("out"))
    assert [row["picture"] for row in rows[4:6]] == [f"s0.{ending}/x/e.png", f"s1.{ending}/x/a.png"]
    assert_captions(rows[:5], captions)
    assert_captions(rows[5:], captions)


def test_a_list_names_pictures_from_its_own_folder(run, photos, captions, tmp_path, monkeypatch):
    (photos / "list.txt").write_text("".join(f"{name}\n\n" for name in NAMES))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run("../photos/list.txt", "--output", "out")
    rows = rows_of(Path("out"))
    assert_captions(rows, captions)
    assert rows[0]["picture"] == "a.png"


@pytest.mark.parametrize("column", ["bytes", "path", "image"])
def test_parquet_with_bytes_paths_or_hugging_faces_pictures(run, photos, captions, column):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    contents = [(photos / name).read_bytes() for name in NAMES]
    values = {
        "bytes": contents,
        "path": [f"photos/{name}" for name in NAMES],
        "image": [{"bytes": content, "path": "p"} for content in contents],
    }[column]
    table = pyarrow.table({"label": NAMES, column: values})
    parquet.write_table(table, "set.parquet", row_group_size=2)
    status, _, _ = run("set.parquet", "--output", "out", "--format", "parquet")
    files = sorted(Path("out").glob("*.parquet"))
    assert (status, len(files)) == (1, 3)
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    if column != "path":
        assert [row["picture"] for row in rows] == [f"set.parquet#{number}" for number in range(5)]
        rows = [row | {"picture": name} for row, name in zip(rows, NAMES, strict=True)]
    assert_captions(rows, captions)


def test_a_store_that_fsspec_reaches(run, photos, captions):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    write_tar(Path("s.tar"), photos)
    store.pipe_file("/bulk/s.tar", Path("s.tar").read_bytes())
    for name in NAMES:
        store.pipe_file(f"/bulk/photos/{name}", (photos / name).read_bytes())
    store.pipe_file("/bulk/photos/list.txt", "\n".join(NAMES).encode())
    for number, source in enumerate(("*.tar", "photos", "photos/list.txt")):
        run(f"memory://bulk/{source}", "--output", f"memory://bulk/out{number}")
        content = store.cat_file(f"/bulk/out{number}/part-00000000.jsonl").decode()
        assert_captions([json.loads(line) for line in content.splitlines()], captions)
    status, _, err = run("memory://bulk/photos", "--output", "memory://bulk/out1")
    assert (status, "1 of 1 parts are done already" in err) == (0, True)


def test_a_name_that_is_not_utf8_is_kept(run, photos, captions):
    name = os.fsdecode(b"photos/\xe9.png")
    os.rename("photos/a.png", name)
    run("photos", "--output", "out")
    assert {row["picture"]: row["caption"] for row in rows_of(Path("out"))}[name] == captions[
        "a.png"
    ]
    parquet = pytest.importorskip("pyarrow.parquet")
    run("photos", "--output", "table", "--format", "parquet")
    rows = parquet.read_table("table/part-00000000.parquet").to_pylist()
    assert {row["picture"]: row["caption"] for row in rows}["photos/\\udce9.png"] == captions[
        "a.png"
    ]


@pytest.mark.parametrize("kept", [0.5, 1024], ids=["in a picture", "between two members"])
def test_a_shard_cut_short_gives_what_it_has_and_says_so(run, photos, captions, kept):
    write_tar(Path("good.tar"), photos)
    with tarfile.open("good.tar") as tar:
        second = tar.getmembers()[3]  # b.png
    content = Path("good.tar").read_bytes()
    end = second.offset_data + second.size // 2 if kept == 0.5 else second.offset
    Path("cut.tar").write_bytes(content[:end])
    status, _, err = run("{cut,good}.tar", "--output", "out")
    rows = rows_of(Path("out"))
    assert status == 1
    assert [row["picture"] for row in rows[:2]] == ["cut.tar/x/a.png", "cut.tar"]
    assert "cut short after 1 pictures" in str(rows[1]["error"])
    assert err.count("error:") == 1 and "cut short after 1 pictures" in err
    assert_captions(rows[2:], captions)
    assert "6 pictures, 1 of them unreadable, 1 parts damaged" in err


def test_a_shard_that_is_not_there_now_is_tried_again(run, photos, captions):
    write_tar(Path("good.tar"), photos)
    status, _, err = run("{gone,good}.tar", "--output", "out")
    assert status == 1 and "no such file" in err
    assert_captions(rows_of(Path("out")), captions)
    assert not Path("out/part-00000000.jsonl").exists()
    write_tar(Path("gone.tar"), photos)
    run("{gone,good}.tar", "--output", "out")
    assert len(rows_of(Path("out"))) == 10


def test_a_damaged_parquet_file_leaves_the_others(run, photos, captions):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = pyarrow.table({"path": [f"photos/{name}" for name in NAMES]})
    parquet.write_table(table, "good.parquet")
    Path("bad.parquet").write_bytes(Path("good.parquet").read_bytes()[:-20])
    status, _, err = run("*.parquet", "--output", "out")
    assert status == 1 and "bad.parquet" in err and "1 parts damaged" in err
    assert_captions(rows_of(Path("out"))[1:], captions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "gone: expected a folder of pictures, a list of them (.txt), .parquet"),
        (["gone/*.tar"], "gone/*.tar: matches no file"),
        (["empty"], "empty: no pictures in this folder"),
        (["empty.txt"], "empty.txt: an empty list"),
        (["photos", "--column", "image"], "--column image is of a Parquet file"),
        (["photos", "--format", "csv"], "--format is 'csv'; expected jsonl or parquet"),
        (["photos", "--engine", "dask"], "--engine is 'dask'; expected local or ray"),
        (["photos", "--workers", "2"], "are for --engine ray"),
        (["nowhere://bucket/a.tar"], "nowhere://bucket/a.tar cannot be read (Protocol not known"),
    ],
)
def test_a_source_that_is_none_is_one_line(run, photos, arguments, message):
    Path("empty").mkdir()
    Path("empty.txt").write_text("\n")
    status, out, err = run(*arguments, "--output", "out")
    assert status in (1, 2) and message in err
    assert err.count("error:") == 1 and "Traceback" not in err


def test_a_schema_without_pictures_names_its_columns(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.table({"label": ["a"], "number": [1]}), "set.parquet")
    status, _, err = run("set.parquet", "--output", "out")
    assert status == 2 and "no column of pictures among label, number; expected one of" in err
    status, _, err = run("set.parquet", "--output", "out", "--column", "number")
    assert status == 2 and "column number holds int64; expected bytes, paths or addresses" in err


def test_a_folder_of_another_run_is_left_alone(run, photos):
    run("photos", "--output", "out")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    for arguments, message in (
        (["photos", "--beam-size", 1], "its decoding.beam_size is"),
        (["photos", "--pictures-per-part", 3], "its pictures per part is 1000, here 3"),
        (["photos/*.png"], "its source is 'photos', here 'photos/*.png'"),
    ):
        status, _, err = run(*arguments, "--output", "out")
        assert status == 2 and message in err
    (photos / "f.png").write_bytes(make_picture(9))
    status, _, err = run("photos", "--output", "out")
    assert status == 2 and "pictures were added to the source or taken from it" in err
    assert before == {path: path.read_bytes() for path in Path("out").iterdir()}
    status, _, err = run("photos", "--output", "photos")
    assert status == 2 and "photos holds other files, such as a.png" in err


def test_two_runs_do_not_work_in_one_folder(run, photos):
    run("photos", "--output", "out")
    Path("out/part-00000000.jsonl").unlink()
    with exclusive_lock(Path("out/.lock"), wait=False):
        status, _, err = run("photos", "--output", "out")
    assert status == 2 and "another run is at work here" in err


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("ray", ["photos", "--engine", "ray"], "--engine ray needs the extra cluster"),
        ("pyarrow", ["photos", "--format", "parquet"], "--format parquet needs the extra cluster"),
        ("pyarrow", ["set.parquet"], "set.parquet is a Parquet file, which needs the extra"),
        ("fsspec.core", ["memory://bulk/a.tar"], "is not on this machine, which needs the extra"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(
    run, photos, monkeypatch, package, arguments, message
):
    Path("set.parquet").touch()
    monkeypatch.setitem(sys.modules, package, None)
    if package == "pyarrow":
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    status, _, err = run(*arguments, "--output", "out")
    assert status in (1, 2) and message in err and "pip install '.[cluster]'" in err
    assert err.count("error:") == 1


def test_a_folder_needs_no_extra(run, photos, captions, monkeypatch):
    for package in ("ray", "pyarrow", "pyarrow.parquet", "fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, package, None)
    run("photos", "--output", "out")
    assert_captions(rows_of(Path("out")), captions)


def test_a_checkpoint_that_only_answers_is_refused(command, photos, tiny_checkpoint, tmp_path):
    loaded = checkpoint.load(tiny_checkpoint)
    words, answers = loaded.model.question_vocabulary, loaded.model.answer_texts
    model = CaptioningModel(loaded.model.config, None, words, answers)
    checkpoint.save(checkpoint.Checkpoint(model, {}, loaded.decoding), tmp_path / "answers")
    status, _, err = command(
        "bulk", photos, "--output", tmp_path / "out", "--checkpoint", tmp_path / "answers"
    )
    assert status == 2 and err.count("error:") == 1 and not (tmp_path / "out").exists()
