"""Sampling: captions drawn word by word from the distribution of the next word."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.runtime import ActiveRows, Drawn, Floats, Ints
from captioner.decoding.step import History, Hypothesis, find_bans

if TYPE_CHECKING:
    from torch import Tensor

    from captioner.model.decoder import CaptionDecoder


def draw(
    decoder: "CaptionDecoder", features: "Tensor", config: DecodingConfig, seeds: Sequence[int]
) -> list[list[Hypothesis]]:
    """Draw captions of pictures by their features (B, N, D), see `draw_captions`."""
    from captioner.decoding.torch_runtime import TorchRows

    return draw_captions(TorchRows(decoder, features), config, seeds)


def draw_captions(
    rows: ActiveRows, config: DecodingConfig, seeds: Sequence[int]
) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture; equal ones together.

    Captions with the same beginning share a row until they differ, which saves computation. The
    probabilities returned are those of the model before temperature, top-k and top-p. seeds: one
    per picture, so that its captions do not depend on the other pictures of the batch or on the
    device, except for rounding.
    """
    pictures = len(seeds)
    generators = [_Uniforms(seed) for seed in seeds]
    history = History()
    drawn: list[list[Hypothesis]] = [[] for _ in seeds]
    # A row is a different beginning, G per picture; counts: the number of captions that share it.
    active = list(range(pictures))
    kept = list(range(pictures))  # the choices of the last step that are continued
    counts = np.full((pictures, 1), config.num_captions)  # (B, G)
    words = np.full(pictures, START)  # (B·G,)
    written = np.empty((pictures, 0), np.int64)  # (B·G, t)
    while active:
        if written.shape[1] < config.max_words:
            uniforms = [
                generators[picture].draw(unfinished)
                for picture, unfinished in zip(active, counts.sum(1).tolist(), strict=True)
            ]
            bans = find_bans(written, config.block_ngrams)
            found = rows.draw(words, bans, counts.reshape(-1), np.concatenate(uniforms), config)
        else:
            found = _only_end(counts.reshape(-1), found.weights)
        parents, words, multiplicity, log_probs, weights = found
        history.add([kept[row] for row in parents], words, log_probs, weights[parents])
        unfinished: list[list[int]] = [[] for _ in active]
        for index, (row, word) in enumerate(zip(parents.tolist(), words.tolist(), strict=True)):
            group = row // counts.shape[1]
            if word == END:
                drawn[active[group]] += [history.hypothesis(index)] * int(multiplicity[index])
            else:
                unfinished[group].append(index)
        groups = [group for group, indices in enumerate(unfinished) if indices]
        if not groups:
            break
        most = max(len(indices) for indices in unfinished)
        active = [active[group] for group in groups]
        # Pictures with fewer beginnings repeat their first one, with count 0.
        padded = [
            unfinished[group] + unfinished[group][:1] * (most - len(unfinished[group]))
            for group in groups
        ]
        kept = [index for indices in padded for index in indices]
        sizes = np.array([[len(unfinished[group])] for group in groups])  # (B, 1)
        real = np.arange(most) < sizes  # (B, G)
        counts = multiplicity[kept].reshape(len(groups), most) * real  # (B, G)
        parents, words = parents[kept], words[kept]  # (B·G,)
        rows.select(parents, groups)
        written = np.concatenate([written[parents], words[:, None]], axis=1)  # (B·G, t + 1)
    return drawn


class _Uniforms:
    """Random numbers of a seed, the same ones with every runtime and release: 24 random bits each.

    They are those of torch.rand on a processor.
    """

    def __init__(self, seed: int) -> None:
        self.generator = np.random.RandomState(seed & 0xFFFFFFFF)

    def draw(self, count: int) -> Floats:
        """So many numbers in (0, 1]."""
        bits = self.generator.randint(0, 2**32, count, dtype=np.uint32) & 0xFFFFFF
        return 1 - bits.astype(np.float32) / np.float32(2**24)


def _only_end(counts: Ints, weights: Floats) -> Drawn:
    """After the last word every caption ends, whatever the decoder would say; counts (rows,)."""
    (rows,) = counts.nonzero()  # (M,)
    words, log_probs = np.full(len(rows), END), np.zeros(len(rows), np.float32)
    return Drawn(rows, words, counts[rows], log_probs, weights[:1].repeat(len(counts), axis=0))


def sample(rows: ActiveRows, config: DecodingConfig) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture with config.seed, most probable first."""
    drawn = draw_captions(rows, config, [config.seed] * rows.pictures)
    return [sorted(group, key=lambda caption: -caption.log_probability) for group in drawn]
