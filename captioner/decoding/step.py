"""What every search shares: the decoder's step over its active rows, and a caption found."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, NEVER_WRITTEN, Vocabulary
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import State


@dataclass(frozen=True)
class Hypothesis:
    """One caption found: T tokens, without END, which counts in log_probability.

    probabilities (T): of each token given those before it. weights (T, N): where the model looked
    before each (with a sentinel, a row sums to less than 1). log_probability: natural logarithm of
    the probability of the whole caption.
    """

    tokens: tuple[int, ...]
    log_probability: float
    probabilities: tuple[float, ...]
    weights: Tensor


def limits_in_tokens(decoding: DecodingConfig, vocabulary: Vocabulary) -> DecodingConfig:
    """The search settings with max_words as the number of tokens.

    For a vocabulary of characters there is no ban on repeated n-grams, which would be of letters.
    """
    if vocabulary.tokens_per_word == 1:
        return decoding
    return replace(
        decoding, max_words=vocabulary.tokens_per_word * decoding.max_words, block_ngrams=0
    )


class ActiveRows:
    """The decoder at work on rows of unfinished captions: one per picture at first.

    decoder: its attention, cell and output; features (B, N, D) of B pictures. Later G consecutive
    rows share a picture, as `select` decides.
    """

    def __init__(self, decoder: CaptionDecoder, features: Tensor) -> None:
        self.decoder = decoder
        self.features = features  # (B, N, D)
        self.keys = decoder.attention.project(features)  # (B, N, A)
        self.state: State = decoder.start(features)  # parts (B·G, H)

    def step(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The words (rows,) written last to the next word's logits (rows, V), weights (rows, N)."""
        logits, self.state, weights = self.decoder.step(words, self.state, self.features, self.keys)
        return logits, weights

    def select(self, rows: Tensor, pictures: list[int]) -> None:
        """Continue with these rows, equally many for each of these pictures, in their order."""
        self.state = tuple(part[rows] for part in self.state)
        if len(pictures) < len(self.keys):
            self.features = self.features[pictures]
            self.keys = self.keys[pictures]


class History:
    """The words of a search step by step, each with the index of the word that it follows."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[int], list[int], list[float], Tensor]] = []

    def add(self, parents: list[int], words: Tensor, log_probs: Tensor, weights: Tensor) -> None:
        """Record one step: words (M,), their log_probs (M,) and weights (M, N).

        parents: for each word, the index among the previous step's words of the one it follows.
        """
        self.steps.append((parents, words.tolist(), log_probs.tolist(), weights))

    def hypothesis(self, index: int, length: int | None = None) -> Hypothesis:
        """The caption whose last word, END, has this index in step `length` (default: the last)."""
        words, log_probs, weights = [], [], []
        for parents, step_words, step_log_probs, step_weights in reversed(self.steps[:length]):
            words.append(step_words[index])
            log_probs.append(step_log_probs[index])
            weights.append(step_weights[index])
            index = parents[index]
        return Hypothesis(
            tokens=tuple(reversed(words[1:])),
            log_probability=sum(log_probs),
            probabilities=tuple(torch.tensor(log_probs[:0:-1]).exp().tolist()),
            weights=torch.stack(weights[:0:-1]).float().cpu(),
        )


def next_log_probs(logits: Tensor, written: Tensor, max_words: int, block_ngrams: int) -> Tensor:
    """Log probabilities (rows, V) of the next token from logits (rows, V), with bans applied.

    written (rows, t): the tokens so far. Padding, start and unknown never come; END never comes
    first, and only END comes after max_words tokens. With block_ngrams = n > 0 no token completes
    an n-gram that is already written; where that leaves nothing, END.
    """
    logits = logits.float()
    logits[:, NEVER_WRITTEN] = float("-inf")
    length = written.shape[1]
    if length == 0:
        logits[:, END] = float("-inf")
    if length >= max_words:
        logits = torch.full_like(logits, float("-inf"))
        logits[:, END] = 0.0
    elif block_ngrams and length >= block_ngrams:
        windows = written.unfold(1, block_ngrams, 1)  # (rows, windows, n)
        last = written[:, length - block_ngrams + 1 :].unsqueeze(1)  # (rows, 1, n - 1)
        repeated = (windows[..., :-1] == last).all(-1)  # (rows, windows)
        row, window = repeated.nonzero(as_tuple=True)
        logits[row, windows[row, window, -1]] = float("-inf")
    return torch.log_softmax(logits, dim=-1)
