"""The adaptive sentinel: by hand, at its two ends, and in everything that reads the maps."""

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


def ask(sentinel: AdaptiveAttention) -> tuple[Tensor, Tensor]:
    """The query of two rows a picture, and the features."""
    state: State = (torch.randn(2 * B, H), torch.randn(2 * B, H))
    return sentinel.query(torch.randn(2 * B, E), state), torch.randn(B, N, D)


def test_by_hand() -> None:
    """One unit of everything: a location of 0, one of ln 3, and a sentinel of tanh(0.5) / 2."""
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
    # Gate sigmoid(-1 + 1): a half.
    query = sentinel.query(torch.tensor([[-1.0]]), (torch.ones(1, 1), torch.tensor([[0.5]])))
    context, weights = sentinel(query, attention.project(features), features)
    remembered = math.tanh(0.5) / 2
    away = math.exp(2 * remembered)
    total = 1 + 3 + away
    torch.testing.assert_close(weights, torch.tensor([[1 / total, 3 / total]]))
    expected = 3 / total * math.log(3.0) + away / total * 3 * remembered
    torch.testing.assert_close(context, torch.tensor([[expected]]))


def test_the_additive_score_is_that_of_a_location_with_the_same_key() -> None:
    """Of all locations and the sentinel, with its key and value, put last among them."""
    sentinel = make_sentinel(None)
    attention = sentinel.attention
    query, features = ask(sentinel)
    query, features = query[::2], features.detach()  # one row a picture
    key = query[:, H : H + A].unsqueeze(1)
    keys = attention.project(features)
    context, weights = sentinel(query, keys, features)
    more = torch.cat([keys, torch.exp(2 * key)], dim=1)
    values = torch.cat([features, query[:, H + A :].unsqueeze(1)], dim=1)
    expected, all_weights = attention(query[:, :H], more, values)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, all_weights[:, :N])


@pytest.mark.parametrize("heads", [1, 2])
def test_the_dot_score_is_that_of_a_location_with_the_same_key(heads: int) -> None:
    sentinel = make_sentinel(heads)
    query, features = ask(sentinel)
    query = query[::2]
    keys = sentinel.attention.project(features)
    context, weights = sentinel(query, keys, features)
    more = torch.cat([keys, query[:, None, H : H + A]], dim=1)
    values = torch.cat([features, query[:, None, H + A :]], dim=1)
    expected, all_weights = sentinel.attention(query[:, :H], more, values)
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, all_weights[:, :N])


@pytest.mark.parametrize("heads", HEADS)
def test_a_sentinel_that_wins_is_the_context_and_one_that_loses_changes_nothing(
    heads: int | None,
) -> None:
    sentinel = make_sentinel(heads)
    query, features = ask(sentinel)
    attention, keys = sentinel.attention, sentinel.attention.project(features)
    alone, weights_alone = attention(query[:, :H], keys, features)
    projected = attention.query_projection(query[:, :H])
    if attention.score is None:
        best = 1e4 * projected
    else:  # tanh has its limits, so the locations' scores are put out of the way
        attention.score.weight.data.mul_(1e3)
        best = 1e3 * attention.score.weight.expand(2 * B, A).sign()
        alone, weights_alone = attention(query[:, :H], keys, features)
    for key, context, weights in (
        (best, query[:, H + A :], torch.zeros(2 * B, N)),
        (-best, alone, weights_alone),
    ):
        asked = torch.cat([query[:, :H], key, query[:, H + A :]], dim=-1)
        found, looked = sentinel(asked, keys, features)
        torch.testing.assert_close(found, context)
        torch.testing.assert_close(looked, weights)


@pytest.mark.parametrize("heads", HEADS)
def test_permuting_locations_permutes_weights_and_leaves_the_context(heads: int | None) -> None:
    sentinel = make_sentinel(heads)
    query, features = ask(sentinel)
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
def test_teacher_forcing_is_the_step_repeated(name: str, layers: int, heads: int | None) -> None:
    decoder = make_decoder(name, layers=layers, heads=heads)
    assert_forward_repeats_step(decoder, torch.randn(2, N, D))


def test_the_lstms_sentinel_is_its_top_layers_memory() -> None:
    decoder = make_decoder("lstm", layers=2)
    state = decoder.start(torch.randn(2, N, D))
    embedded = torch.randn(2, E)
    before = decoder.query(embedded, state)
    for part in range(4):
        changed = tuple(value + (place == part) for place, value in enumerate(state))
        same = torch.equal(decoder.query(embedded, changed), before)
        assert same == (part > 1), part  # h and c of the top layer, then of the bottom one


@pytest.mark.parametrize("heads", [None, 2])
def test_it_trains_in_bfloat16(heads: int | None) -> None:
    decoder = make_decoder("lstm", heads=heads)
    tokens, lengths = pad_captions(CAPTIONS)
    features = torch.randn(2, N, D)
    exact = decoder(tokens, lengths, PICTURES, features).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = decoder(tokens, lengths, PICTURES, features).logits
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)
    logits.float().square().sum().backward()


@pytest.mark.parametrize("sample", [False, True])
def test_every_search_takes_it(sample: bool) -> None:
    decoder = make_decoder("gru").eval()
    features = torch.randn(3, N, D)
    config = DecodingConfig(beam_size=3, max_words=6, sample=sample)
    for [caption], [alone] in zip(
        decode(decoder, features, config),
        [decode(decoder, features[i : i + 1], config)[0] for i in range(3)],
        strict=True,
    ):
        assert sample or caption.tokens == alone.tokens
        assert caption.weights.shape == (len(caption.tokens), N)


@pytest.fixture
def sentinel_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny model, its answer head included, with a sentinel."""
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


def test_checkpoint_there_and_back_and_an_answer_head_that_knows_nothing_of_it(
    sentinel_checkpoint: Path, tiny_checkpoint: Path, image: Image.Image
) -> None:
    """The weights that were there keep their names."""
    file = sentinel_checkpoint
    without, there = (checkpoint.read_tensors(one)[0].keys() for one in (tiny_checkpoint, file))
    assert without < there
    assert all(name.startswith("decoder.sentinel.") for name in there - without)
    back, plain = Captioner.load(file, "cpu"), Captioner.load(tiny_checkpoint, "cpu")
    assert back.answer(image, "is it a dog?").top == plain.answer(image, "is it a dog?").top
    again = file.with_name("again.safetensors")
    checkpoint.save(checkpoint.load(file), again)
    one, other = back.caption(image), Captioner.load(again, "cpu").caption(image)
    assert (one.text, one.log_probability) == (other.text, other.log_probability)
    assert one.log_probability != plain.caption(image).log_probability
    assert plain.caption(image).looking is None


def test_a_captions_maps_sum_to_1_and_it_says_how_much_it_looked(
    with_sentinel: Captioner, image: Image.Image
) -> None:
    decoding = with_sentinel.decoding
    decoder, _ = with_sentinel.model.writer()
    [[found]] = decode(decoder, with_sentinel.encode([image]), decoding)
    caption = with_sentinel.caption(image)
    assert caption.looking is not None
    looking = torch.from_numpy(caption.looking)
    assert (looking > 0).all() and (looking < 1).all()
    maps = torch.from_numpy(caption.attention).flatten(1)
    torch.testing.assert_close(maps.sum(1), torch.ones(len(maps)))
    torch.testing.assert_close(maps * looking.unsqueeze(1), found.weights)


def test_the_map_of_a_word_that_looked_nowhere_is_even(
    with_sentinel: Captioner, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AdaptiveAttention.forward

    def away(self: AdaptiveAttention, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        context, weights = original(self, *inputs)
        return context, torch.zeros_like(weights)

    monkeypatch.setattr(AdaptiveAttention, "forward", away)
    caption = with_sentinel.caption(image)
    assert caption.looking is not None and (caption.looking == 0).all()
    assert entropy(caption.attention) == pytest.approx(1.0)
    assert caption.attention.sum((1, 2)) == pytest.approx(1.0)
