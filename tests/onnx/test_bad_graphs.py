"""Graphs that cannot be used: one line that says why, and torch instead where none is asked for."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner import Captioner, CaptionerError
from captioner.errors import CaptionerWarning
from captioner.files import default_checkpoint
from captioner.model.checkpoint import add_score
from captioner.onnx.graph_files import description_file, graph_file

onnxruntime = pytest.importorskip("onnxruntime")

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "camera.jpg"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the bundled checkpoint and its graphs."""
    for file in default_checkpoint().parent.glob("default.*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "default.safetensors"


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def change(checkpoint: Path, **changes: object) -> None:
    """Change the description of a checkpoint's graphs."""
    file = description_file(checkpoint)
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another checkpoint": (
        lambda file: add_score(file, {"set": "mine", "values": {"BLEU-4": 0.2}}),
        "do not belong together",
    ),
    "a flipped bit": (lambda file: flip_a_bit(graph_file(file, "encoder")), "one is damaged"),
    "a lost graph": (lambda file: graph_file(file, "step").unlink(), "cannot be read"),
    "half a description": (
        lambda file: description_file(file).write_text('{"format_version": 1, "graphs": {'),
        "graphs.json: damaged",
    ),
    "a newer format": (lambda file: change(file, format_version=7), "graphs of format 7"),
    "no graphs": (lambda file: change(file, graphs={}), "not whole"),
    "another grid": (lambda file: change(file, grid=[9, 10]), "not whole"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_unusable_graphs_leave_the_work_to_torch(copied: Path, damage: str) -> None:
    do, expected = DAMAGES[damage]
    do(copied)
    with pytest.raises(CaptionerError, match=expected) as refused:
        Captioner.load(copied, runtime="onnx")
    assert "captioner export" in str(refused.value) and "\n" not in str(refused.value)
    with pytest.warns(CaptionerWarning, match="with torch instead"):
        model = Captioner.load(copied, "cpu", runtime=None)
    assert model.model.decoder is not None
    assert model.caption(SAMPLE).text == "a man in a black jacket is holding a camera"


def test_a_graph_that_onnxruntime_refuses(copied: Path) -> None:
    graph_file(copied, "encoder").write_bytes(b"no graph")
    graphs = json.loads(description_file(copied).read_text())["graphs"]
    change(copied, graphs=graphs | {"encoder": graphs["encoder"] | {"crc32": "1576a61b"}})
    with pytest.raises(CaptionerError, match="onnxruntime cannot load it"):
        Captioner.load(copied, runtime="onnx")


def test_without_graphs(tiny_checkpoint: Path) -> None:
    with pytest.raises(CaptionerError, match="no ONNX graphs beside it; write them with captioner"):
        Captioner.load(tiny_checkpoint, runtime="onnx")
    assert Captioner.load(tiny_checkpoint, "cpu", runtime=None).model.decoder is not None


def test_an_onnxruntime_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.9.0")
    with pytest.raises(CaptionerError, match=r"onnxruntime is 1\.9\.0, expected 1\.20 or newer"):
        Captioner.load(runtime="onnx")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CaptionerError, match="need the extra onnx: pip install"):
        Captioner.load(runtime="onnx")


def test_what_only_torch_can_do() -> None:
    with pytest.raises(CaptionerError, match="runtime onnx computes on device cpu, not on cuda"):
        Captioner.load(device="cuda", runtime="onnx")
    with pytest.raises(CaptionerError, match="runtime is 'tpu'; expected 'torch' or 'onnx'"):
        Captioner.load(runtime="tpu")
    with pytest.raises(CaptionerError, match='load the checkpoint with runtime="torch"'):
        Captioner.load(runtime="onnx").match(SAMPLE, ["a cat", "a dog"])


def test_a_gpu_leaves_the_choice_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.onnx.runtime.may_have_gpu", lambda: True)
    assert Captioner.load(runtime=None).model.decoder is not None


def test_a_model_that_torch_cannot_export_is_named(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    import torch

    from captioner.onnx.export import export

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("unsupported operator\nmany more lines")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(CaptionerError) as refused:
        export(tiny_checkpoint, tmp_path)
    assert "the encoder of this model (encoder mobilenet_v2)" in str(refused.value)
    assert "unsupported operator" in str(refused.value) and "\n" not in str(refused.value)


def test_a_graph_that_computes_something_else_is_not_kept(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    from captioner.onnx import export

    monkeypatch.setattr(export, "_trace", lambda graph, encoder: None)
    bundled = graph_file(default_checkpoint(), "start").read_bytes()
    monkeypatch.setattr(export.WeightsOf, "refer", lambda *_: bundled)
    shutil.copy(default_checkpoint(), tmp_path)  # to whose weights that graph refers
    with pytest.raises(CaptionerError, match="computes something else than torch"):
        export.export(tiny_checkpoint, tmp_path)
    assert not list(tmp_path.glob("*.onnx")) and not list(tmp_path.glob("*.json"))


def test_export_without_its_packages(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from captioner.onnx.export import export

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(CaptionerError, match=r"pip install 'captioner\[onnx-export\]'"):
        export(tiny_checkpoint, tmp_path)
