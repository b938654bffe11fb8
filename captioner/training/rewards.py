"""What a sampled caption is worth in self-critical training."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from captioner.data.vocabulary import Vocabulary
from captioner.metrics import bleu
from captioner.metrics.cider import CiderD
from captioner.metrics.ptb_tokenizer import tokenize

# Counted as a word at the end of captions and references, so that breaking off costs
# (without it, self-critical captions learn to end in "on a").
_END_WORD = "<end>"

# A word that so large a share of the captions that say it say again ("a", "and", "train" for its
# tracks, "dog") may be said again of any picture, as often as it may.
_OFTEN_REPEATED = 0.05


class CaptionReward:
    """CIDEr-D plus bleu_reward times sentence BLEU-4, against the captions of each picture.

    captions: all captions of each training picture; their document frequencies weigh the words.
    repeat_cost: taken off each time that a caption says a word again which neither a caption of
    its picture says so often nor people often repeat ("a woman and a woman").
    """

    def __init__(
        self,
        captions: Sequence[Sequence[str]],
        vocabulary: Vocabulary,
        *,
        bleu_reward: float,
        repeat_cost: float,
    ) -> None:
        self.references = [[[*tokenize(text), _END_WORD] for text in texts] for texts in captions]
        self.cider = CiderD(self.references)
        self.bleu_reward = bleu_reward
        self.repeat_cost = repeat_cost
        self.often_repeated = _often_repeated(self.references) if repeat_cost else set()
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
        if self.repeat_cost:
            repeats = [
                self._repeats(candidate, picture)
                for candidate, picture in zip(candidates, pictures, strict=True)
            ]
            rewards = rewards - self.repeat_cost * np.array(repeats)
        return rewards

    def _repeats(self, candidate: Sequence[str], picture: int) -> int:
        """How often a candidate says a word again that it may not."""
        repeats = 0
        for word, times in Counter(candidate).items():
            if times > 1 and word not in self.often_repeated:
                said = max(reference.count(word) for reference in self.references[picture])
                repeats += max(0, times - max(1, said))
        return repeats

    def _words(self, sample: Sequence[int]) -> list[str]:
        written = self.vocabulary.decode(sample).split()
        return [part for word in written for part in _scored(word)] + [_END_WORD]


@lru_cache(maxsize=100_000)
def _scored(word: str) -> list[str]:
    """A written word can be several scored ones: man's is scored as man and 's."""
    return tokenize(word)


def _often_repeated(captions: Sequence[Sequence[Sequence[str]]]) -> set[str]:
    """The words that people often say twice in a caption."""
    said: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for texts in captions:
        for text in texts:
            counts = Counter(text)
            said.update(counts.keys())
            repeated.update(word for word, times in counts.items() if times > 1)
    return {word for word, times in repeated.items() if times >= _OFTEN_REPEATED * said[word]}
