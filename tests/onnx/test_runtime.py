"""ONNX Runtime and torch on the same weights: the same captions, maps and answers."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import make_picture, save_tiny_checkpoint

from captioner import Captioner, CaptionerError, cli
from captioner.config.settings import DecodingConfig, ModelConfig
from captioner.data.vocabulary import CharacterVocabulary
from captioner.decoding.alternatives import find_alternatives
from captioner.files import default_checkpoint

pytest.importorskip("onnxruntime")

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "samples").glob("*.jpg"))
DECODINGS = {
    "greedy": DecodingConfig(beam_size=1, max_words=9),
    "beam": DecodingConfig(beam_size=4, num_captions=3, max_words=9, block_ngrams=2),
    "penalty": DecodingConfig(beam_size=3, length_penalty=1.0, max_words=5, block_ngrams=1),
    "sample": DecodingConfig(sample=True, num_captions=7, temperature=0.8, max_words=6, seed=6),
    "top": DecodingConfig(sample=True, num_captions=4, top_k=40, top_p=0.8, seed=2**32 - 1),
}


@pytest.fixture(scope="module")
def torchs() -> Captioner:
    return Captioner.load(device="cpu")


@pytest.fixture(scope="module")
def ours() -> Captioner:
    return Captioner.load(runtime="onnx")


@pytest.mark.parametrize("name", DECODINGS)
def test_searches_find_the_same_captions(torchs: Captioner, ours: Captioner, name: str) -> None:
    decoding = DECODINGS[name]
    found, expected = (model.caption(SAMPLES, decoding=decoding) for model in (ours, torchs))
    several = decoding.num_captions > 1
    for groups in zip(found, expected, strict=True):
        for own, one in zip(*(groups if several else ([g] for g in groups)), strict=True):
            assert own.text == one.text
            assert own.log_probability == pytest.approx(one.log_probability, abs=1e-4)
            assert own.confidence == pytest.approx(one.confidence, abs=1e-5)
            np.testing.assert_allclose(own.attention, one.attention, atol=1e-5)
            assert own.attention.dtype == one.attention.dtype == np.float32


def test_batches_equal_single_pictures(ours: Captioner) -> None:
    together = ours.caption(SAMPLES, batch_size=3)
    assert [caption.text for caption in together] == [ours.caption(one).text for one in SAMPLES]


def test_alternatives_are_the_same(torchs: Captioner, ours: Captioner) -> None:
    words = []
    for model in (ours, torchs):
        features = model.encode(SAMPLES[:3])
        captions = [best for best, *_ in model.caption_features(features, model.decoding)]
        rows = range(3)
        others = find_alternatives(model.runtime, features, captions, rows, model.decoding)
        words.append([[[other.word for other in word] for word in one] for one in others])
    assert words[0] == words[1]


def test_answers_and_looks_are_the_same(torchs: Captioner, ours: Captioner) -> None:
    questions = ["what is this?", "is there a dog in the picture?", "color?", "Zweck und Ziel"]
    asked = [(picture, questions) for picture in SAMPLES[:3]]
    found, expected = (
        list(model.answer_each(asked, top=4, batch_size=2)) for model in (ours, torchs)
    )
    for (_, own), (_, theirs) in zip(found, expected, strict=True):
        for answer, other in zip(own[:3], theirs[:3], strict=True):
            assert [one.text for one in answer.top] == [one.text for one in other.top]
            assert answer.probability == pytest.approx(other.probability, abs=1e-5)
            np.testing.assert_allclose(answer.attention, other.attention, atol=1e-5)
        assert str(own[3]) == str(theirs[3])  # the question of which no word is known


TORCH_FREE = """
import sys
from captioner.cli import run
status = run(sys.argv[1:])
assert "torch" not in sys.modules and "torchvision" not in sys.modules
raise SystemExit(status)
"""


def run_without_torch(*arguments: object) -> str:
    command = [sys.executable, "-c", TORCH_FREE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_do_not_import_torch(ours: Captioner, tmp_path: Path) -> None:
    picture = SAMPLES[0]
    text = ours.caption(picture).text + "\n"
    on_processor = ("--device", "cpu")  # so that a GPU of the machine does not count
    assert run_without_torch("caption", picture, *on_processor) == text
    answered = run_without_torch("ask", picture, "what is this?", "--runtime", "onnx")
    assert answered == ours.answer(picture, "what is this?").text + "\n"
    page = tmp_path / "explorer.html"
    assert run_without_torch("attend", picture, "--output", page, *on_processor) == text
    assert page.stat().st_size > 10_000


SERVE = """
import sys
from fastapi.testclient import TestClient
from captioner import Captioner, cli
from captioner.serve.app import create_app
with TestClient(create_app(Captioner.load(runtime="onnx")), base_url="http://localhost") as client:
    with open(sys.argv[1], "rb") as picture:
        reply = client.post("/api/caption", files={"image": picture})
print(reply.json()["captions"][0]["text"])
assert "torch" not in sys.modules
"""


def test_the_server_does_not_import_torch(ours: Captioner) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    command = [sys.executable, "-c", SERVE, str(SAMPLES[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == ours.caption(SAMPLES[0]).text + "\n", done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny checkpoint with its graphs, in another folder than it was made in."""
    pytest.importorskip("onnxscript")
    file = tmp_path_factory.mktemp("made") / "tiny.safetensors"
    folder = tmp_path_factory.mktemp("exported") / "graphs"
    save_tiny_checkpoint(file)
    assert cli.run(["export", str(file), "--output", str(folder)]) == 0
    yield folder / "tiny.safetensors"


def test_an_exported_checkpoint_captions_as_before(exported: Path) -> None:
    pictures = [make_picture(seed) for seed in range(4)]
    ours, torchs = Captioner.load(exported, runtime="onnx"), Captioner.load(exported, "cpu")
    decoding = replace(torchs.decoding, beam_size=40, num_captions=40, max_words=3)
    for own, one in zip(
        ours.caption(pictures, decoding=decoding),
        torchs.caption(pictures, decoding=decoding),
        strict=True,
    ):
        assert [caption.text for caption in own] == [caption.text for caption in one]


@pytest.mark.parametrize(
    "kind", [{"attention": "none"}, {"attention": "additive", "top_down": True, "sentinel": True}]
)
def test_models_of_other_kinds_are_exported(kind: dict[str, Any], tmp_path: Path) -> None:
    """Those that write characters as well; each graph takes batches of any size."""
    pytest.importorskip("onnxscript")
    import torch

    from captioner.model.captioning_model import CaptioningModel
    from captioner.model.checkpoint import Checkpoint, save
    from captioner.onnx.export import export

    torch.manual_seed(3)
    config = ModelConfig(
        encoder="mobilenet_v2",
        encoder_stage="features.1",
        image_size=32,
        feature_size=14,
        attention_heads=1,
        cell="gru",
        layers=2,
        tokens="character",
        embedding_size=13,
        hidden_size=17,
        **kind,
    )
    model = CaptioningModel(config, CharacterVocabulary(["a", "b", " "])).eval()
    save(Checkpoint(model, {}, DecodingConfig(max_words=2)), tmp_path / "odd.safetensors")
    written = export(tmp_path / "odd.safetensors", tmp_path)
    assert [file.name for file in written] == [
        *(f"odd.{name}.onnx" for name in ("encoder", "start", "step")),
        "odd.graphs.json",
    ]
    pictures = [make_picture(seed) for seed in range(3)]
    ours, torchs = (
        Captioner.load(tmp_path / "odd.safetensors", "cpu", runtime=name).caption(pictures)
        for name in ("onnx", "torch")
    )
    assert [one.text for one in ours] == [one.text for one in torchs]
    with pytest.raises(CaptionerError, match="has no answer head"):
        Captioner.load(tmp_path / "odd.safetensors", runtime="onnx").answer(pictures[0], "a dog?")


def test_the_bundled_graphs_belong_to_the_bundled_checkpoint() -> None:
    from captioner.onnx.graph_files import graph_file, read_graphs

    about = read_graphs(default_checkpoint())
    assert about["opset"] == 18
    sizes = [graph_file(default_checkpoint(), name).stat().st_size for name in about["graphs"]]
    assert len(sizes) == 4 and sum(sizes) < 500_000  # the weights are in the checkpoint
