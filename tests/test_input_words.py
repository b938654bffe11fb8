"""What is read in place of the reference: which words, how often, and what stays as it was."""

import math

import pytest
import torch
from torch import Tensor

from captioner.attention import SpatialAttention
from captioner.batches import pad
from captioner.decoder import CaptionDecoder, TeacherForced
from captioner.input_words import drop_words, mix_words
from captioner.recurrence import make_cell
from captioner.vocabulary import END, NEVER_WRITTEN, PADDING, START, UNKNOWN

V, D, N = 11, 6, 5
CAPTIONS = [[4, 5, 6, END], [7, END], [8, 9, END]]
PICTURES = torch.tensor([0, 1, 1])


def make_decoder() -> CaptionDecoder:
    torch.manual_seed(3)
    return CaptionDecoder(
        attention=SpatialAttention(query_size=7, feature_size=D, attention_size=4, heads=2),
        cell=make_cell("lstm", hidden_size=7, layers=1, dropout=0.0),
        vocabulary_size=V,
        feature_size=D,
        embedding_size=5,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )


def forced(captions: list[list[int]], inputs: Tensor | None = None) -> TeacherForced:
    decoder = make_decoder()
    tokens, lengths = pad(captions)
    return decoder(tokens, lengths, PICTURES, torch.randn(2, N, D), inputs=inputs)


def test_words_are_dropped_as_often_as_said_and_start_never() -> None:
    torch.manual_seed(0)
    inputs = torch.full((1000, 7), 5)
    inputs[:, 0] = START
    read = drop_words(inputs, 0.3)
    assert (read[:, 0] == START).all()
    dropped = read[:, 1:] == UNKNOWN
    assert (read[:, 1:][~dropped] == 5).all()
    assert float(dropped.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert (inputs[:, 1:] == 5).all()


def test_where_every_word_is_dropped_the_words_read_do_not_count_and_the_targets_stay() -> None:
    tokens, _ = pad(CAPTIONS)
    other, _ = pad([[9, 4, 4, END], [5, END], [6, 8, END]])
    one, two = (forced(CAPTIONS, drop_words(words[:, :-1], 1.0)) for words in (tokens, other))
    assert torch.equal(one.logits, two.logits)
    assert torch.equal(one.targets, forced(CAPTIONS).targets)
    assert not torch.allclose(forced(CAPTIONS, other[:, :-1]).logits, forced(CAPTIONS).logits)


def test_the_references_own_words_are_read_by_default_in_any_order_of_captions() -> None:
    """The second caption is shorter than the third: forward sorts them."""
    tokens, _ = pad(CAPTIONS)
    assert torch.equal(forced(CAPTIONS, tokens[:, :-1]).logits, forced(CAPTIONS).logits)


def predicted(word: int | None = None) -> TeacherForced:
    """Teacher forcing over CAPTIONS; with a word, it is as good as certain everywhere."""
    found = forced(CAPTIONS)
    if word is not None:
        found.logits[:] = 0.0
        found.logits[:, word] = 50.0
    return found


def test_a_word_is_replaced_by_what_was_predicted_in_its_place() -> None:
    tokens, _ = pad(CAPTIONS)
    found = predicted()
    with torch.no_grad():
        for row in range(3):
            # Certain of the word 4 + row at a caption's first place, of 10 at the others.
            mine = found.captions == row
            found.logits[mine] = 0.0
            found.logits[mine & (found.positions == 0), 4 + row] = 50.0
            found.logits[mine & (found.positions > 0), 10] = 50.0
    mixed = mix_words(tokens[:, :-1], found, 1.0)
    assert mixed.tolist() == [
        [START, 4, 10, 10],
        [START, 5, END, PADDING],  # what stands after the last word is not read
        [START, 6, 10, END],
    ]
    assert tokens.tolist() == pad(CAPTIONS)[0].tolist()


def test_with_probability_0_the_reference_is_read() -> None:
    tokens, _ = pad(CAPTIONS)
    mixed = mix_words(tokens[:, :-1], predicted(4), 0.0)
    assert torch.equal(mixed, tokens[:, :-1])
    assert torch.equal(forced(CAPTIONS, mixed).logits, forced(CAPTIONS).logits)


@pytest.mark.parametrize("special", [*NEVER_WRITTEN, END])
def test_what_is_not_a_word_is_not_read_however_probable(special: int) -> None:
    tokens, _ = pad(CAPTIONS)
    mixed = mix_words(tokens[:, :-1], predicted(special), 1.0)
    assert (mixed[:, 0] == START).all()
    assert all((mixed[row, 1 : len(CAPTIONS[row])] >= 4).all() for row in range(3))


def test_words_are_drawn_with_their_probabilities_as_often_as_said() -> None:
    torch.manual_seed(0)
    tokens, lengths = pad([[4, 5, END]] * 2000)
    logits = torch.zeros(6000, 7)
    logits[:, 6] = math.log(4.0)  # 4, 5 and 6 in the proportion 1 : 1 : 4
    everything = TeacherForced(
        logits=logits,
        targets=tokens[:, 1:].flatten(),
        weights=torch.empty(6000, 0),
        captions=torch.arange(2000).repeat_interleave(3),
        positions=torch.arange(3).repeat(2000),
    )
    mixed = mix_words(tokens[:, :-1], everything, 0.5)
    assert float((mixed[:, 1:] == 6).float().mean()) == pytest.approx(0.5 * 4 / 6, abs=0.02)
    assert float((mixed[:, 1] == 5).float().mean()) == pytest.approx(0.5 / 6, abs=0.02)
