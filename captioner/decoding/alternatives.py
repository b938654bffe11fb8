"""Find the most probable other words at each word of a caption, by writing it once more."""

from collections.abc import Sequence

import numpy as np

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import PADDING, START, CharacterVocabulary
from captioner.decoding.outputs import Caption, Word
from captioner.decoding.runtime import Features, Runtime, caption_vocabulary
from captioner.decoding.step import find_bans

Alternatives = tuple[tuple[Word, ...], ...]  # for each word of a caption, other words, best first


def find_alternatives(
    model: Runtime,
    features: Features,
    captions: Sequence[Caption],
    pictures: Sequence[int],
    decoding: DecodingConfig,
    *,
    count: int = 4,
) -> list[Alternatives]:
    """Find the `count` most probable alternatives to each word of each caption.

    features: (B, N, D); pictures: for each caption the index of its picture; decoding: how the
    captions were found, so that the same tokens are banned. An alternative may be more probable
    than the word itself and may be "<end>". Models that write characters have no alternatives.
    """
    vocabulary = caption_vocabulary(model)
    if not captions or isinstance(vocabulary, CharacterVocabulary):
        return [tuple(() for _ in caption.words) for caption in captions]
    lengths = [len(caption.tokens) for caption in captions]
    tokens = np.full((len(captions), 1 + max(lengths)), PADDING)  # (captions, 1 + longest)
    tokens[:, 0] = START
    for row, caption in enumerate(captions):
        tokens[row, 1 : 1 + lengths[row]] = caption.tokens
    found: list[list[tuple[Word, ...]]] = [[] for _ in captions]
    active = list(range(len(captions)))
    rows = model.start(features[list(pictures)])  # a row for each caption
    for index in range(max(lengths)):
        going_on = [row for row, number in enumerate(active) if index < lengths[number]]
        if len(going_on) < len(active):
            rows.select(np.array(going_on), going_on)
            active = [active[row] for row in going_on]
        bans = find_bans(tokens[active, 1 : 1 + index], decoding.block_ngrams)
        best = rows.best(tokens[active, index], bans, count + 1)
        probs = np.exp(best.log_probs).tolist()  # (rows, count + 1)
        for row, number in enumerate(active):
            others = [
                Word(vocabulary.words[word], prob)
                for word, prob in zip(best.words[row].tolist(), probs[row], strict=True)
                if prob > 0 and word != tokens[number, index + 1]
            ]
            found[number].append(tuple(others[:count]))
    return [tuple(alternatives) for alternatives in found]
