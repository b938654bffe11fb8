"""What several test modules share."""

import io
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig
from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END, Vocabulary
from captioner.model.attention import SpatialAttention
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint, save
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import LSTMCell
from captioner.model.tensor_file import read_tensors

QUESTION_WORDS = ("color", "dog", "is", "it", "many", "the", "there", "what")
ANSWERS = ("yes", "no", "red", "2", "night stand")
WORDS = ("a", "cat", "cup", "dog", "of", "on", "red", "sits", "table", "the")

# Sizes of make_decoder: different ones, so that a swapped dimension fails.
V, E, H, D, A, N = 7, 5, 6, 4, 4, 3  # four special tokens, three words

CAPTIONS = [[4, 5, 6, 7, END], [8, 9, END], [10, END]]
PICTURES = torch.tensor([0, 1, 1])  # which of two each of them describes
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (40, 60, 230), "white": (245,) * 3}
CPU = torch.device("cpu")


class Quiet:
    """A reporter that counts steps and can ask to stop after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.asked = 0
        self.stop_after = stop_after

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        assert 0 <= done <= total

    def interrupted(self) -> bool:
        self.asked += 1
        return self.asked == self.stop_after


def make_decoder(seed: int = 0, sharpness: float = 4.0) -> tuple[CaptionDecoder, Tensor]:
    torch.manual_seed(seed)
    decoder = CaptionDecoder(
        attention=SpatialAttention(query_size=H, feature_size=D, attention_size=A, additive=True),
        cell=LSTMCell(hidden_size=H),
        vocabulary_size=V,
        feature_size=D,
        embedding_size=E,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    ).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(sharpness)
    return decoder, torch.randn(5, N, D)


def assert_forward_repeats_step(decoder: CaptionDecoder, features: Tensor) -> None:
    """The same logits and weights; and the loss's gradient reaches every parameter.

    features (2, N, D): of the two pictures.
    """
    tokens, lengths = pad_captions(CAPTIONS)
    whole = decoder(tokens, lengths, PICTURES, features)
    for row, caption in enumerate(CAPTIONS):
        own = features[PICTURES[row]].unsqueeze(0)
        keys, state = decoder.attention.project(own), decoder.start(own)
        for position in range(len(caption)):
            logits, state, weights = decoder.step(tokens[row, position][None], state, own, keys)
            torch.testing.assert_close(whole.logits[whole.captions == row][position], logits[0])
            torch.testing.assert_close(whole.weights[whole.captions == row][position], weights[0])
    whole.logits.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def settings(folder: Path, **training: object) -> RunConfig:
    captions = (str(folder / "captions.jsonl"),)
    chosen: dict[str, object] = {
        "encoder_weights": str(folder / "encoder.safetensors"),
        "min_count": 1,
        "epochs": 3,
        "pictures_per_batch": 3,
        "captions_per_picture": 2,
        "warm_up_steps": 3,
        "learning_rate": 5e-3,
        "save_steps": 1000,
        "mirror": True,
    }
    return RunConfig(
        data=DataConfig(
            images=(str(folder),),
            train=SplitConfig(captions=captions),
            val=SplitConfig(captions=captions),
        ),
        model=ModelConfig(
            encoder_stage="features.3",
            image_size=64,
            feature_size=16,
            attention_size=16,
            attention_heads=2,
            embedding_size=16,
            hidden_size=32,
        ),
        training=TrainingConfig(**(chosen | training)),  # type: ignore[arg-type]
        decoding=DecodingConfig(beam_size=2),
    )


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return read_tensors(folder / f"{name}.safetensors")[0]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def make_picture(seed: int, size: tuple[int, int] = (50, 70), form: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed)
    pixels = (noise.random((*size, 3)) * noise.integers(30, 256, 3)).astype(np.uint8)
    with io.BytesIO() as content:
        Image.fromarray(pixels).save(content, form)
        return content.getvalue()


def post(address: str, path: str, content: bytes, **fields: object) -> httpx.Response:
    files = {"image": ("../../etc/passwd", content)}
    return httpx.post(address + path, files=files, data=fields, timeout=60)


def save_tiny_checkpoint(file: Path) -> None:
    """A whole checkpoint with random weights, made in a moment."""
    torch.manual_seed(2)
    config = ModelConfig(
        encoder="mobilenet_v2",
        encoder_stage="features.3",
        image_size=64,
        feature_size=14,
        attention_size=22,
        attention_heads=2,
        embedding_size=13,
        hidden_size=17,
        answer_size=29,
    )
    model = CaptioningModel(config, Vocabulary(WORDS), Vocabulary(QUESTION_WORDS), ANSWERS)
    # As initialised, it says the same of every picture: let batch norm see a few, and be bold.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train().momentum = None
    with torch.no_grad():
        model.encoder(torch.randn(20, 3, 1, 1) + 0.5 * torch.randn(20, 3, 64, 64))
        for tensor in model.decoder.parameters():
            tensor.mul_(5)
        for name, tensor in model.answers.named_parameters():
            tensor.mul_(1 if name.startswith("attention.") else 3)
    model.eval()
    save(Checkpoint(model, {}, DecodingConfig(max_words=7)), file)
