"""The adaptive sentinel: worked by hand, at its extremes, and in everything that uses its maps."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from helpers import CAPTIONS, PICTURES, assert_forward_repeats_step
from PIL import Image
from torch import Tensor

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.data.padding import pad_captions
from captioner.decoding.beam_search import decode
from captioner.model import checkpoint
from captioner.model.attention import SpatialAttention
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import CELLS, State, make_cell
from captioner.model.sentinel import AdaptiveAttention
from captioner.model.tensor_file import read_tensors
from captioner.visualization.attention_maps import entropy

B, N, D, A, H, E, V = 3, 7, 10, 6, 5, 11, 13
HEADS = [None, 1, 2]


def make_sentinel(heads: int | None, memory_part: int = 1) -> AdaptiveAttention:
    torch.manual_seed(0)
    return AdaptiveAttention(
        attention=SpatialAttention(
            query_size=H, feature_size=D, attention_size=A, heads=heads or 1, additive=heads is None
        ),
        memory_part=memory_part,
        hidden_size=H,
        embedding_size=E,
        feature_size=D,
        attention_size=A,
    )


def make_query(sentinel: AdaptiveAttention) -> tuple[Tensor, Tensor]:
    """A query with two rows per picture, and the features."""
    state: State = (torch.randn(2 * B, H), torch.randn(2 * B, H))
    return sentinel.query(torch.randn(2 * B, E), state), torch.randn(B, N, D)


def test_by_hand() -> None:
    """All sizes 1: a location with 0, one with ln 3, and a sentinel of tanh(0.5) / 2."""
    attention = SpatialAttention(query_size=1, feature_size=1, attention_size=1, heads=1)
    sentinel = AdaptiveAttention(
        attention=attention,
        memory_part=1,
        hidden_size=1,
        embedding_size=1,
        feature_size=1,
        attention_size=1,
    )
    with torch.no_grad():
        for weight in sentinel.parameters():
            weight.fill_(1.0)
        sentinel.word_gate.bias.fill_(0.0)
        sentinel.key.bias.fill_(0.0)
        sentinel.key.weight.fill_(2.0)
        sentinel.value.weight.fill_(3.0)
    features = torch.tensor([[[0.0], [math.log(3.0)]]])
    # The gate is sigmoid(-1 + 1) = 0.5.
    query = sentinel.query(torch.tensor([[-1.0]]), (torch.ones(1, 1), torch.tensor([[0.5]])))
    context, weights = sentinel(query, attention.project(features), features)
    value = math.tanh(0.5) / 2
    score = math.exp(2 * value)
    total = 1 + 3 + score
    torch.testing.assert_close(weights, torch.tensor([[1 / total, 3 / total]]))
    expected = 3 / total * math.log(3.0) + score / total * 3 * value
    torch.testing.assert_close(context, torch.tensor([[expected]]))


def test_additive_sentinel_equals_one_more_location() -> None:
    """A location with the sentinel's key and value, added after the others."""
    sentinel = make_sentinel(None)
    attention = sentinel.attention
    query, features = make_query(sentinel)
    query, features = query[::2], features.detach()  # one row per picture
    key = query[:, H : H + A].unsqueeze(1)
    keys = attention.project(features)
    context, weights = sentinel(query, keys, features)
    all_keys = torch.cat([keys, torch.exp(2 * key)], dim=1)
    values = torch.cat([features, query[:, H + A :].unsqueeze(1)], dim=1)
    expected, all_weights = attention(query[:, :H], all_keys, values)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, all_weights[:, :N])


@pytest.mark.parametrize("heads", [1, 2])
def test_dot_sentinel_equals_one_more_location(heads: int) -> None:
    sentinel = make_sentinel(heads)
    query, features = make_query(sentinel)
    query = query[::2]
    keys = sentinel.attention.project(features)
    context, weights = sentinel(query, keys, features)
    all_keys = torch.cat([keys, query[:, None, H : H + A]], dim=1)
    values = torch.cat([features, query[:, None, H + A :]], dim=1)
    expected, all_weights = sentinel.attention(query[:, :H], all_keys, values)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, all_weights[:, :N])


@pytest.mark.parametrize("heads", HEADS)
def test_sentinel_with_all_or_no_weight(heads: int | None) -> None:
    sentinel = make_sentinel(heads)
    query, features = make_query(sentinel)
    attention, keys = sentinel.attention, sentinel.attention.project(features)
    alone, weights_alone = attention(query[:, :H], keys, features)
    projected = attention.query_projection(query[:, :H])
    if attention.score is None:
        best = 1e4 * projected
    else:  # tanh is bounded, so the scores are scaled instead
        attention.score.weight.data.mul_(1e3)
        best = 1e3 * attention.score.weight.expand(2 * B, A).sign()
        alone, weights_alone = attention(query[:, :H], keys, features)
    for key, context, weights in (
        (best, query[:, H + A :], torch.zeros(2 * B, N)),
        (-best, alone, weights_alone),
    ):
        changed = torch.cat([query[:, :H], key, query[:, H + A :]], dim=-1)
        actual_context, actual_weights = sentinel(changed, keys, features)
        torch.testing.assert_close(actual_context, context)
        torch.testing.assert_close(actual_weights, weights)


@pytest.mark.parametrize("heads", HEADS)
def test_permuting_locations_permutes_weights_and_leaves_the_context(heads: int | None) -> None:
    sentinel = make_sentinel(heads)
    query, features = make_query(sentinel)
    context, weights = sentinel(query, sentinel.attention.project(features), features)
    assert (weights.sum(1) < 1).all() and (weights > 0).all()
    order = torch.randperm(N)
    moved = features[:, order]
    moved_context, moved_weights = sentinel(query, sentinel.attention.project(moved), moved)
    torch.testing.assert_close(moved_weights, weights[:, order])
    torch.testing.assert_close(moved_context, context)


def make_decoder(name: str, *, layers: int = 1, heads: int | None = 2) -> CaptionDecoder:
    torch.manual_seed(3)
    cell = make_cell(name, hidden_size=H, layers=layers, dropout=0.0)
    sentinel = make_sentinel(heads, cell.memory_part)
    return CaptionDecoder(
        attention=sentinel.attention,
        sentinel=sentinel,
        cell=cell,
        vocabulary_size=V,
        feature_size=D,
        embedding_size=E,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_teacher_forcing_equals_repeated_steps(name: str, layers: int, heads: int | None) -> None:
    decoder = make_decoder(name, layers=layers, heads=heads)
    assert_forward_repeats_step(decoder, torch.randn(2, N, D))


def test_sentinel_of_an_lstm_uses_the_memory_of_the_top_layer() -> None:
    decoder = make_decoder("lstm", layers=2)
    state = decoder.start(torch.randn(2, N, D))
    embedded = torch.randn(2, E)
    before = decoder.query(embedded, state)
    for part in range(4):
        changed = tuple(value + (index == part) for index, value in enumerate(state))
        same = torch.equal(decoder.query(embedded, changed), before)
        assert same == (part > 1), part  # h and c of the top layer, then of the bottom one


@pytest.mark.parametrize("heads", [None, 2])
def test_training_in_bfloat16(heads: int | None) -> None:
    decoder = make_decoder("lstm", heads=heads)
    tokens, lengths = pad_captions(CAPTIONS)
    features = torch.randn(2, N, D)
    exact = decoder(tokens, lengths, PICTURES, features).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = decoder(tokens, lengths, PICTURES, features).logits
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)
    logits.float().square().sum().backward()


@pytest.mark.parametrize("sample", [False, True])
def test_search_with_a_sentinel(sample: bool) -> None:
    decoder = make_decoder("gru").eval()
    features = torch.randn(3, N, D)
    config = DecodingConfig(beam_size=3, max_words=6, sample=sample)
    for [caption], [alone] in zip(
        decode(decoder, features, config),
        [decode(decoder, features[i : i + 1], config)[0] for i in range(3)],
        strict=True,
    ):
        assert caption.tokens == alone.tokens
        assert caption.weights.shape == (len(caption.tokens), N)


@pytest.fixture
def sentinel_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny model, including its answer head, with a sentinel."""
    loaded = checkpoint.load(tiny_checkpoint)
    config = dataclasses.replace(loaded.model.config, sentinel=True)
    torch.manual_seed(1)
    model = CaptioningModel(
        config,
        loaded.model.vocabulary,
        loaded.model.question_vocabulary,
        loaded.model.answer_texts,
    )
    model.load_state_dict(loaded.model.state_dict(), strict=False)
    file = tmp_path / "sentinel.safetensors"
    checkpoint.save(Checkpoint(model.eval(), loaded.training, loaded.decoding), file)
    return file


@pytest.fixture
def with_sentinel(sentinel_checkpoint: Path) -> Captioner:
    return Captioner.load(sentinel_checkpoint, "cpu")


@pytest.fixture
def image() -> Image.Image:
    torch.manual_seed(5)
    pixels = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def test_checkpoint_round_trip_does_not_change_answers(
    sentinel_checkpoint: Path, tiny_checkpoint: Path, image: Image.Image
) -> None:
    """All other weights keep their names."""
    file = sentinel_checkpoint
    plain_names = read_tensors(tiny_checkpoint)[0].keys()
    names = read_tensors(file)[0].keys()
    assert plain_names < names
    assert all(name.startswith("decoder.sentinel.") for name in names - plain_names)
    loaded, plain = Captioner.load(file, "cpu"), Captioner.load(tiny_checkpoint, "cpu")
    assert loaded.answer(image, "is it a dog?").top == plain.answer(image, "is it a dog?").top
    copy = file.with_name("copy.safetensors")
    checkpoint.save(checkpoint.load(file), copy)
    first, second = loaded.caption(image), Captioner.load(copy, "cpu").caption(image)
    assert (first.text, first.log_probability) == (second.text, second.log_probability)
    assert first.log_probability != plain.caption(image).log_probability
    assert plain.caption(image).looking is None


def test_maps_sum_to_1_and_looking_is_the_share_of_the_picture(
    with_sentinel: Captioner, image: Image.Image
) -> None:
    decoding = with_sentinel.decoding
    decoder, _ = with_sentinel.model.caption_parts()
    [[hypothesis]] = decode(decoder, with_sentinel.encode([image]), decoding)
    caption = with_sentinel.caption(image)
    assert caption.looking is not None
    looking = torch.from_numpy(caption.looking)
    assert (looking > 0).all() and (looking < 1).all()
    maps = torch.from_numpy(caption.attention).flatten(1)
    torch.testing.assert_close(maps.sum(1), torch.ones(len(maps)))
    weights = torch.from_numpy(hypothesis.weights)
    torch.testing.assert_close(maps * looking.unsqueeze(1), weights)


def test_map_without_any_weight_is_uniform(
    with_sentinel: Captioner, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AdaptiveAttention.forward

    def without_weights(self: AdaptiveAttention, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        context, weights = original(self, *inputs)
        return context, torch.zeros_like(weights)

    monkeypatch.setattr(AdaptiveAttention, "forward", without_weights)
    caption = with_sentinel.caption(image)
    assert caption.looking is not None and (caption.looking == 0).all()
    assert entropy(caption.attention) == pytest.approx(1.0)
    assert caption.attention.sum((1, 2)) == pytest.approx(1.0)
