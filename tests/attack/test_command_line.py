"""Names, words and answers that a terminal would obey, and paths that lead nowhere or for ever."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import make_picture

from captioner import cli
from captioner.cli.printable import printable
from captioner.cli.sources import list_pictures
from captioner.errors import CaptionerError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["captioner", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a dog\tand\na cat\r", r"a dog\tand\na cat\r"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("gnp.\u202ejpg\u2028", r"gnp.\u202ejpg\u2028"),
        ("été/日本\\x👩\u200d💻 \udce9", "été/日本\\x👩\u200d💻 \udce9"),
    ],
)
def test_only_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


NAMES = ("red\x1b[31m.png", "a\tb.png", "c\nd.png")


def test_names_cannot_break_a_line_or_a_column(run: Run, tiny_checkpoint: Path) -> None:
    for name in NAMES:
        Path(name).write_bytes(make_picture(1))
    Path("broken\x1b[2J\n.png").write_bytes(b"none")
    for command in (["caption", "."], ["ask", ".", "is it red?"]):
        status, out, err = run(*command, "--checkpoint", str(tiny_checkpoint))
        lines = [line.split("\t") for line in out.rstrip("\n").split("\n")]
        assert [columns[0] for columns in lines] == [r"a\tb.png", r"c\nd.png", r"red\x1b[31m.png"]
        assert [len(columns) for columns in lines] == [2, 2, 2]
        assert status == 1 and err.count("\n") == 1 and "\x1b" not in err
    status, out, _ = run("caption", ".", "--json", "--checkpoint", str(tiny_checkpoint))
    assert {json.loads(line)["image"] for line in out.splitlines()} > set(NAMES)


def test_words_and_errors_cannot_reach_the_terminal(
    run: Run, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from captioner import api

    def hostile(*arguments: object, **more: object) -> object:
        return replace(to_caption(*arguments, **more), text="a \x1b[31mred\ndog")

    to_caption = api.to_caption
    Path("a.png").write_bytes(make_picture(1))
    monkeypatch.setattr(api, "to_caption", hostile)
    _, out, _ = run("caption", "a.png", "--checkpoint", str(tiny_checkpoint))
    assert out == "a \\x1b[31mred\\ndog\n"
    status, _, err = run("caption", "\x1bc\nno.png")
    assert status == 2 and err == "captioner: error: no such file: \\x1bc no.png\n"


def test_an_empty_path_is_not_the_current_folder(run: Run) -> None:
    Path("a.png").write_bytes(make_picture(1))
    for arguments in (
        ["caption", ""],
        ["ask", "", "is it red?"],
        ["attend", "", "--output", "o.gif"],
    ):
        status, out, err = run(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "a PATH is empty" in err


def test_a_pipe_is_not_waited_for(run: Run) -> None:
    os.mkfifo("pipe.png")
    status, _, err = run("caption", "pipe.png")
    assert (status, err.count("\n")) == (2, 1) and "pipe.png is a pipe or a device" in err
    with pytest.raises(CaptionerError, match="no pictures in this folder"):
        list_pictures(["."])


def test_links_that_lead_back_are_not_followed(run: Run) -> None:
    """With two such links in a folder, there are a million million paths."""
    Path("a/b").mkdir(parents=True)
    for name in ("a/x.png", "a/b/y.png"):
        Path(name).write_bytes(make_picture(1))
    for link in ("a/one", "a/two", "a/b/three"):
        Path(link).symlink_to(Path("a").absolute(), target_is_directory=True)
    both = ["a/b/y.png", "a/x.png"]
    for pattern in ("**/*.png", "a/**/*.png", "**", "a/**", "*/**/*.png", "**/**/*.png", "."):
        assert sorted(map(str, list_pictures([pattern]))) == both
    assert [str(path) for path in list_pictures(["**/b/*.png"])] == ["a/b/y.png"]
    inside = str(Path("a/**/x.png").absolute())
    assert list_pictures([inside]) == [Path("a/x.png").absolute()]


def test_what_training_says_cannot_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from captioner.cli.train import _Screen

    with _Screen(silent=False) as screen:
        screen.note("stage a\x1b[2J\nepoch 9")
        screen.progress("encoding\x1b]0;x\x07", 1, 2, "loss\r1")
        line = screen.line
    assert capsys.readouterr().err == "stage a\\x1b[2J\\nepoch 9\n"
    assert line.startswith("encoding\\x1b]0;x\\x07 1/2") and line.endswith("loss\\r1")


def test_what_training_says_cannot_reach_a_terminal_with_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from captioner.cli.train import _Screen

    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes what is not a terminal for one
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _Screen(silent=False) as screen:
        assert screen.bar is not None
        screen.note("stage a\x1b]0;x\x07")
        screen.progress("encoding [bold]\x1b]0;x\x07", 1, 2, "")
    assert "\x1b]0" not in capsys.readouterr().err
