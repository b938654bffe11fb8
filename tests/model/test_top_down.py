"""The top-down decoder: equal to torch's cells wired as in the paper, and like any decoder."""

import dataclasses
from pathlib import Path

import pytest
import torch
from helpers import CAPTIONS, PICTURES, assert_forward_repeats_step
from PIL import Image
from torch import Tensor, nn

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.data.padding import pad_captions
from captioner.decoding.beam_search import decode
from captioner.model import checkpoint
from captioner.model.attention import SpatialAttention
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import CELLS, make_cell
from captioner.model.sentinel import AdaptiveAttention
from captioner.model.top_down import AttentionCell

N, D, A, H, E, V = 3, 10, 6, 7, 5, 13


def make_decoder(
    name: str, *, layers: int = 1, heads: int | None = 2, sentinel: bool = False
) -> CaptionDecoder:
    torch.manual_seed(3)
    language_cell, attention_cell = (
        make_cell(name, hidden_size=H, layers=layers, dropout=0.0) for _ in range(2)
    )
    attention = SpatialAttention(
        query_size=H, feature_size=D, attention_size=A, heads=heads or 1, additive=heads is None
    )
    adaptive = AdaptiveAttention(
        attention=attention,
        memory_part=language_cell.memory_part,
        hidden_size=H,
        embedding_size=E,
        feature_size=D,
        attention_size=A,
    )
    return CaptionDecoder(
        attention=attention,
        sentinel=adaptive if sentinel else None,
        attention_cell=AttentionCell(cell=attention_cell, feature_size=D),
        cell=language_cell,
        vocabulary_size=V,
        feature_size=D,
        embedding_size=E,
        context_gate=False,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )


def torch_cell(cell: nn.Module, bias: Tensor, *inputs: Tensor) -> nn.LSTMCell:
    """A torch LSTM cell whose input weights are these, concatenated."""
    weight = torch.cat(inputs, dim=1)
    lstm = nn.LSTMCell(weight.shape[1], H)
    with torch.no_grad():
        lstm.weight_ih.copy_(weight)
        lstm.weight_hh.copy_(cell.hidden_gates.weight)
        lstm.bias_ih.copy_(bias)
        lstm.bias_hh.zero_()
    return lstm


def test_decoder_equals_torch_cells_wired_as_in_the_paper() -> None:
    """The first reads [h2, mean, word]; h1 is the query; the second reads [context, h1]."""
    decoder = make_decoder("lstm")
    cell = decoder.attention_cell
    assert cell is not None
    word, mean, hidden = decoder.word_input, cell.mean_input, cell.writer_input
    first = torch_cell(cell.cell, word.bias, hidden.weight, mean.weight, word.weight)
    output, context_input = cell.output, decoder.context_input
    second = torch_cell(decoder.cell, output.bias, context_input.weight, output.weight)
    features = torch.randn(2, N, D)
    keys, state = decoder.attention.project(features), decoder.start(features)
    h1 = c1 = torch.zeros(2, H)
    h2, c2 = torch.tanh(decoder.initial_state(features.mean(1))).split(H, dim=1)
    for words in torch.tensor([[4, 5], [6, 7], [8, 9]]):
        logits, state, weights = decoder.step(words, state, features, keys)
        embedded = decoder.embedding(words)
        h1, c1 = first(torch.cat([h2, features.mean(1), embedded], dim=1), (h1, c1))
        context, expected_weights = decoder.attention(h1, keys, features)
        h2, c2 = second(torch.cat([context, h1], dim=1), (h2, c2))
        torch.testing.assert_close(weights, expected_weights)
        torch.testing.assert_close(logits, decoder.logits(embedded, context, h2))
        for part, expected in zip(state[:4], (h2, c2, h1, c1), strict=True):
            torch.testing.assert_close(part, expected)


@pytest.mark.parametrize("sentinel", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_teacher_forcing_equals_repeated_steps(name: str, layers: int, sentinel: bool) -> None:
    heads = 2 if layers == 1 else None
    decoder = make_decoder(name, layers=layers, heads=heads, sentinel=sentinel)
    assert_forward_repeats_step(decoder, torch.randn(2, N, D))


def test_weights_depend_on_the_previous_word() -> None:
    """Not in a decoder with one cell, which attends before it reads the word."""
    decoder = make_decoder("lstm")
    features = torch.randn(1, N, D)
    keys, state = decoder.attention.project(features), decoder.start(features)

    def weights(word: int) -> Tensor:
        return decoder.step(torch.tensor([word]), state, features, keys)[2]

    assert not torch.allclose(weights(4), weights(5))
    decoder.attention_cell = None
    state = state[: decoder.cell.state_parts]
    assert torch.equal(weights(4), weights(5))


@pytest.mark.parametrize("sentinel", [False, True])
def test_training_in_bfloat16(sentinel: bool) -> None:
    decoder = make_decoder("lstm", layers=2, sentinel=sentinel)
    tokens, lengths = pad_captions(CAPTIONS)
    features = torch.randn(2, N, D)
    exact = decoder(tokens, lengths, PICTURES, features, 2).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = decoder(tokens, lengths, PICTURES, features, 2).logits
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)
    logits.float().square().sum().backward()


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_search_with_every_cell(name: str, sample: bool) -> None:
    decoder = make_decoder(name).eval()
    features = torch.randn(3, N, D)
    config = DecodingConfig(beam_size=3, max_words=6, sample=sample)
    for [caption], [alone] in zip(
        decode(decoder, features, config),
        [decode(decoder, features[i : i + 1], config)[0] for i in range(3)],
        strict=True,
    ):
        assert 1 <= len(caption.tokens) <= 6
        assert caption.tokens == alone.tokens


def test_checkpoint_round_trip_does_not_change_answers(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    loaded = checkpoint.load(tiny_checkpoint)
    config = dataclasses.replace(loaded.model.config, top_down=True, sentinel=True)
    torch.manual_seed(1)
    model = CaptioningModel(
        config,
        loaded.model.vocabulary,
        loaded.model.question_vocabulary,
        loaded.model.answer_texts,
    )
    model.load_state_dict(loaded.model.state_dict(), strict=False)
    saved = Checkpoint(model.eval(), {}, loaded.decoding)
    file = tmp_path / "top_down.safetensors"
    checkpoint.save(saved, file)
    image = Image.fromarray(torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8).numpy())
    loaded, plain = Captioner.load(file, "cpu"), Captioner.load(tiny_checkpoint, "cpu")
    first, second = loaded.caption(image), Captioner(saved, torch.device("cpu")).caption(image)
    assert (first.text, first.log_probability) == (second.text, second.log_probability)
    assert first.log_probability != plain.caption(image).log_probability
    assert loaded.answer(image, "is it a dog?").top == plain.answer(image, "is it a dog?").top
