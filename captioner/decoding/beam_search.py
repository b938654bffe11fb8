"""Beam search with the decoder's step, for all pictures of a batch together."""

import math

import torch
from torch import Tensor

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.step import ActiveRows, History, Hypothesis, next_log_probs
from captioner.model.decoder import CaptionDecoder


def decode(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig
) -> list[list[Hypothesis]]:
    """Caption pictures by their features (B, N, D), with sampling or beam search as configured."""
    if config.sample:
        from captioner.decoding.sampling import sample

        return sample(decoder, features, config)
    return beam_search(decoder, features, config)


@torch.no_grad()
def beam_search(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig
) -> list[list[Hypothesis]]:
    """Find the config.num_captions best captions of each picture of features (B, N, D), best first.

    The score of a caption is its log probability divided by length^length_penalty (END counted). A
    finished caption frees its slot in the beam. A picture is done when its whole beam has finished,
    or when no unfinished caption can still reach the best finished ones. A beam of 1 is greedy; a
    beam with as many slots as there are possible captions is exhaustive.

    Captions have 1 to config.max_words tokens, never padding, start or unknown. A picture gets
    fewer than num_captions only if fewer different captions exist.
    """
    max_words, block_ngrams = config.max_words, config.block_ngrams
    device, pictures = features.device, len(features)
    rows, beams = ActiveRows(decoder, features), _Beams(pictures, config)
    # A row is an unfinished caption, G per picture; at first the empty caption.
    words = torch.full((pictures,), START, device=device)  # (B·G,)
    written = words.new_zeros(pictures, 0)  # (B·G, t)
    totals = torch.zeros(pictures, 1, device=device)  # (B, G)
    for length in range(1, max_words + 2):
        if length <= max_words:
            logits, weights = rows.step(words)  # (B·G, V), (B·G, N)
        else:  # only END is allowed, whatever the logits are
            logits, weights = (x[:1].repeat(len(words), 1) for x in (logits, weights))
        log_probs = next_log_probs(logits, written, max_words, block_ngrams)  # (B·G, V)
        candidates = (totals.view(-1, 1) + log_probs).view(pictures, -1)  # (B, G·V)
        slots = min(beams.open_slots(), candidates.shape[1])
        scores, choice = candidates.topk(slots, dim=1)  # (B, K)
        first_row = torch.arange(pictures, device=device).unsqueeze(1) * totals.shape[1]  # (B, 1)
        parents = (first_row + choice // log_probs.shape[1]).view(-1)  # (B·K,)
        words = (choice % log_probs.shape[1]).view(-1)  # (B·K,)
        finished, kept, active = beams.extend(
            parents, words, scores, log_probs[parents, words], weights
        )
        if not active:
            break
        scores = scores.masked_fill(torch.tensor(finished, device=device), -math.inf)  # (B, K)
        pictures, chosen = len(active), torch.tensor(kept, device=device)
        totals = scores.view(-1)[chosen].view(pictures, -1)  # (B, G)
        parents, words = parents[chosen], words[chosen]  # (B·G,)
        rows.select(parents, active)
        written = torch.cat([written[parents], words.unsqueeze(1)], dim=1)  # (B·G, t + 1)
    return beams.best(config.num_captions)


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
        self, parents: Tensor, words: Tensor, scores: Tensor, log_probs: Tensor, weights: Tensor
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
