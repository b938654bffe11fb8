"""The losses of training; the modules of the model return logits."""

import torch
from torch import Tensor
from torch.nn import functional

from captioner.data.vocabulary import END, NEVER_WRITTEN
from captioner.model.teacher_forcing import TeacherForced


def caption_loss(
    predicted: TeacherForced,
    *,
    label_smoothing: float,
    attention_penalty: float,
    captions: int | None = None,
) -> Tensor:
    """Mean cross entropy per word (nats), plus the doubly stochastic penalty.

    The penalty, attention_penalty times the mean over captions of sum_i (1 - sum_t a_ti)^2, pushes
    the total weight of every location in a caption towards 1 (Xu et al. 2015, equation 14); the
    weight of a sentinel does not count. captions: how many there are; else they are counted, for
    which a GPU has to be waited for.
    """
    loss = functional.cross_entropy(
        predicted.logits.float(), predicted.targets, label_smoothing=label_smoothing
    )
    if attention_penalty:
        captions = captions or int(predicted.captions.max()) + 1
        weights = predicted.weights.float()  # (words, N)
        totals = weights.new_zeros(captions, weights.shape[1])  # (captions, N)
        totals = totals.index_add(0, predicted.captions, weights)  # (captions, N)
        loss = loss + attention_penalty * (1 - totals).square().sum(1).mean()
    return loss


def self_critical_loss(
    predicted: TeacherForced, advantages: Tensor, *, temperature: float, max_words: int
) -> Tensor:
    """Policy gradient loss on sampled captions (Rennie et al. 2017, equation 8), mean per word.

    predicted: teacher forcing on the samples; advantages (captions,): reward minus baseline.
    temperature and max_words: those of sampling, so that the probabilities are those of the policy;
    END cannot come first, and an END forced after max_words was not sampled.
    """
    logits = predicted.logits.float() / temperature  # (words, V)
    for token in NEVER_WRITTEN:
        logits[:, token] = float("-inf")
    # No index by a mask, whose size a GPU would have to be waited for.
    logits[:, END] = logits[:, END].masked_fill(predicted.positions == 0, float("-inf"))
    log_probs = -functional.cross_entropy(logits, predicted.targets, reduction="none")  # (words,)
    sampled = predicted.positions < max_words  # (words,)
    gains = (advantages[predicted.captions] * log_probs).masked_fill(~sampled, 0.0)  # (words,)
    return -gains.sum() / sampled.sum()


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """Rewards (pictures, samples) minus the mean reward of the picture's other samples."""
    samples = rewards.shape[1]
    others = (rewards.sum(1, keepdim=True) - rewards) / (samples - 1)  # (pictures, samples)
    return rewards - others


def answer_loss(logits: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
    """Mean cross entropy per question (nats) with the shares of people who gave each answer.

    logits, targets: (R, answers). Human answers outside the answer vocabulary are ignored (Kazemi
    and Elqursh 2017, equation 3). label_smoothing: the share of the target that is spread uniformly
    over all answers.
    """
    log_probs = torch.log_softmax(logits.float(), dim=-1)  # (R, answers)
    target = (targets * log_probs).sum(1)  # (R,)
    uniform = log_probs.mean(1)  # (R,)
    return -((1 - label_smoothing) * target + label_smoothing * uniform).mean()


def pair_loss(logits: Tensor, best: Tensor, pairs: Tensor) -> Tensor:
    """Mean loss per pair of questions with the same words and different answers.

    For a pair with the answers a and b, and the logits s of the first and t of the second question:
    log(1 + exp(-m)) with m = (s_a - s_b) - (t_a - t_b). The effect of the words is the same in s
    and t and cancels, so that only the pictures can make m large. logits (R, answers); best (R,)
    and pairs (2, pairs): from `QuestionBatches.pairs`. The loss is 0 without pairs.
    """
    scores = logits.float()[:, best]  # (R, R): each question's logit of each question's answer
    own = scores.diagonal()  # (R,)
    margins = own.unsqueeze(1) - scores - scores.t() + own  # (R, R)
    losses = functional.softplus(-margins[pairs[0], pairs[1]])  # (pairs,)
    return losses.sum() / max(1, len(losses))
