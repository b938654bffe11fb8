"""The reward of a sampled caption in self-critical training."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from captioner.data.vocabulary import Vocabulary
from captioner.metrics import bleu
from captioner.metrics.cider import CiderD
from captioner.metrics.ptb_tokenizer import tokenize

# Added as a word to captions and references, so that an incomplete caption scores lower; without
# it, self-critical training learns captions that end in "on a".
_END_WORD = "<end>"

# A word is often repeated ("a", "and", "train" with its tracks, "dog") if at least this share of
# the captions that have it have it twice; repeating such words costs nothing.
_OFTEN_REPEATED = 0.05


class CaptionReward:
    """CIDEr-D plus bleu_reward times sentence BLEU-4, with the captions of each picture.

    captions: all captions of each training picture, also for the document frequencies of CIDEr-D.
    repeat_cost: subtracted for each repetition of a word ("a woman and a woman"), unless a caption
    of the picture repeats it as often or people often repeat it.
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
        """Rewards (C,) of C token lists that end with END; pictures: the index of each picture.

        Equal samples of a picture are counted once.
        """
        pairs = list(zip(map(tuple, samples), pictures, strict=True))
        different = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
        rewards = self._rewards(*zip(*different, strict=True))
        return rewards[[different[pair] for pair in pairs]]

    def _rewards(self, samples: Sequence[Sequence[int]], pictures: Sequence[int]) -> np.ndarray:
        candidates = [self._words(sample) for sample in samples]
        rewards = self.cider.score(candidates, pictures)
        if self.bleu_reward:
            counts = bleu.count(candidates, [self.references[picture] for picture in pictures])
            rewards = rewards + self.bleu_reward * bleu.per_picture(counts)[:, 3]
        if self.repeat_cost:
            repeats = [
                self._repeats(candidate, picture)
                for candidate, picture in zip(candidates, pictures, strict=True)
            ]
            rewards = rewards - self.repeat_cost * np.array(repeats)
        return rewards

    def _repeats(self, candidate: Sequence[str], picture: int) -> int:
        """The number of repetitions in a candidate that cost."""
        repeats = 0
        for word, count in Counter(candidate).items():
            if count > 1 and word not in self.often_repeated:
                allowed = max(reference.count(word) for reference in self.references[picture])
                repeats += max(0, count - max(1, allowed))
        return repeats

    def _words(self, sample: Sequence[int]) -> list[str]:
        words = self.vocabulary.decode(sample).split()
        return [token for word in words for token in _tokenize_word(word)] + [_END_WORD]


@lru_cache(maxsize=100_000)
def _tokenize_word(word: str) -> list[str]:
    """A word can have several tokens: man's is scored as man and 's."""
    return tokenize(word)


def _often_repeated(captions: Sequence[Sequence[Sequence[str]]]) -> set[str]:
    """The words that people often use twice in a caption."""
    used: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for texts in captions:
        for text in texts:
            counts = Counter(text)
            used.update(counts.keys())
            repeated.update(word for word, count in counts.items() if count > 1)
    return {word for word, count in repeated.items() if count >= _OFTEN_REPEATED * used[word]}
