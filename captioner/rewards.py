"""What a sampled caption is worth in self-critical training."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from captioner.metrics import bleu
from captioner.metrics.cider import CiderD
from captioner.metrics.tokenizer import tokenize
from captioner.vocabulary import Vocabulary

# Counted as a word at the end of captions and references, so that breaking off costs
# (without it, self-critical captions learn to end in "on a").
_END_WORD = "<end>"


class CaptionReward:
    """CIDEr-D plus bleu_reward times sentence BLEU-4, against the captions of each picture.

    captions: all captions of each training picture; their document frequencies weigh the words.
    """

    def __init__(
        self, captions: Sequence[Sequence[str]], vocabulary: Vocabulary, *, bleu_reward: float
    ) -> None:
        self.references = [[[*tokenize(text), _END_WORD] for text in texts] for texts in captions]
        self.cider = CiderD(self.references)
        self.bleu_reward = bleu_reward
        self.vocabulary = vocabulary

    def __call__(self, samples: Sequence[Sequence[int]], pictures: Sequence[int]) -> np.ndarray:
        """Rewards (C,) of C token lists that end with END, each for the picture of that index."""
        candidates = [self._words(sample) for sample in samples]
        rewards = self.cider.score(candidates, pictures)
        if self.bleu_reward:
            counts = bleu.count(candidates, [self.references[picture] for picture in pictures])
            scores = bleu.from_counts(
                counts.matches, counts.ngrams, counts.lengths, counts.reference_lengths
            )
            rewards = rewards + self.bleu_reward * scores[:, 3]
        return rewards

    def _words(self, sample: Sequence[int]) -> list[str]:
        written = self.vocabulary.decode(sample).split()
        return [part for word in written for part in _scored(word)] + [_END_WORD]


@lru_cache(maxsize=100_000)
def _scored(word: str) -> list[str]:
    """A written word can be several scored ones: man's is scored as man and 's."""
    return tokenize(word)
