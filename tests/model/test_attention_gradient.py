"""The gradients of teacher forcing: those of a plain loop over words, for keys and features too."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END
from captioner.model import teacher_forcing
from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import make_cell
from captioner.model.sentinel import AdaptiveAttention
from captioner.model.top_down import AttentionCell
from captioner.training.losses import caption_loss

N, D, A, H, E, V = 3, 10, 6, 7, 5, 13

# Four captions of three pictures, the first of which has none; of the last one two.
CAPTIONS = [[4, 5, 6, 7, END], [8, 9, END], [10, 11, 12, END], [4, END]]
PICTURES = torch.tensor([3, 1, 3, 2])


def make_decoder(
    *,
    cell: str = "lstm",
    heads: int | None = 2,
    layers: int = 1,
    sentinel: bool = False,
    top_down: bool = False,
) -> CaptionDecoder:
    """heads: None for additive attention, 0 for none."""
    torch.manual_seed(3)
    attention = SpatialAttention(
        query_size=H, feature_size=D, attention_size=A, heads=heads or 1, additive=heads is None
    )
    cells = [make_cell(cell, hidden_size=H, layers=layers, dropout=0.0) for _ in range(2)]
    adaptive = AdaptiveAttention(
        attention=attention,
        memory_part=cells[0].memory_part,
        hidden_size=H,
        embedding_size=E,
        feature_size=D,
        attention_size=A,
    )
    return CaptionDecoder(
        attention=FixedContext() if heads == 0 else attention,
        sentinel=adaptive if sentinel else None,
        attention_cell=AttentionCell(cell=cells[1], feature_size=D) if top_down else None,
        cell=cells[0],
        vocabulary_size=V,
        feature_size=D,
        embedding_size=E,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    ).double()


def plain_loss(decoder: CaptionDecoder, features: Tensor) -> Tensor:
    """The loss of every caption alone, word by word, with the gradients that autograd makes."""
    loss = torch.zeros((), dtype=features.dtype)
    for picture, caption in zip(PICTURES.tolist(), CAPTIONS, strict=True):
        own = features[picture : picture + 1]
        keys, state, word = decoder.attention.project(own), decoder.start(own), 1
        for target in caption:
            logits, state, weights = decoder.step(torch.tensor([word]), state, own, keys)
            loss = loss + loss_of_word(logits, weights)
            word = target
    return loss


def loss_of_word(logits: Tensor, weights: Tensor) -> Tensor:
    """Any function of all logits (M, V) and weights (M, N), the same for every word."""
    return (logits * torch.arange(V)).tanh().sum() + (weights.square() * torch.arange(N)).sum()


def forced_loss(decoder: CaptionDecoder, features: Tensor) -> Tensor:
    forced = decoder(*pad_captions(CAPTIONS), PICTURES, features)
    return loss_of_word(forced.logits, forced.weights)


def gradients(
    compute_loss: Callable[[CaptionDecoder, Tensor], Tensor], decoder: CaptionDecoder
) -> list[Tensor]:
    """Of the features (4, N, D) and of every weight."""
    torch.manual_seed(5)
    features = torch.randn(4, N, D, dtype=torch.float64, requires_grad=True)
    inputs = [features, *decoder.parameters()]
    return list(torch.autograd.grad(compute_loss(decoder, features), inputs))


@pytest.mark.parametrize(
    "arrangement",
    [
        {"heads": 1},
        {"heads": 2},
        {"heads": None},
        {"heads": 0},
        {"cell": "gru", "layers": 2},
        {"cell": "highway", "sentinel": True},
        {"top_down": True},
        {"top_down": True, "sentinel": True, "cell": "rnn"},
    ],
    ids=str,
)
def test_they_are_those_of_a_plain_loop_over_words(arrangement: dict[str, object]) -> None:
    decoder = make_decoder(**arrangement)  # type: ignore[arg-type]
    if arrangement.get("heads") == 0:
        decoder.attention.requires_grad_(False)
    expected = gradients(plain_loss, decoder)
    for actual, wanted in zip(gradients(forced_loss, decoder), expected, strict=True):
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("truncate_steps", [0, 2])
@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_those_written_out_are_those_of_the_words_one_by_one(
    monkeypatch: pytest.MonkeyPatch, truncate_steps: int, penalty: float
) -> None:
    def loss(decoder: CaptionDecoder, features: Tensor) -> Tensor:
        forced = decoder(*pad_captions(CAPTIONS), PICTURES, features, truncate_steps)
        return caption_loss(forced, label_smoothing=0.1, attention_penalty=penalty)

    decoder = make_decoder()
    assert teacher_forcing._written_out(decoder) is not None
    at_once = gradients(loss, decoder)
    monkeypatch.setattr(teacher_forcing, "_written_out", lambda decoder: None)
    for actual, wanted in zip(at_once, gradients(loss, decoder), strict=True):
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("sentinel", [False, True])
def test_they_are_the_slopes_of_the_outputs(sentinel: bool) -> None:
    decoder = make_decoder(sentinel=sentinel)
    tokens, lengths = pad_captions(CAPTIONS)

    def outputs(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        # The weight of the keys is the one whose gradient comes through the keys alone.
        changed = {"attention.key_projection.weight": weight}
        inputs = (tokens, lengths, PICTURES, features)
        forced = torch.func.functional_call(decoder, changed, inputs, tie_weights=False)
        return forced.logits, forced.weights

    features = torch.randn(4, N, D, dtype=torch.float64, requires_grad=True)
    attention = decoder.attention
    assert isinstance(attention, SpatialAttention)
    weight = attention.key_projection.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (features, weight))


def test_backward_again_or_for_a_part_gives_the_same() -> None:
    decoder = make_decoder()
    features = torch.randn(4, N, D, dtype=torch.float64, requires_grad=True)
    loss = forced_loss(decoder, features)
    [of_output] = torch.autograd.grad(loss, [decoder.output_bias], retain_graph=True)
    [first] = torch.autograd.grad(loss, [features], retain_graph=True)
    loss.backward()
    assert features.grad is not None and decoder.output_bias.grad is not None
    assert torch.equal(features.grad, first)
    assert torch.equal(decoder.output_bias.grad, of_output)


def test_under_autocast_they_are_those_of_float32_but_for_rounding() -> None:
    decoder = make_decoder().float()
    torch.manual_seed(5)
    features = torch.randn(4, N, D, requires_grad=True)
    [expected] = torch.autograd.grad(forced_loss(decoder, features), [features])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = forced_loss(decoder, features)
    [rounded] = torch.autograd.grad(loss, [features])
    assert rounded.dtype == torch.float32
    assert (rounded - expected).norm() < 0.05 * expected.norm()
