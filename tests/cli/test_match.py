"""captioner match: given captions, the best fitting first."""

import json
from pathlib import Path

import pytest
from PIL import Image

from captioner import Captioner


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_captions_come_best_first_with_their_shares(command, tiny_checkpoint: Path) -> None:
    Image.new("RGB", (64, 64), "red").save("a.png")
    captions = ["a cat on a table", "dog", "a red xqz"]
    fits = Captioner.load(tiny_checkpoint).match("a.png", captions)
    best_first = sorted(fits, key=lambda fit: -fit.share)
    status, out, err = command("match", "a.png", *captions, "--checkpoint", tiny_checkpoint)
    assert status == 0
    assert [line.split("\t")[2] for line in out.splitlines()] == [fit.text for fit in best_first]
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        f"{fit.share:.3f}" for fit in best_first
    ]
    assert "unknown to the model in 'a red xqz': xqz" in err
    _, out, _ = command("match", "a.png", *captions, "--json", "--checkpoint", tiny_checkpoint)
    assert [json.loads(line)["caption"] for line in out.splitlines()] == [
        fit.text for fit in best_first
    ]


def test_what_cannot_be_matched_is_one_line(command, tiny_checkpoint: Path) -> None:
    Image.new("RGB", (64, 64), "red").save("a.png")
    Image.new("RGB", (64, 64), "blue").save("b.png")
    for path, message in (("gone.png", "no such file: gone.png"), (".", ". is 2 pictures")):
        status, out, err = command("match", path, "a cat", "--checkpoint", tiny_checkpoint)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err
    status, out, err = command("match", "a.png", "a cat", "b.png", "--checkpoint", tiny_checkpoint)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'b.png' is a file where a caption should be" in err
