"""What every search goes by: who writes, the next word's distribution, and a caption found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captioner.decoder import CaptionDecoder
from captioner.recurrence import State
from captioner.vocabulary import END, NEVER_WRITTEN


@dataclass(frozen=True)
class Hypothesis:
    """One caption found. T words; END is not among them but counts in log_probability.

    tokens (T), probabilities (T) of each word given those before it, weights (T, N): where it
    looked (what a row lacks to 1 went to the sentinel); log_probability: natural logarithm of the
    whole caption's probability.
    """

    tokens: tuple[int, ...]
    log_probability: float
    probabilities: tuple[float, ...]
    weights: Tensor


@dataclass(frozen=True)
class Member:
    """One of those who write a caption together: a decoder, and features (B, N, D) it looks at.

    One decoder can be several members, with features of the pictures and of their mirror images.
    All members know the same vocabulary and look at the same B pictures.
    """

    decoder: CaptionDecoder
    features: Tensor


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Logits of the mean of the members' probabilities: log(sum of p_i / n), (rows, V).

    Probabilities are averaged, not their logarithms: the mean is then itself what a model of the
    caption would say, the equal mixture of the members, and a word that only one of them thinks
    impossible can still be written. The mean of one member is that member's.
    """
    if len(logits) == 1:
        return logits[0]
    parts = torch.stack([torch.log_softmax(part.float(), dim=-1) for part in logits])
    return torch.logsumexp(parts, dim=0) - math.log(len(logits))


class Writing:
    """The members at work on rows of captions: at first one a picture, later as `keep` says."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.decoders = [member.decoder for member in members]
        self.features = [member.features for member in members]
        self.keys = [member.decoder.attention.project(member.features) for member in members]
        self.states: list[State] = [member.decoder.start(member.features) for member in members]

    def step(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The words written last (rows,) to the next one's logits (rows, V) and weights (rows, N).

        The weights are the mean of the members' that have the first one's grid.
        """
        logits: list[Tensor] = []
        looked: list[Tensor] = []
        for place, decoder in enumerate(self.decoders):
            scores, self.states[place], weights = decoder.step(
                words, self.states[place], self.features[place], self.keys[place]
            )
            logits.append(scores)
            if not looked or weights.shape == looked[0].shape:
                looked.append(weights)
        return mean_logits(logits), sum(looked[1:], looked[0]) / len(looked)

    def keep(self, rows: Tensor, pictures: list[int]) -> None:
        """Go on from these rows, as many of each of these pictures, one picture after the other."""
        self.states = [tuple(part[rows] for part in state) for state in self.states]
        if len(pictures) < len(self.keys[0]):
            self.features = [part[pictures] for part in self.features]
            self.keys = [part[pictures] for part in self.keys]


class History:
    """What was written, step by step, each word after one of the words of the step before."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[int], list[int], list[float], Tensor]] = []

    def add(self, parents: list[int], words: Tensor, chances: Tensor, weights: Tensor) -> None:
        """One step's words (D,), their log probabilities (D,) and where they looked (D, N).

        parents: of each word, the place among the last step's of the word it follows.
        """
        self.steps.append((parents, words.tolist(), chances.tolist(), weights))

    def caption(self, place: int, length: int | None = None) -> Hypothesis:
        """The caption that ended with this word of the step `length`, by default the last."""
        words, chances, weights = [], [], []
        for parents, step_words, step_chances, step_weights in reversed(self.steps[:length]):
            words.append(step_words[place])
            chances.append(step_chances[place])
            weights.append(step_weights[place])
            place = parents[place]
        return Hypothesis(
            tokens=tuple(reversed(words[1:])),
            log_probability=sum(chances),
            probabilities=tuple(torch.tensor(chances[:0:-1]).exp().tolist()),
            weights=torch.stack(weights[:0:-1]).float().cpu(),
        )


def next_log_probabilities(
    logits: Tensor, written: Tensor, max_words: int, block_ngrams: int
) -> Tensor:
    """Log probabilities (rows, V) of the next token, given those written (rows, t), with bans.

    Padding, start and unknown never come; END not at first and only END after max_words words;
    no word that would end an n-gram a second time. Where the ban on n-grams leaves nothing, END.
    """
    logits = logits.float()
    logits[:, NEVER_WRITTEN] = float("-inf")
    words = written.shape[1]
    if words == 0:
        logits[:, END] = float("-inf")
    if words >= max_words:
        logits = torch.full_like(logits, float("-inf"))
        logits[:, END] = 0.0
    elif block_ngrams and words >= block_ngrams:
        windows = written.unfold(1, block_ngrams, 1)  # (rows, windows, n)
        before = written[:, words - block_ngrams + 1 :].unsqueeze(1)
        seen = (windows[..., :-1] == before).all(-1)
        row, window = seen.nonzero(as_tuple=True)
        logits[row, windows[row, window, -1]] = float("-inf")
    return torch.log_softmax(logits, dim=-1)
