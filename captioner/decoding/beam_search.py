"""Beam search over the rows that a runtime computes, for all pictures of a batch together."""

import math
from typing import TYPE_CHECKING

import numpy as np

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.runtime import ActiveRows, Candidates, Floats, Ints
from captioner.decoding.step import History, Hypothesis, find_bans

if TYPE_CHECKING:
    from torch import Tensor

    from captioner.model.decoder import CaptionDecoder


def decode(
    decoder: "CaptionDecoder", features: "Tensor", config: DecodingConfig
) -> list[list[Hypothesis]]:
    """Caption pictures by their features (B, N, D), with sampling or beam search as configured."""
    from captioner.decoding.torch_runtime import TorchRows

    return search(TorchRows(decoder, features), config)


def search(rows: ActiveRows, config: DecodingConfig) -> list[list[Hypothesis]]:
    """Caption the pictures of these rows, with sampling or beam search as configured."""
    if config.sample:
        from captioner.decoding.sampling import sample

        return sample(rows, config)
    return beam_search(rows, config)


def beam_search(rows: ActiveRows, config: DecodingConfig) -> list[list[Hypothesis]]:
    """Find the config.num_captions best captions of each picture, best first.

    The score of a caption is its log probability divided by length^length_penalty (END counted). A
    finished caption frees its slot in the beam. A picture is done when its whole beam has finished,
    or when no unfinished caption can still reach the best finished ones. A beam of 1 is greedy; a
    beam with as many slots as there are possible captions is exhaustive.

    Captions have 1 to config.max_words tokens, never padding, start or unknown. A picture gets
    fewer than num_captions only if fewer different captions exist.
    """
    pictures = rows.pictures
    beams = _Beams(pictures, config)
    # A row is an unfinished caption, G per picture; at first the empty caption.
    words = np.full(pictures, START)  # (B·G,)
    written = np.empty((pictures, 0), np.int64)  # (B·G, t)
    totals = np.zeros((pictures, 1), np.float32)  # (B, G)
    for length in range(1, config.max_words + 2):
        slots = beams.open_slots()
        if length <= config.max_words:
            found = rows.best(words, find_bans(written, config.block_ngrams), slots)
        else:
            found = _only_end(found.weights, len(words))
        size = found.words.shape[1]  # C
        candidates = (totals.reshape(-1, 1) + found.log_probs).reshape(pictures, -1)  # (B, G·C)
        choice = np.argsort(-candidates, axis=1, kind="stable")[:, :slots]  # (B, K)
        scores = np.take_along_axis(candidates, choice, axis=1)  # (B, K)
        choice = (choice + np.arange(pictures)[:, None] * totals.shape[1] * size).reshape(-1)
        parents, words = choice // size, found.words.reshape(-1)[choice]  # (B·K,)
        log_probs = found.log_probs.reshape(-1)[choice]  # (B·K,)
        finished, kept, active = beams.extend(parents, words, scores, log_probs, found.weights)
        if not active:
            break
        scores[np.array(finished)] = -math.inf  # (B, K)
        pictures = len(active)
        totals = scores.reshape(-1)[kept].reshape(pictures, -1)  # (B, G)
        parents, words = parents[kept], words[kept]  # (B·G,)
        rows.select(parents, active)
        written = np.concatenate([written[parents], words[:, None]], axis=1)  # (B·G, t + 1)
    return beams.best(config.num_captions)


def _only_end(weights: Floats, rows: int) -> Candidates:
    """After the last word only END can come, whatever the decoder would say; weights (_, N)."""
    words = np.full((rows, 1), END)
    return Candidates(np.zeros((rows, 1), np.float32), words, weights[:1].repeat(rows, axis=0))


class _Beams:
    """The beams of a batch: all words chosen so far and the finished captions."""

    def __init__(self, pictures: int, config: DecodingConfig) -> None:
        self.config = config
        self.active = list(range(pictures))  # the pictures with unfinished captions
        self.kept = list(range(pictures))  # the choices of the last step that are continued
        self.history = History()
        # For each picture: (score, length, index among the choices of step `length`).
        self.finished: list[list[tuple[float, int, int]]] = [[] for _ in range(pictures)]

    def open_slots(self) -> int:
        """The largest number of unfinished captions that any active picture may have."""
        return self.config.beam_size - min(len(self.finished[picture]) for picture in self.active)

    def extend(
        self, parents: Ints, words: Ints, scores: Floats, log_probs: Floats, weights: Floats
    ) -> tuple[list[list[bool]], list[int], list[int]]:
        """Record one step's choices: K per active picture, best first.

        parents, words, log_probs: (B·K,); scores: (B, K); weights: (B·G, N). Returns which choices
        are finished, the choices to continue (the same number per picture, unfinished ones first),
        and the rows of the pictures to continue; the last two are empty when all are finished.
        """
        parent_indices = [self.kept[row] for row in parents.tolist()]
        self.history.add(parent_indices, words, log_probs, weights[parents])
        slots = range(scores.shape[1])
        finished = [
            self._finish(picture, picture_scores, row * len(slots))
            for row, (picture, picture_scores) in enumerate(
                zip(self.active, scores.tolist(), strict=True)
            )
        ]
        active = [row for row, flags in enumerate(finished) if not all(flags)]
        # Dropping a quarter of the pictures or less costs more, since it copies the features.
        if 4 * len(active) > 3 * len(finished):
            active = list(range(len(finished)))
        most = max(flags.count(False) for flags in finished)
        self.kept = [
            row * len(slots) + slot
            for row in active
            for slot in sorted(slots, key=finished[row].__getitem__)[:most]
        ]
        self.active = [self.active[row] for row in active]
        return finished, self.kept, active

    def _finish(self, picture: int, scores: list[float], first: int) -> list[bool]:
        """Whether each choice of a picture is finished: ended, outside its beam, or not needed."""
        ended, length = self.finished[picture], len(self.history.steps)
        words = self.history.steps[-1][1]
        flags = [True] * len(scores)
        for slot, score in enumerate(scores[: self.config.beam_size - len(ended)]):
            if score > -math.inf and words[first + slot] == END:
                penalty = length**self.config.length_penalty
                ended.append((score / penalty, length, first + slot))
            else:
                flags[slot] = score == -math.inf
        return flags if self._may_improve(ended, scores, flags) else [True] * len(scores)

    def _may_improve(
        self, ended: list[tuple[float, int, int]], scores: list[float], flags: list[bool]
    ) -> bool:
        """Whether an unfinished caption of a picture can still become one of its best."""
        wanted = self.config.num_captions
        open_scores = [score for score, flag in zip(scores, flags, strict=True) if not flag]
        ranked = sorted((score for score, *_ in ended), reverse=True)
        longest = (self.config.max_words + 1) ** self.config.length_penalty
        best = max(open_scores, default=-math.inf)
        return len(ranked) < wanted or ranked[wanted - 1] < best / longest

    def best(self, num_captions: int) -> list[list[Hypothesis]]:
        """The best finished captions of each picture, best first."""
        results = []
        for finished in self.finished:
            ranked = sorted(finished, key=lambda item: -item[0])[:num_captions]
            results.append([self.history.hypothesis(index, length) for _, length, index in ranked])
        return results
