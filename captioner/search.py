"""From features to captions: beam search, of which greedy is a beam of 1, or sampling."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.config import DecodingConfig
from captioner.sampling import sample
from captioner.vocabulary import END, START
from captioner.writing import History, Hypothesis, Member, Writing, next_log_probabilities


@torch.no_grad()
def find_captions(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    """Captions of each picture of the members' features, best first: config.num_captions each.

    At every word the next one's probabilities are the mean of the members'. Always returns
    captions of 1 to config.max_words words, never with padding, start or unknown; a beam returns
    fewer than asked for only where fewer different captions exist.
    """
    if config.sample:
        return sample(members, config)
    return _beam(members, config)


def _beam(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    """Beam search over all pictures at once; a finished caption gives up its place in the beam.

    Scores are log probabilities divided by length^length_penalty (END counted). A picture is done
    when its whole beam has finished, or when no open caption can still reach the best finished
    ones. With K at least the number of possible captions the search is exhaustive.
    """
    features = members[0].features
    device, pictures = features.device, len(features)
    writing, trail = Writing(members), _Trail(pictures, config)
    # Rows are the open captions, G a picture, at first the empty one: words and totals of each.
    words = torch.full((pictures,), START, device=device)
    written = words.new_zeros(pictures, 0)
    totals = torch.zeros(pictures, 1, device=device)
    for length in range(1, config.max_words + 2):
        if length <= config.max_words:
            logits, weights = writing.step(words)
        else:  # only END is allowed, and it is certain, whatever the logits are
            logits, weights = (one[:1].repeat(len(words), 1) for one in (logits, weights))
        step = next_log_probabilities(logits, written, config.max_words, config.block_ngrams)
        candidates = (totals.view(-1, 1) + step).view(pictures, -1)
        best, choice = candidates.topk(min(trail.room(), candidates.shape[1]), dim=1)
        first_row = torch.arange(0, len(words), totals.shape[1], device=device).unsqueeze(1)
        rows = (first_row + choice // step.shape[1]).view(-1)
        words = (choice % step.shape[1]).view(-1)
        closed, kept, going = trail.extend(rows, words, best, step[rows, words], weights)
        if not going:
            break
        best = best.masked_fill(torch.tensor(closed, device=device), -math.inf)
        pictures, chosen = len(going), torch.tensor(kept, device=device)
        totals, rows, words = best.view(-1)[chosen].view(pictures, -1), rows[chosen], words[chosen]
        writing.keep(rows, going)
        written = torch.cat([written[rows], words.unsqueeze(1)], dim=1)
    return trail.captions(config.num_captions)


class _Trail:
    """What a beam search has chosen: parents and words step by step, and which captions ended."""

    def __init__(self, pictures: int, config: DecodingConfig) -> None:
        self.config = config
        self.pictures = list(range(pictures))  # those whose captions are still being written
        self.kept = list(range(pictures))  # which choices of the last step were gone on from
        self.history = History()
        self.ended: list[list[tuple[float, int, int]]] = [[] for _ in range(pictures)]

    def room(self) -> int:
        """The most captions that a picture has still open."""
        return self.config.beam_size - min(len(self.ended[picture]) for picture in self.pictures)

    def extend(
        self, rows: Tensor, words: Tensor, totals: Tensor, chances: Tensor, weights: Tensor
    ) -> tuple[list[list[bool]], list[int], list[int]]:
        """Record what one step chose, K continuations a picture, totals (B, K), the best first.

        Returns which of them are closed, then from which to go on (of every picture as many, the
        open ones first) and which pictures that are; none when all captions have been found.
        """
        parents = [self.kept[row] for row in rows.tolist()]
        self.history.add(parents, words, chances, weights[rows])
        places = range(totals.shape[1])
        closed = [
            self._close(picture, scores, row * len(places))
            for row, (picture, scores) in enumerate(
                zip(self.pictures, totals.tolist(), strict=True)
            )
        ]
        going = [row for row, these in enumerate(closed) if not all(these)]
        if 4 * len(going) > 3 * len(closed):  # to copy the features of the rest would take longer
            going = list(range(len(closed)))
        most = max(these.count(False) for these in closed)
        self.kept = [
            row * len(places) + place
            for row in going
            for place in sorted(places, key=closed[row].__getitem__)[:most]
        ]
        self.pictures = [self.pictures[row] for row in going]
        return closed, self.kept, going

    def _close(self, picture: int, scores: list[float], first: int) -> list[bool]:
        """Which of a picture's choices are closed: ended, beyond its beam, or no longer needed."""
        ended, length = self.ended[picture], len(self.history.steps)
        closed = [True] * len(scores)
        for place, score in enumerate(scores[: self.config.beam_size - len(ended)]):
            if score > -math.inf and self.history.steps[-1][1][first + place] == END:
                penalty = length**self.config.length_penalty
                ended.append((score / penalty, length, first + place))
            else:
                closed[place] = score == -math.inf
        return closed if self._may_improve(ended, scores, closed) else [True] * len(scores)

    def _may_improve(
        self, ended: list[tuple[float, int, int]], scores: list[float], closed: list[bool]
    ) -> bool:
        """Whether an open caption of a picture can still become one of its best."""
        wanted = self.config.num_captions
        best = max(
            (s for s, over in zip(scores, closed, strict=True) if not over), default=-math.inf
        )
        finished = sorted((score for score, *_ in ended), reverse=True)
        longest = (self.config.max_words + 1) ** self.config.length_penalty
        return len(finished) < wanted or finished[wanted - 1] < best / longest

    def captions(self, num_captions: int) -> list[list[Hypothesis]]:
        """The best ended captions of each picture, followed back to their first word."""
        found = []
        for ended in self.ended:
            best = sorted(ended, key=lambda item: -item[0])[:num_captions]
            found.append([self.history.caption(row, length) for _, length, row in best])
        return found
