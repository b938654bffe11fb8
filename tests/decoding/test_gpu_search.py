"""Captions and answers on a GPU that is not there: one copy to it and one back for each word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import CUDA, fake_gpu, move_to_gpu, recorded
from helpers import CPU, save_tiny_checkpoint

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END
from captioner.decoding.beam_search import search
from captioner.decoding.runtime import Floats
from captioner.decoding.torch_runtime import TorchRuntime
from captioner.model.checkpoint import load

PICTURES = 8


@pytest.fixture
def runtime(tmp_path: Path) -> TorchRuntime:
    save_tiny_checkpoint(tmp_path / "tiny.safetensors")
    model = load(tmp_path / "tiny.safetensors").model
    assert model.decoder is not None
    model.decoder.output_bias.data[END] += 8  # captions of many lengths
    return TorchRuntime(model, CPU)


def pixels() -> Floats:
    random = np.random.default_rng(2)
    colours = random.normal(size=(PICTURES, 3, 1, 1))
    return (colours + 0.5 * random.normal(size=(PICTURES, 3, 64, 64))).astype(np.float32)


@pytest.mark.parametrize(
    "search_settings",
    [
        {"beam_size": 1},
        {"beam_size": 3, "block_ngrams": 2},
        {"beam_size": 5, "num_captions": 3},
        {"sample": True, "num_captions": 4},
        {"sample": True, "num_captions": 3, "top_k": 5, "top_p": 0.8, "block_ngrams": 2},
    ],
    ids=["greedy", "beam", "several", "sampling", "truncated"],
)
def test_a_word_takes_one_copy_to_the_gpu_and_one_back(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch, search_settings: dict[str, Any]
) -> None:
    config = DecodingConfig(max_words=9, **search_settings)
    with recorded(monkeypatch) as words:
        expected = search(runtime.start(runtime.encode(pixels())), config)
    longest = max(len(caption.tokens) for group in expected for caption in group)
    assert longest <= len(words) <= 9
    assert len({len(array) for array in words}) > 1, "the rows never change in this test"
    with fake_gpu(monkeypatch, words) as watched:
        move_to_gpu(runtime.model)
        runtime.device = CUDA
        found = search(runtime.start(runtime.encode(pixels())), config)
    assert watched.to_host == len(words)
    assert watched.to_gpu == 1 + len(words)  # the pictures, and what each word needs
    assert [[c.tokens for c in group] for group in found] == [
        [c.tokens for c in group] for group in expected
    ]


def test_answers_come_back_in_one_copy(
    runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, lengths, rows = np.array([[4, 5], [5, 3], [4, 0]]), np.array([2, 2, 1]), np.arange(3)
    with recorded(monkeypatch) as answers:
        probs, weights = runtime.answer(words, lengths, rows, runtime.encode(pixels()))
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(2), 1, rtol=1e-5)
    with fake_gpu(monkeypatch, answers) as watched:
        move_to_gpu(runtime.model)
        runtime.device = CUDA
        runtime.answer(words, lengths, rows, runtime.encode(pixels()))
    assert watched.to_host == 1
    assert watched.to_gpu == 3  # the pictures, the words, and which pictures they ask about
