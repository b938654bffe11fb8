"""Beam search over the decoder's step, for all pictures of a batch at once."""

import math

import torch
from torch import Tensor

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.sampling import sample
from captioner.decoding.step import ActiveRows, History, Hypothesis, next_log_probs
from captioner.model.decoder import CaptionDecoder


def decode(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig
) -> list[list[Hypothesis]]:
    """Captions of each picture of features (B, N, D): sampled, or found by beam search."""
    search = sample if config.sample else beam_search
    return search(decoder, features, config)


@torch.no_grad()
def beam_search(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig
) -> list[list[Hypothesis]]:
    """The config.num_captions best captions of each picture of features (B, N, D), best first.

    A caption is scored by its log probability divided by length^length_penalty (END counted). A
    finished caption gives up its slot in the beam. A picture is done when its whole beam has
    finished, or when no unfinished caption can still reach the best finished ones. A beam of 1 is
    greedy; one with at least as many slots as there are possible captions is exhaustive.

    Captions have 1 to config.max_words tokens, never padding, start or unknown. Fewer than
    num_captions come back only where fewer different captions exist.
    """
    device, pictures = features.device, len(features)
    rows, beams = ActiveRows(decoder, features), _Beams(pictures, config)
    # A row is an unfinished caption, G per picture: at first the empty one.
    words = torch.full((pictures,), START, device=device)  # (B·G,)
    written = words.new_zeros(pictures, 0)  # (B·G, t)
    totals = torch.zeros(pictures, 1, device=device)  # (B, G)
    for length in range(1, config.max_words + 2):
        if length <= config.max_words:
            logits, weights = rows.step(words)  # (B·G, V), (B·G, N)
        else:  # only END is allowed, whatever the logits are
            logits, weights = (x[:1].repeat(len(words), 1) for x in (logits, weights))
        log_probs = next_log_probs(logits, written, config.max_words, config.block_ngrams)
        candidates = (totals.view(-1, 1) + log_probs).view(pictures, -1)  # (B, G·V)
        slots = min(beams.open_slots(), candidates.shape[1])
        scores, choice = candidates.topk(slots, dim=1)  # (B, K)
        first_row = torch.arange(0, len(words), totals.shape[1], device=device).unsqueeze(1)
        parents = (first_row + choice // log_probs.shape[1]).view(-1)  # (B·K,)
        words = (choice % log_probs.shape[1]).view(-1)  # (B·K,)
        finished, kept, active = beams.extend(
            parents, words, scores, log_probs[parents, words], weights
        )
        if not active:
            break
        scores = scores.masked_fill(torch.tensor(finished, device=device), -math.inf)
        pictures, chosen = len(active), torch.tensor(kept, device=device)
        totals = scores.view(-1)[chosen].view(pictures, -1)
        parents, words = parents[chosen], words[chosen]
        rows.select(parents, active)
        written = torch.cat([written[parents], words.unsqueeze(1)], dim=1)
    return beams.best(config.num_captions)


class _Beams:
    """The beams of a batch: every word chosen so far, and which captions have finished."""

    def __init__(self, pictures: int, config: DecodingConfig) -> None:
        self.config = config
        self.active = list(range(pictures))  # the pictures with unfinished captions
        self.kept = list(range(pictures))  # the choices of the last step that are continued
        self.history = History()
        # Of each picture (score, length, index in that step).
        self.finished: list[list[tuple[float, int, int]]] = [[] for _ in range(pictures)]

    def open_slots(self) -> int:
        """The largest number of unfinished captions that an active picture may have."""
        return self.config.beam_size - min(len(self.finished[picture]) for picture in self.active)

    def extend(
        self, parents: Tensor, words: Tensor, scores: Tensor, log_probs: Tensor, weights: Tensor
    ) -> tuple[list[list[bool]], list[int], list[int]]:
        """Record one step's choices: K per active picture, with scores (B, K), best first.

        Returns which of them are finished, the choices to continue (equally many per picture, the
        unfinished ones first), and the rows of the pictures that are continued; the last two are
        empty when all captions have been found.
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
        if 4 * len(active) > 3 * len(finished):  # copying the features of the rest costs more
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
        """Which choices of a picture are finished: ended, beyond its beam, or no longer needed."""
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
        """The best finished captions of each picture."""
        found = []
        for finished in self.finished:
            ranked = sorted(finished, key=lambda item: -item[0])[:num_captions]
            found.append([self.history.hypothesis(index, length) for _, length, index in ranked])
        return found
