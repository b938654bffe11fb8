"""captioner info: the same as loading the checkpoint says, without loading it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner.data.vocabulary import SPECIAL_TOKENS
from captioner.files import default_checkpoint
from captioner.model import checkpoint
from captioner.model.description import read_description

Run = Callable[..., tuple[int, str, str]]


def test_the_bundled_checkpoint(command: Run) -> None:
    status, out, errors = command("info", "--json")
    assert (status, errors) == (0, "")
    record = json.loads(out)
    loaded = checkpoint.load(default_checkpoint())
    model = loaded.model
    assert record["parameters"] == sum(part.numel() for part in model.parameters())
    assert record["bytes"] == default_checkpoint().stat().st_size
    assert record["caption_words"] == len(model.caption_parts()[1]) - len(SPECIAL_TOKENS)
    assert record["answers"] == len(model.answer_texts)
    assert record["decoding"] == vars(loaded.decoding)
    assert record["scores"] == loaded.scores and record["data"] == loaded.data
    page = command("info")[1]
    for score in loaded.scores:
        assert score["set"] in page and score.get("signature", "") in page
    for text in ("not commercial", "289 x 289", "33.0 MB", "43,593 sentences", "torch 2"):
        assert text in page


def test_another_checkpoint_and_the_folder_of_a_run(
    command: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "best.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    pages = [command("info", path)[1].splitlines() for path in (tiny_checkpoint, tmp_path)]
    assert pages[0][1:] == pages[1][1:]
    assert any(line.startswith("scores        none recorded") for line in pages[0])
    assert any(line.startswith("licence       not recorded") for line in pages[0])


def test_captions_alone(command: Run, captions_checkpoint: Path) -> None:
    names = [line.split()[0] for line in command("info", captions_checkpoint)[1].splitlines()]
    assert "captions" in names and "questions" not in names


def test_neither_torch_nor_numpy_is_loaded() -> None:
    script = (
        "import sys; from captioner.cli import run\n"
        "assert run(['info']) == 0\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True)


def header(**tensors: object) -> bytes:
    content = json.dumps(tensors).encode()
    return len(content).to_bytes(8, "little") + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable .safetensors checkpoint"),
        (b"not a checkpoint at all", "not a readable .safetensors checkpoint"),
        (header(a={"shape": [2]}), "not a captioner checkpoint"),
        (header(__metadata__={"captioner": "[]"}), "not a captioner checkpoint"),
        (header(__metadata__={"captioner": "{}"}), "description of itself is damaged"),
        (header(__metadata__={"captioner": '{"model": 1}'}), "description of itself is damaged"),
    ],
)
def test_a_file_that_is_none(command: Run, tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file.safetensors"
    file.write_bytes(content)
    status, out, errors = command("info", file)
    assert (status, out, errors.count("\n")) == (2, "", 1)
    assert message in errors and str(file) in errors


def test_values_of_a_stranger_cannot_reach_the_terminal(
    command: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file.safetensors"
    about = read_description(tiny_checkpoint).about
    about["versions"] = {"captioner": "\x1b[31m"}
    file.write_bytes(header(__metadata__={"captioner": json.dumps(about)}))
    status, out, _ = command("info", file)
    assert status == 0 and "\x1b" not in out and r"\x1b[31m" in out
