"""The losses of training. Modules return logits; everything about targets is here."""

import torch
from torch import Tensor
from torch.nn import functional

from captioner.data.vocabulary import END, NEVER_WRITTEN
from captioner.model.decoder import TeacherForced


def caption_loss(
    predicted: TeacherForced, *, label_smoothing: float, attention_penalty: float
) -> Tensor:
    """Mean cross entropy per word (nats), plus the doubly stochastic penalty.

    The penalty, attention_penalty times the mean over captions of sum_i (1 - sum_t a_ti)^2, asks
    every location to be looked at about once per caption (Xu et al. 2015, equation 14); looking at
    a sentinel is not looking at a location.
    """
    loss = functional.cross_entropy(
        predicted.logits.float(), predicted.targets, label_smoothing=label_smoothing
    )
    if attention_penalty:
        captions = int(predicted.captions.max()) + 1
        weights = predicted.weights.float()  # (words, N)
        looked = weights.new_zeros(captions, weights.shape[1])
        looked = looked.index_add(0, predicted.captions, weights)  # (B, N)
        loss = loss + attention_penalty * (1 - looked).square().sum(1).mean()
    return loss


def self_critical_loss(
    predicted: TeacherForced, advantages: Tensor, *, temperature: float, max_words: int
) -> Tensor:
    """Policy gradient on sampled captions (Rennie et al. 2017, equation 8), mean per word.

    predicted: teacher forcing over the samples; advantages (captions,): reward minus baseline.
    temperature and max_words are those of the sampling, so that the gradient is that of the
    policy: no END at first, and an END that was forced after max_words was not sampled.
    """
    logits = predicted.logits.float() / temperature  # (words, V)
    logits[:, NEVER_WRITTEN] = float("-inf")
    logits[predicted.positions == 0, END] = float("-inf")
    log_probs = -functional.cross_entropy(logits, predicted.targets, reduction="none")  # (words,)
    sampled = predicted.positions < max_words  # (words,)
    return -(advantages[predicted.captions] * log_probs)[sampled].mean()


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """Rewards (pictures, samples) minus the mean reward of the same picture's other samples."""
    samples = rewards.shape[1]
    others = (rewards.sum(1, keepdim=True) - rewards) / (samples - 1)  # (pictures, samples)
    return rewards - others


def answer_loss(logits: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
    """Mean cross entropy per question (nats) against the shares of people who gave each answer.

    logits, targets: (R, answers). What people answered beside the answers that can be given counts
    for nothing (Kazemi and Elqursh 2017, equation 3). label_smoothing: how much of the targets is
    spread evenly over all answers.
    """
    log_probs = torch.log_softmax(logits.float(), dim=-1)  # (R, answers)
    given = (targets * log_probs).sum(1)  # (R,)
    uniform = log_probs.mean(1)  # (R,)
    return -((1 - label_smoothing) * given + label_smoothing * uniform).mean()


def pair_loss(logits: Tensor, targets: Tensor, wordings: Tensor) -> Tensor:
    """Mean loss per pair of questions with the same words and different answers.

    Of a pair whose answers are a and b, for logits s of the first and t of the second question:
    log(1 + exp(-m)) with m = (s_a - s_b) - (t_a - t_b). What the words alone make likely is in s
    and t alike and cancels out: only the pictures can make m large. logits, targets: (R, answers);
    wordings (R,): equal where the words are. 0 where there is no pair.
    """
    logits = logits.float()
    best = targets.argmax(1)  # (R,)
    known = targets.sum(1) > 0  # (R,)
    pairs = (wordings.unsqueeze(1) == wordings) & (best.unsqueeze(1) != best)  # (R, R)
    pairs = (pairs & known.unsqueeze(1) & known).triu(1)
    scores = logits[:, best]  # (R, R): of each question, the logit of each question's answer
    own = scores.diagonal()  # (R,)
    margins = own.unsqueeze(1) - scores - scores.t() + own  # (R, R)
    losses = functional.softplus(-margins[pairs])
    return losses.sum() / max(1, len(losses))
