"""The losses, worked by hand."""

import math

import torch

from captioner.config.settings import DecodingConfig
from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END
from captioner.decoding.sampling import draw
from captioner.model.attention import SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import make_cell
from captioner.model.teacher_forcing import TeacherForced
from captioner.training.losses import caption_loss, leave_one_out_advantages, self_critical_loss


def forced(
    logits: list[list[float]],
    targets: list[int],
    captions: list[int],
    positions: list[int] | None = None,
) -> TeacherForced:
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])
    return TeacherForced(
        logits=torch.tensor(logits),
        targets=torch.tensor(targets),
        weights=weights,
        captions=torch.tensor(captions),
        positions=torch.tensor(positions or [1, 1, 1]),
    )


# Softmax of (ln 3, 0) is (3/4, 1/4).
LOGITS = [[math.log(3), 0.0]] * 3


def test_caption_loss_is_the_mean_over_words() -> None:
    loss = caption_loss(
        forced(LOGITS, [0, 0, 1], [0, 1, 0]), label_smoothing=0.0, attention_penalty=0.0
    )
    expected = -(2 * math.log(0.75) + math.log(0.25)) / 3
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_doubly_stochastic_penalty() -> None:
    predicted = forced(LOGITS, [0, 0, 1], [0, 1, 0])
    plain = caption_loss(predicted, label_smoothing=0.0, attention_penalty=0.0)
    loss = caption_loss(predicted, label_smoothing=0.0, attention_penalty=2.0)
    # The total weights of caption 0 are (0.75, 1.25), those of caption 1 are (1, 0).
    penalty = ((0.25**2 + 0.25**2) + (0.0 + 1.0)) / 2
    torch.testing.assert_close(loss - plain, torch.tensor(2.0 * penalty))


def test_advantages_compare_with_the_other_samples() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    expected = torch.tensor([[1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(leave_one_out_advantages(rewards), expected)


def test_self_critical_loss_weights_words_by_the_advantage_of_their_caption() -> None:
    # Six words: tokens 0, 1 and 3 are banned, so 2, 4 and 5 have all the probability.
    logits = [[9.0, 9.0, 0.0, 9.0, 2 * math.log(2), 0.0]] * 3
    loss = self_critical_loss(
        forced(logits, [4, 2, 5], [0, 1, 0]),
        torch.tensor([2.0, -1.0]),
        temperature=2.0,
        max_words=9,
    )
    # At temperature 2 the three have probabilities 1/4, 1/2 and 1/4.
    expected = -(2 * math.log(0.5) - math.log(0.25) + 2 * math.log(0.25)) / 3
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_self_critical_loss_uses_the_probabilities_of_sampling() -> None:
    torch.manual_seed(0)
    decoder = CaptionDecoder(
        attention=SpatialAttention(query_size=6, feature_size=4, attention_size=4, additive=True),
        cell=make_cell("lstm", hidden_size=6, layers=1, dropout=0.0),
        vocabulary_size=7,
        feature_size=4,
        embedding_size=5,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    ).eval()
    features = torch.randn(3, 5, 4)
    # With two words at most, some captions sample END and others get a forced END.
    config = DecodingConfig(sample=True, num_captions=8, max_words=2, block_ngrams=0)
    drawn = sum(draw(decoder, features, config, seeds=(1, 2, 3)), [])
    captions = [[*hypothesis.tokens, END] for hypothesis in drawn]
    assert {len(caption) for caption in captions} == {2, 3}
    tokens, lengths = pad_captions(captions)
    rows = torch.arange(3).repeat_interleave(8)
    predicted = decoder(tokens, lengths, rows, features)
    chosen = int((predicted.positions < 2).sum())
    for caption in (0, 5, 23):
        advantages = torch.zeros(24)
        advantages[caption] = 1.0
        loss = self_critical_loss(predicted, advantages, temperature=1.0, max_words=2)
        expected = torch.tensor(drawn[caption].log_probability)
        torch.testing.assert_close(-loss * chosen, expected)
