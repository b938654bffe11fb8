"""The cells: equal to torch's, stacks, and what each does with a picture's caption."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers import CAPTIONS, PICTURES, assert_forward_repeats_step
from torch import Tensor, nn

from captioner.config import settings
from captioner.config.settings import DecodingConfig
from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END
from captioner.decoding.beam_search import decode
from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import CELLS, HighwayCell, StackedCells, State, make_cell
from captioner.model.teacher_forcing import TeacherForced

H, X, V, D, N = 7, 5, 11, 6, 3
TORCHS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def make_decoder(
    cell: str, *, layers: int = 1, attention: bool = True, dropout: float = 0.0
) -> CaptionDecoder:
    torch.manual_seed(3)
    looking = SpatialAttention(query_size=H, feature_size=D, attention_size=4, heads=2)
    return CaptionDecoder(
        attention=looking if attention else FixedContext(),
        cell=make_cell(cell, hidden_size=H, layers=layers, dropout=dropout),
        vocabulary_size=V,
        feature_size=D,
        embedding_size=X,
        context_gate=False,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )


def forced(decoder: CaptionDecoder, truncate_steps: int = 0) -> TeacherForced:
    torch.manual_seed(4)
    tokens, lengths = pad_captions(CAPTIONS)
    return decoder(tokens, lengths, PICTURES, torch.randn(2, N, D), truncate_steps)


@pytest.mark.parametrize("name", TORCHS)
def test_values_and_gradients_are_torchs_own(name: str) -> None:
    """Over three steps, with the same weights and torch's two biases in one where they add up."""
    torch.manual_seed(0)
    theirs, cell = TORCHS[name](X, H), CELLS[name](hidden_size=H)
    projection = nn.Linear(X, cell.gates * H)
    with torch.no_grad():
        cell.hidden_gates.weight.copy_(theirs.weight_hh)
        projection.weight.copy_(theirs.weight_ih)
        projection.bias.copy_(theirs.bias_ih + theirs.bias_hh)
        if name == "gru":
            projection.bias[2 * H :] = theirs.bias_ih[2 * H :]
            cell.candidate_bias.copy_(theirs.bias_hh[2 * H :])
    inputs = torch.randn(3, 2, X)
    start = [torch.randn(2, H, requires_grad=True) for _ in range(cell.state_parts)]
    state: State = tuple(start)
    their_state = tuple(start) if name == "lstm" else start[0]
    for step in inputs:
        state = cell(projection(step), state)
        their_state = theirs(step, their_state)
        for one, other in zip(state, their_state if name == "lstm" else [their_state], strict=True):
            torch.testing.assert_close(one, other)
    pairs = [(cell.hidden_gates.weight, theirs.weight_hh), (projection.weight, theirs.weight_ih)]
    if name == "gru":
        pairs.append((cell.candidate_bias, theirs.bias_hh))
    last = their_state[0] if name == "lstm" else their_state
    ours = torch.autograd.grad(state[0].square().sum(), [*start, *(p[0] for p in pairs)])
    expected = torch.autograd.grad(last.square().sum(), [*start, *(p[1] for p in pairs)])
    for mine, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, other[-len(mine) :])


def test_highway_by_hand() -> None:
    """One unit: s = t tanh(n) + (1 - t) s, twice."""
    cell = HighwayCell(hidden_size=1)
    with torch.no_grad():
        cell.hidden_gates.weight.copy_(torch.tensor([[0.5], [-1.0]]))
        cell.second_gates.weight.copy_(torch.tensor([[2.0], [1.0]]))
        cell.second_gates.bias.copy_(torch.tensor([0.1, -0.2]))
    [hidden] = cell(torch.tensor([[0.3, 0.4]]), (torch.tensor([[0.8]]),))
    value = torch.tensor(0.8)
    gate = torch.sigmoid(0.4 - value)
    value = gate * torch.tanh(0.3 + 0.5 * value) + (1 - gate) * value
    gate = torch.sigmoid(value - 0.2)
    value = gate * torch.tanh(0.1 + 2 * value) + (1 - gate) * value
    torch.testing.assert_close(hidden.squeeze(), value)


def test_a_highway_that_is_shut_carries_its_state() -> None:
    cell = HighwayCell(hidden_size=H)
    state = torch.randn(2, H)
    with torch.no_grad():
        cell.second_gates.bias[H:] = -50.0
    shut = torch.cat([torch.randn(2, H), torch.full((2, H), -50.0)], dim=1)
    torch.testing.assert_close(cell(shut, (state,))[0], state)


@pytest.mark.parametrize("name", TORCHS)
def test_a_stack_is_torchs_stack(name: str) -> None:
    torch.manual_seed(0)
    layers = 3
    theirs = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[name](X, H, num_layers=layers)
    stack = make_cell(name, hidden_size=H, layers=layers, dropout=0.9).eval()
    assert isinstance(stack, StackedCells)
    projection = nn.Linear(X, stack.gates * H)
    with torch.no_grad():
        for layer, cell in enumerate(stack.cells):
            source = projection if layer == 0 else stack.inputs[layer - 1]
            source.weight.copy_(getattr(theirs, f"weight_ih_l{layer}"))
            source.bias.copy_(getattr(theirs, f"bias_ih_l{layer}"))
            cell.hidden_gates.weight.copy_(getattr(theirs, f"weight_hh_l{layer}"))
            getattr(theirs, f"bias_hh_l{layer}").zero_()
    inputs = torch.randn(4, 2, X)
    state: State = tuple(torch.zeros(2, H) for _ in range(stack.state_parts))
    written = []
    for step in inputs:
        state = stack(projection(step), state)
        written.append(state[0])
    outputs, _ = theirs(inputs)
    torch.testing.assert_close(torch.stack(written), outputs)


def test_dropout_lies_between_the_layers() -> None:
    stack = make_cell("gru", hidden_size=H, layers=2, dropout=0.5)
    state: State = tuple(torch.randn(2, H) for _ in range(stack.state_parts))
    projected = torch.randn(2, stack.gates * H)
    one, other = stack(projected, state), stack(projected, state)
    assert not torch.equal(one[0], other[0])  # the top layer
    assert torch.equal(one[1], other[1])  # the bottom layer


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_teacher_forcing_is_the_step_repeated(name: str, layers: int, attention: bool) -> None:
    decoder = make_decoder(name, layers=layers, attention=attention)
    assert_forward_repeats_step(decoder, torch.randn(2, N, D))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_every_member_trains_in_bfloat16(name: str, attention: bool) -> None:
    decoder = make_decoder(name, layers=2, attention=attention)
    exact = forced(decoder).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = forced(decoder).logits
    torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)
    logits.float().square().sum().backward()


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_every_search_takes_every_cell(name: str, sample: bool) -> None:
    decoder = make_decoder(name, layers=2, dropout=0.5).eval()
    features = torch.randn(3, N, D)
    config = DecodingConfig(beam_size=3, max_words=6, sample=sample)
    for [caption], [alone] in zip(
        decode(decoder, features, config),
        [decode(decoder, features[i : i + 1], config)[0] for i in range(3)],
        strict=True,
    ):
        assert 1 <= len(caption.tokens) <= 6
        assert caption.tokens == alone.tokens


def test_without_attention_only_the_mean_counts_and_maps_are_uniform() -> None:
    context = FixedContext()
    features = torch.randn(2, N, D)
    keys = context.project(features)
    read, weights = context(torch.randn(4, H), keys, features)
    torch.testing.assert_close(read, features.mean(1).repeat_interleave(2, 0))
    torch.testing.assert_close(weights, torch.full((4, N), 1 / N))


def gradients(decoder: CaptionDecoder, truncate_steps: int) -> dict[str, Tensor]:
    decoder.zero_grad()
    forced(decoder, truncate_steps).logits.square().sum().backward()
    return {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CELLS)
def test_truncation_that_covers_the_caption_changes_nothing(name: str) -> None:
    decoder = make_decoder(name, layers=2)
    full, longest = gradients(decoder, 0), max(len(caption) for caption in CAPTIONS)
    for parameter, gradient in gradients(decoder, longest).items():
        assert torch.equal(gradient, full[parameter]), parameter
    torch.testing.assert_close(forced(decoder, 1).logits, forced(decoder).logits)
    cut = gradients(decoder, longest - 1)
    assert any(not torch.allclose(cut[parameter], full[parameter]) for parameter in full)


def test_no_gradient_crosses_the_cut() -> None:
    """The second token reaches the third's logits through the recurrence alone."""
    decoder = make_decoder("rnn", attention=False)
    tokens, lengths = pad_captions([[4, 5, END]])
    features = torch.randn(1, N, D)

    def reach(truncate_steps: int) -> float:
        decoder.zero_grad()
        decoder(tokens, lengths, torch.tensor([0]), features, truncate_steps).logits[
            2, 0
        ].backward()
        gradient = decoder.embedding.weight.grad
        assert gradient is not None
        return float(gradient[4].abs().sum())

    assert reach(0) == reach(3) > 0
    assert reach(1) == reach(2) == 0


@pytest.fixture(scope="module")
def hello() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "hello.py"
    spec = importlib.util.spec_from_file_location("hello", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CELLS)
def test_hello_is_sampled_back_one_letter_at_a_time(hello: ModuleType, name: str) -> None:
    decoder, vocabulary = hello.train("hello", name)
    assert set(vocabulary.words[4:]) == set("helo")
    for seed in range(3):
        letters = hello.sample(decoder, vocabulary, seed=seed)
        assert "".join(letter for letter, _ in letters) == "hello"
        assert all(probability > 0.9 for _, probability in letters)


def test_the_settings_name_every_cell() -> None:
    assert set(settings.CELLS) == set(CELLS)
