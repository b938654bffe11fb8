"""What every search shares: what must not come next, the words so far, a caption found."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, NEVER_WRITTEN, Vocabulary
from captioner.decoding.runtime import Bans, Floats, Ints


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
    weights: Floats


def limits_in_tokens(decoding: DecodingConfig, vocabulary: Vocabulary) -> DecodingConfig:
    """The search settings with max_words as the number of tokens.

    For a vocabulary of characters there is no ban on repeated n-grams, which would be of letters.
    """
    if vocabulary.tokens_per_word == 1:
        return decoding
    return replace(
        decoding, max_words=vocabulary.tokens_per_word * decoding.max_words, block_ngrams=0
    )


def find_bans(written: Ints, block_ngrams: int) -> Bans:
    """What must not follow the tokens written (rows, t) so far.

    Padding, start and unknown never come, END never comes first. With block_ngrams = n > 0 no token
    completes an n-gram that is already written.
    """
    length = written.shape[1]
    everywhere = NEVER_WRITTEN if length else [*NEVER_WRITTEN, END]
    if not block_ngrams or length < block_ngrams:
        none = np.empty(0, np.int64)
        return Bans(everywhere, none, none)
    windows = sliding_window_view(written, block_ngrams, axis=1)  # (rows, windows, n)
    last = written[:, None, length - block_ngrams + 1 :]  # (rows, 1, n - 1)
    row, window = (windows[..., :-1] == last).all(-1).nonzero()  # (M,)
    return Bans(everywhere, row, windows[row, window, -1])


class History:
    """The words of a search step by step, each with the index of the word that it follows."""

    def __init__(self) -> None:
        self.steps: list[tuple[list[int], list[int], list[float], Floats]] = []

    def add(self, parents: list[int], words: Ints, log_probs: Floats, weights: Floats) -> None:
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
            probabilities=tuple(np.exp(np.array(log_probs[:0:-1], np.float32)).tolist()),
            weights=np.stack(weights[:0:-1]),
        )
