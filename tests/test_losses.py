"""Losses, worked by hand."""

import math

import torch

from captioner.decoder import TeacherForced
from captioner.losses import caption_loss, leave_one_out_advantages, self_critical_loss


def forced(logits: list[list[float]], targets: list[int], captions: list[int]) -> TeacherForced:
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])
    return TeacherForced(
        logits=torch.tensor(logits),
        targets=torch.tensor(targets),
        weights=weights,
        captions=torch.tensor(captions),
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
    # Caption 0 looked at (0.75, 1.25), caption 1 at (1, 0).
    penalty = ((0.25**2 + 0.25**2) + (0.0 + 1.0)) / 2
    torch.testing.assert_close(loss - plain, torch.tensor(2.0 * penalty))


def test_advantages_compare_with_the_other_samples() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    expected = torch.tensor([[1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(leave_one_out_advantages(rewards), expected)


def test_self_critical_loss_weighs_words_by_their_captions_advantage() -> None:
    # Six words: the special tokens 0, 1 and 3 are never written, so 2, 4 and 5 share all.
    logits = [[9.0, 9.0, 0.0, 9.0, 2 * math.log(2), 0.0]] * 3
    loss = self_critical_loss(
        forced(logits, [4, 2, 5], [0, 1, 0]), torch.tensor([2.0, -1.0]), temperature=2.0
    )
    # At temperature 2 the three have probabilities 1/4, 1/2 and 1/4.
    expected = -(2 * math.log(0.5) - math.log(0.25) + 2 * math.log(0.25)) / 3
    torch.testing.assert_close(loss, torch.tensor(expected))
