"""captioner caption and captioner attend, with a model of random weights: everything around it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner, cli
from captioner.metrics.result_files import read_results

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Run, tiny_checkpoint: Path) -> Run:
    """Run the command line with the tiny checkpoint: exit status, stdout, stderr."""
    return lambda *arguments: command(*arguments, "--checkpoint", tiny_checkpoint)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three different pictures and, between them, one that is none."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(3)
    Path("photos").mkdir()
    brightest = {"a.png": (255, 60, 10), "c.png": (60, 255, 255), "d.png": (5, 5, 5)}
    for name, colour in brightest.items():
        pixels = (noise.random((40, 60, 3)) * colour).astype(np.uint8)
        Image.fromarray(pixels).save(f"photos/{name}")
    Path("photos/b.jpg").write_text("not a picture")
    return Path("photos")


def test_captions_beside_their_pictures(run, photos):
    (photos / "c.txt").write_text("mine")
    status, out, err = run("caption", photos, "--write-txt")
    assert status == 1  # b.jpg is no picture
    said = dict(line.split("\t") for line in out.splitlines())
    for name in ("a", "d"):
        assert (photos / f"{name}.txt").read_text() == said[f"photos/{name}.png"] + "\n"
    assert (photos / "c.txt").read_text() == "mine" and "c.txt is already there" in err
    assert "photos/c.png" in said and not (photos / "b.txt").exists()
    status, out, err = run("caption", "-", "--write-txt")
    assert (status, out) == (2, "") and "- is no file" in err


def test_one_picture_gives_its_caption_alone(run, photos, tiny_checkpoint):
    status, out, err = run("caption", photos / "a.png")
    assert (status, err) == (0, "")
    assert out == Captioner.load(tiny_checkpoint).caption(photos / "a.png").text + "\n"


def test_several_give_paths_and_captions_and_one_that_fails_stops_none(run, photos):
    status, out, err = run("caption", photos)
    assert status == 1
    lines = [line.split("\t") for line in out.splitlines()]
    assert [path for path, _ in lines] == ["photos/a.png", "photos/c.png", "photos/d.png"]
    assert [text for _, text in lines] == [
        run("caption", path)[1].rstrip("\n") for path, _ in lines
    ]
    assert len({text for _, text in lines}) == 3
    assert err.startswith("captioner: error: photos/b.jpg is not a picture")
    assert err.count("\n") == 1


def test_the_batch_size_changes_nothing(run, photos):
    assert run("caption", photos, "--batch-size", 1) == run("caption", photos, "--batch-size", 3)


def test_texts_have_no_place_beside_what_is_no_file(run):
    status, out, err = run("caption", "--write-txt", "http://127.0.0.1:9/a.jpg")
    assert (status, out) == (2, "")
    assert err == (
        "captioner: error: --write-txt writes beside pictures, and http://127.0.0.1:9/a.jpg is "
        "no file\n"
    )


def test_json_gives_every_picture_its_line(run, photos, tiny_checkpoint):
    status, out, err = run("caption", "--json", photos)
    assert (status, err) == (1, "")
    first, second, *_ = records = [json.loads(line) for line in out.splitlines()]
    assert [Path(record["image"]).name for record in records] == [
        "a.png",
        "b.jpg",
        "c.png",
        "d.png",
    ]
    assert set(second) == {"image", "error"}
    best = Captioner.load(tiny_checkpoint).caption(photos / "a.png")
    [said] = first["captions"]
    assert said["text"] == best.text == " ".join(word["word"] for word in said["words"])
    assert said["log_probability"] == pytest.approx(best.log_probability, abs=1e-4)
    assert all(0 < word["probability"] <= 1 for word in said["words"])


def test_a_table_has_the_captions_that_json_has_and_is_scored_as_it_is(run, photos):
    status, out, err = run("caption", "photos", "--csv", "--confidence")
    assert status == 1 and "b.jpg" in err
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["image", "caption", "confidence"]
    _, lines, _ = run("caption", "photos", "--json")
    records = [json.loads(line) for line in lines.splitlines()]
    said = {record["image"]: record["captions"][0] for record in records if "captions" in record}
    assert {row[0]: row[1] for row in rows[1:]} == {name: c["text"] for name, c in said.items()}
    assert [float(row[2]) for row in rows[1:]] == pytest.approx(
        [best["confidence"] for best in said.values()], abs=1e-4
    )
    for name, content in (("said.csv", out), ("said.jsonl", lines)):
        Path(name).write_text(content)
        expected = {picture: best["text"] for picture, best in said.items()}
        assert read_results(Path(name)) == expected
    status, _, err = run("caption", "photos", "--csv", "--json")
    assert status == 2 and "--csv and --json are two forms" in err


def test_several_captions_come_best_first(run, photos):
    _, out, _ = run("caption", photos / "a.png", "--num-captions", 3, "--json")
    captions = json.loads(out)["captions"]
    assert len({caption["text"] for caption in captions}) == 3
    chances = [caption["log_probability"] for caption in captions]
    assert chances == sorted(chances, reverse=True)
    _, plain, _ = run("caption", photos / "a.png", "--num-captions", 3)
    assert plain.splitlines() == [caption["text"] for caption in captions]


def test_words_are_drawn_the_same_with_the_same_seed(run, photos):
    drawn = {
        seed: run("caption", photos / "a.png", "--sample", "--temperature", 3, "--seed", seed)[1]
        for seed in range(4)
    }
    assert len(set(drawn.values())) > 1
    assert (
        drawn[2] == run("caption", photos / "a.png", "--sample", "--temperature", 3, "--seed", 2)[1]
    )


def test_decoding_not_asked_for_is_the_checkpoints_own(run, photos):
    """The tiny checkpoint was stored with captions of at most 7 words."""
    _, seven, _ = run("caption", photos / "a.png", "--block-ngrams", 0)
    _, two, _ = run("caption", photos / "a.png", "--max-words", 2)
    assert len(seven.split()) <= 7
    assert len(two.split()) <= 2
    assert (
        run("caption", photos / "a.png", "--max-words", 7)[1] == run("caption", photos / "a.png")[1]
    )


def test_a_picture_from_standard_input(run, photos, monkeypatch):
    content = (photos / "a.png").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run("caption", "-") == run("caption", photos / "a.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], "no such file: gone.png"),
        (["photos/b.jpg"], "photos/b.jpg is not a picture"),
        (["photos/*.tif"], "matches no file"),
        (["photos/a.png", "--num-captions", "9", "--beam-size", "2"], "beam_size only 2"),
        (["photos/a.png", "--sample", "--temperature", "0"], "temperature is 0"),
        (["photos/a.png", "--seed", "0", "--top-k", "5"], "--top-k, --seed only counts with"),
        (["photos/a.png", "--device", "abacus"], "device 'abacus'"),
    ],
)
def test_nothing_to_caption_is_one_line_and_status_2(run, photos, arguments, message):
    status, out, err = run("caption", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("captioner: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["caption"], ["attend", "--output", "maps.png"]])
def test_a_single_missing_file_is_found_out_before_anything_is_loaded(
    run, photos, monkeypatch, arguments
):
    monkeypatch.setitem(sys.modules, "captioner.api", None)  # importing it now would fail
    status, out, err = run(*arguments, "gone.png")
    assert (status, out, err) == (2, "", "captioner: error: no such file: gone.png\n")


def test_in_json_a_single_missing_file_is_a_line_like_any_other(run, photos):
    status, out, err = run("caption", "--json", "gone.png")
    assert (status, err) == (1, "")
    assert json.loads(out) == {"image": "gone.png", "error": "no such file: gone.png"}


def test_a_checkpoint_that_is_none(run, photos, monkeypatch, capsys):
    argv = ["captioner", "caption", "photos/a.png", "--checkpoint", "photos/b.jpg"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "photos/b.jpg" in capsys.readouterr().err


def test_captions_come_one_by_one_and_a_reader_who_leaves_is_no_error(photos, tiny_checkpoint):
    """The first line is there long before the last, and `| head -1` ends it without a word."""
    many = Path("many")
    many.mkdir()
    content = (photos / "a.png").read_bytes()
    for number in range(400):
        (many / f"{number:03}.png").write_bytes(content)
    script = "from captioner.cli import main; main()"
    command = [sys.executable, "-c", script, "caption", str(many), "--batch-size", "2"]
    process = subprocess.Popen(
        [*command, "--checkpoint", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith("many/000.png\t")
    assert process.poll() is None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) != 0


def test_names_that_are_not_utf8_come_out_as_they_are(photos, tiny_checkpoint):
    odd = os.fsencode("photos") + b"/\xff.png"
    with open(odd, "wb") as file:
        file.write((photos / "a.png").read_bytes())
    script = "from captioner.cli import main; main()"
    command = [sys.executable, "-c", script, "caption", odd, "photos/a.png"]
    done = subprocess.run(
        [*command, "--checkpoint", tiny_checkpoint],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.stderr == b""
    assert done.stdout.startswith(odd + b"\t")


def test_attend_saves_the_arrays_of_the_caption_it_prints(run, photos, tiny_checkpoint):
    status, out, err = run("attend", photos / "a.png", "--output", "maps.npz")
    best = Captioner.load(tiny_checkpoint).caption(photos / "a.png")
    assert (status, err.count("\n")) == (0, 1)
    assert (
        f"maps.npz: {len(best.words)} maps, one per word; mean probability {best.confidence:.2f}"
        in (err)
    )
    assert out == best.text + "\n"
    with np.load("maps.npz") as saved:
        assert saved["words"].tolist() == best.text.split()
        np.testing.assert_allclose(saved["weights"], best.attention, atol=1e-6)


def test_attend_explores_several_pictures_and_passes_over_what_is_none(run, photos):
    status, out, err = run("attend", photos, "--output", "explorer.html", "--num-captions", 2)
    assert (status, err.count("\n")) == (1, 2)
    assert "photos/b.jpg is not a picture" in err
    assert err.splitlines()[1].startswith("wrote explorer.html: 3 pictures, 1 left out; next: ")
    page = Path("explorer.html").read_text()
    shown = json.loads(re.search(r'type="application/json">(.*?)</script>', page)[1])
    said = [(one["name"], caption["text"]) for one in shown for caption in one["captions"]]
    assert [tuple(line.split("\t")) for line in out.splitlines()] == said
    assert len(said) == 6
    assert page.count("data:image/jpeg;base64,") == 3


def test_attend_plays_the_words(run, photos):
    _, out, _ = run("attend", photos / "a.png", "--output", "maps.gif")
    with Image.open("maps.gif") as played:
        assert (played.format, played.n_frames) == ("GIF", len(out.split()))


def test_attend_needs_an_explorer_for_several_captions(run, photos):
    status, _, err = run("attend", photos / "a.png", "--output", "m.png", "--num-captions", 2)
    assert status == 2
    assert "--num-captions 2: m.png holds one; use .html" in err


@pytest.mark.parametrize("output", ["maps.npz", "maps.html"])
def test_attend_has_no_answer_where_the_checkpoint_has_none(
    photos, output, captions_checkpoint, monkeypatch, capsys
):
    given = ["attend", "photos/a.png", "--question", "is it a dog?", "--output", output]
    checkpoint = ["--checkpoint", str(captions_checkpoint)]
    monkeypatch.setattr(sys, "argv", ["captioner", *given, *checkpoint])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "has no answer head" in capsys.readouterr().err
    assert not Path(output).exists()


def test_attend_shows_where_it_looked_for_an_answer(run, photos, tiny_checkpoint):
    question = "what color is the dog?"
    answer = Captioner.load(tiny_checkpoint).answer(photos / "a.png", question)
    for name in ("maps.npz", "maps.gif", "maps.png", "maps.html"):
        status, out, err = run("attend", photos / "a.png", "--question", question, "--output", name)
        assert (status, out) == (0, answer.text + "\n")
        assert err.startswith(f"wrote {name}: ") and err.count("\n") == 1
    with np.load("maps.npz") as saved:
        assert saved["words"].tolist() == ["glimpse 1", "glimpse 2"]
        np.testing.assert_allclose(saved["weights"], answer.attention, atol=1e-6)
    page = Path("maps.html").read_text()
    [shown] = json.loads(re.search(r'type="application/json">(.*?)</script>', page)[1])
    assert [one["text"] for one in shown["answers"]] == [answer.text]
    assert len(shown["captions"]) == 1


def test_attend_saves_a_panel(run, photos):
    assert run("attend", photos / "a.png", "--output", "MAPS.PNG")[0] == 0
    with Image.open("MAPS.PNG") as panel:
        assert panel.format == "PNG"


@pytest.mark.parametrize(
    ("picture", "output", "message"),
    [
        ("photos/a.png", "maps.pdf", r"maps.pdf.*\.html, \.png, \.gif or \.npz"),
        ("photos/a.png", "maps", r"\.gif or \.npz"),
        ("photos/a.png", "nowhere/maps.png", "no folder nowhere"),
        ("photos", "maps.png", "expected a single picture"),
        ("photos/*.png", "maps.gif", "expected a single picture for .gif; .html takes several"),
        ("photos/b.jpg", "maps.html", "photos/b.jpg is not a picture"),
        ("photos/b.jpg", "maps.png", "photos/b.jpg is not a picture"),
        ("gone.png", "maps.png", "no such file: gone.png"),
    ],
)
def test_attend_says_what_is_wrong_and_writes_nothing(run, photos, picture, output, message):
    status, out, err = run("attend", picture, "--output", output)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_the_installed_command_captions_the_samples_from_any_folder(tmp_path):
    """With the checkpoint that ships, and nothing of the clone on the path."""
    clone = Path(__file__).parents[2]
    if not (clone / "checkpoints" / "default.safetensors").exists():
        pytest.skip("this clone holds no checkpoint")
    command = Path(sys.executable).with_name("captioner")
    if not command.exists():
        pytest.skip("captioner is not installed")
    done = subprocess.run(
        [command, "caption", clone / "data" / "samples"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert "1 files are not pictures and are left out, such as README.md" in done.stderr
    assert done.stderr.count("\n") == 1
    said = dict(line.split("\t") for line in done.stdout.splitlines())
    captions = {Path(path).stem: text for path, text in said.items()}
    assert len(captions) == 5
    assert "cat" in captions["chelsea"].split()
    assert "camera" in captions["camera"].split()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_ends_it_at_once_without_a_word(tmp_path: Path, times: int) -> None:
    sample = Path(__file__).parents[2] / "data" / "samples" / "chelsea.jpg"
    for number in range(400):
        shutil.copy(sample, tmp_path / f"{number}.jpg")
    # Where a shell started the tests in the background, Ctrl-C would be ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from captioner.cli import main; main()"
    started = subprocess.Popen(
        [sys.executable, "-c", code, "caption", str(tmp_path), "--batch-size", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    with started:
        assert started.stdout is not None and started.stderr is not None
        assert started.stdout.readline()
        for _ in range(times):
            started.send_signal(signal.SIGINT)
            time.sleep(0.05)
        errors = started.stderr.read()
        assert started.wait(timeout=60) == 130
    assert "Traceback" not in errors and "terminate" not in errors
