"""The decoder: teacher forcing is its own step repeated, and padding changes nothing."""

import torch
from torch import Tensor

from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END
from captioner.model.attention import SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import LSTMCell

V, E, H, D, A, N = 13, 5, 7, 6, 4, 11


def make_decoder(context_gate: bool = True) -> CaptionDecoder:
    torch.manual_seed(1)
    return CaptionDecoder(
        attention=SpatialAttention(query_size=H, feature_size=D, attention_size=A, heads=2),
        cell=LSTMCell(hidden_size=H),
        vocabulary_size=V,
        feature_size=D,
        embedding_size=E,
        context_gate=context_gate,
        embedding_dropout=0.3,
        hidden_dropout=0.3,
    ).eval()


CAPTIONS = [[4, 5, END], [6, 7, 8, 9, END], [10, END]]
PICTURES = torch.tensor([0, 1, 0])


def test_teacher_forcing_is_the_step_repeated() -> None:
    decoder = make_decoder()
    features = torch.randn(2, N, D)
    tokens, lengths = pad_captions(CAPTIONS)
    forced = decoder(tokens, lengths, PICTURES, features)
    assert forced.logits.shape == (sum(lengths), V)
    for row, caption in enumerate(CAPTIONS):
        own = features[PICTURES[row]].unsqueeze(0)
        keys, state = decoder.attention.project(own), decoder.start(own)
        mine = forced.captions == row
        assert forced.targets[mine].tolist() == caption
        for position, logits in enumerate(forced.logits[mine]):
            stepped, state, weights = decoder.step(tokens[row, position][None], state, own, keys)
            torch.testing.assert_close(logits, stepped[0])
            torch.testing.assert_close(forced.weights[mine][position], weights[0])


def test_transposed_storage_changes_neither_weights_nor_logits_and_survives_loading() -> None:
    plain, stored = make_decoder(), make_decoder()
    stored.store_transposed()
    assert stored.word_input.weight.t().is_contiguous()  # and not as PyTorch has it
    for (name, ours), (plain_name, theirs) in zip(
        stored.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert name == plain_name
        assert torch.equal(ours, theirs)
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(0.1)
    stored.load_state_dict(plain.state_dict())
    tokens, lengths = pad_captions(CAPTIONS)
    features = torch.randn(2, N, D)
    before, after = (each(tokens, lengths, PICTURES, features) for each in (plain, stored))
    torch.testing.assert_close(after.logits, before.logits)
    assert not torch.allclose(
        make_decoder()(tokens, lengths, PICTURES, features).logits, after.logits
    )


def test_order_of_captions_does_not_matter() -> None:
    decoder = make_decoder(context_gate=False)
    features = torch.randn(2, N, D)

    def logits_of(order: list[int]) -> list[Tensor]:
        tokens, lengths = pad_captions([CAPTIONS[row] for row in order])
        forced = decoder(tokens, lengths, PICTURES[order], features)
        return [forced.logits[forced.captions == order.index(row)] for row in range(3)]

    for one, other in zip(logits_of([0, 1, 2]), logits_of([2, 0, 1]), strict=True):
        torch.testing.assert_close(one, other)


def test_the_first_word_depends_on_the_picture_and_later_ones_on_the_words_before() -> None:
    decoder = make_decoder()
    features = torch.randn(2, N, D)
    tokens, lengths = pad_captions([[4, 5, END], [4, 6, END]])
    forced = decoder(tokens, lengths, torch.tensor([0, 0]), features)
    first, second, third = forced.logits.view(3, 2, V)
    torch.testing.assert_close(first[0], first[1])
    torch.testing.assert_close(second[0], second[1])
    assert (third[0] - third[1]).abs().max() > 1e-4
    other = decoder(tokens, lengths, torch.tensor([1, 1]), features)
    assert (other.logits.view(3, 2, V)[0] - first).abs().max() > 1e-4


def test_gradients_reach_every_weight() -> None:
    decoder = make_decoder()
    tokens, lengths = pad_captions(CAPTIONS)
    forced = decoder(tokens, lengths, PICTURES, torch.randn(2, N, D))
    forced.logits.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
