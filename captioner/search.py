"""From features to captions: beam search (greedy is a beam of 1) and sampling over `step`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captioner.config import DecodingConfig
from captioner.decoder import CaptionDecoder
from captioner.recurrence import State
from captioner.vocabulary import END, NEVER_WRITTEN, PADDING, START


@dataclass(frozen=True)
class Hypothesis:
    """One caption found. T words; END is not among them but counts in log_probability.

    tokens (T), probabilities (T) of each word given those before it, weights (T, N): where it
    looked; log_probability: natural logarithm of the whole caption's probability.
    """

    tokens: tuple[int, ...]
    log_probability: float
    probabilities: tuple[float, ...]
    weights: Tensor


@dataclass(frozen=True)
class Member:
    """One of those who write a caption together: a decoder, and features (B, N, D) it looks at.

    One decoder can be several members, with features of the pictures and of their mirror images.
    All members know the same vocabulary and look at the same B pictures.
    """

    decoder: CaptionDecoder
    features: Tensor


@torch.no_grad()
def find_captions(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    """Captions of each picture of the members' features, best first: config.num_captions each.

    At every word the next one's probabilities are the mean of the members'. Always returns
    captions of 1 to config.max_words words, never with padding, start or unknown; a beam returns
    fewer than asked for only where fewer different captions exist.
    """
    search = _sample if config.sample else _beam
    return search(members, config)


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Logits of the mean of the members' probabilities: log(sum of p_i / n), (rows, V).

    Probabilities are averaged, not their logarithms: the mean is then itself what a model of the
    caption would say, the equal mixture of the members, and a word that only one of them thinks
    impossible can still be written. The mean of one member is that member's.
    """
    if len(logits) == 1:
        return logits[0]
    parts = torch.stack([torch.log_softmax(part.float(), dim=-1) for part in logits])
    return torch.logsumexp(parts, dim=0) - math.log(len(logits))


class _Writing:
    """The members at work on rows of captions, `copies` consecutive rows a picture."""

    def __init__(self, members: Sequence[Member], copies: int) -> None:
        self.members = members
        self.keys = [member.decoder.attention.project(member.features) for member in members]
        self.states: list[State] = [
            tuple(
                part.repeat_interleave(copies, 0) for part in member.decoder.start(member.features)
            )
            for member in members
        ]

    def step(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The words written last (rows,) to the next one's logits (rows, V) and weights (rows, N).

        The weights are the mean of the members' that have the first one's grid.
        """
        logits: list[Tensor] = []
        looked: list[Tensor] = []
        for place, (member, keys) in enumerate(zip(self.members, self.keys, strict=True)):
            scores, self.states[place], weights = member.decoder.step(
                words, self.states[place], member.features, keys
            )
            logits.append(scores)
            if not looked or weights.shape == looked[0].shape:
                looked.append(weights)
        return mean_logits(logits), sum(looked[1:], looked[0]) / len(looked)

    def keep(self, rows: Tensor) -> None:
        """Go on from these rows, in this order."""
        self.states = [tuple(part[rows] for part in state) for state in self.states]


def next_log_probabilities(
    logits: Tensor, written: Tensor, max_words: int, block_ngrams: int
) -> Tensor:
    """Log probabilities (rows, V) of the next token, given those written (rows, t), with bans.

    Padding, start and unknown never come; END not at first and only END after max_words words;
    no word that would end an n-gram a second time. Where the ban on n-grams leaves nothing, END.
    """
    logits = logits.float()
    logits[:, NEVER_WRITTEN] = float("-inf")
    words = written.shape[1]
    if words == 0:
        logits[:, END] = float("-inf")
    if words >= max_words:
        logits = torch.full_like(logits, float("-inf"))
        logits[:, END] = 0.0
    elif block_ngrams and words >= block_ngrams:
        windows = written.unfold(1, block_ngrams, 1)  # (rows, windows, n)
        before = written[:, words - block_ngrams + 1 :].unsqueeze(1)
        seen = (windows[..., :-1] == before).all(-1)
        row, window = seen.nonzero(as_tuple=True)
        logits[row, windows[row, window, -1]] = float("-inf")
    return torch.log_softmax(logits, dim=-1)


def _beam(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    """Beam search over all pictures at once; a finished caption gives up its place in the beam.

    Scores are log probabilities divided by length^length_penalty (END counted). A picture is done
    when its whole beam has finished, or when no open caption can still reach the best finished
    ones. With K at least the number of possible captions the search is exhaustive.
    """
    features, beams = members[0].features, config.beam_size
    pictures, device = features.shape[0], features.device
    writing = _Writing(members, beams)
    words = torch.full((pictures * beams,), START, device=device)
    written = words.new_zeros(pictures * beams, 0)
    # Only one beam is open at first: K copies of the same beginning would stay copies.
    totals = torch.full((pictures, beams), float("-inf"), device=device)
    totals[:, 0] = 0.0
    trail = _Trail(pictures, beams)
    first_row = torch.arange(pictures, device=device).unsqueeze(1) * beams
    for length in range(1, config.max_words + 2):
        if length <= config.max_words:  # after that, only END is allowed, and it is certain
            logits, weights = writing.step(words)
        step = next_log_probabilities(logits, written, config.max_words, config.block_ngrams)
        candidates = (totals.view(-1, 1) + step).view(pictures, -1)
        totals, choice = candidates.topk(beams, dim=1)
        rows = (first_row + choice // step.shape[1]).view(-1)
        words = (choice % step.shape[1]).view(-1)
        chances = step[rows, words].view(pictures, -1)
        ended = trail.extend(rows, words, totals, chances, weights, config.length_penalty, length)
        totals = totals.masked_fill(ended, float("-inf"))
        if trail.done(totals, config):
            break
        writing.keep(rows)
        written = torch.cat([written[rows], words.unsqueeze(1)], dim=1)
    return trail.captions(config.num_captions)


class _Trail:
    """What a beam search has chosen: parents and words step by step, and which captions ended."""

    def __init__(self, pictures: int, beams: int) -> None:
        self.steps: list[tuple[list[int], list[int], list[float], Tensor]] = []
        self.ended: list[list[tuple[float, float, int, int]]] = [[] for _ in range(pictures)]
        self.beams = beams

    def extend(
        self,
        rows: Tensor,
        words: Tensor,
        totals: Tensor,
        chances: Tensor,
        weights: Tensor,
        length_penalty: float,
        length: int,
    ) -> Tensor:
        """Record one step; returns which places (B, K) of the beams are now closed."""
        self.steps.append((rows.tolist(), words.tolist(), chances.view(-1).tolist(), weights))
        ended = [[False] * self.beams for _ in self.ended]
        for picture, scores in enumerate(totals.tolist()):
            open_places = self.beams - len(self.ended[picture])
            for place, score in enumerate(scores):
                row = picture * self.beams + place
                if place >= open_places or score == float("-inf"):
                    ended[picture][place] = True
                elif self.steps[-1][1][row] == END:
                    ended[picture][place] = True
                    self.ended[picture].append(
                        (score / length**length_penalty, score, len(self.steps), row)
                    )
        return torch.tensor(ended, device=totals.device)

    def done(self, totals: Tensor, config: DecodingConfig) -> bool:
        """Whether no picture's open captions can still change its answer."""
        longest = (config.max_words + 1) ** config.length_penalty
        for ended, best in zip(self.ended, totals.max(1).values.tolist(), strict=True):
            finished = sorted((score for score, *_ in ended), reverse=True)
            settled = len(finished) >= config.num_captions and (
                finished[config.num_captions - 1] >= best / longest
            )
            if best != float("-inf") and not settled:
                return False
        return True

    def captions(self, num_captions: int) -> list[list[Hypothesis]]:
        """The best ended captions of each picture, followed back to their first word."""
        found = []
        for ended in self.ended:
            best = sorted(ended, key=lambda item: -item[0])[:num_captions]
            found.append([self._follow(total, steps, row) for _, total, steps, row in best])
        return found

    def _follow(self, total: float, steps: int, row: int) -> Hypothesis:
        words, chances, weights = [], [], []
        for rows, step_words, step_chances, step_weights in reversed(self.steps[:steps]):
            words.append(step_words[row])
            chances.append(step_chances[row])
            row = rows[row]
            weights.append(step_weights[row])
        return Hypothesis(
            tokens=tuple(reversed(words[1:])),
            log_probability=total,
            probabilities=tuple(torch.tensor(chances[:0:-1]).exp().tolist()),
            weights=torch.stack(weights[:0:-1]).float().cpu(),
        )


def sample_tokens(
    members: Sequence[Member], config: DecodingConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Draw config.num_captions captions a picture: tokens and log probabilities (B·G, T), weights.

    The G captions of a picture are consecutive rows; tokens end with END, then padding, whose log
    probability is 0. Probabilities are the members' own mean, before temperature, top-k and top-p.
    The weights are one (B·G, N) a step. `generator` lives on the CPU, so that a seed draws the
    same captions on every device.
    """
    device = members[0].features.device
    rows = members[0].features.shape[0] * config.num_captions
    writing = _Writing(members, config.num_captions)
    words = torch.full((rows,), START, device=device)
    written = words.new_zeros(rows, 0)
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    chances, looked = [], []
    while not ended.all():
        logits, weights = writing.step(words)
        step = next_log_probabilities(logits, written, config.max_words, config.block_ngrams)
        words = _draw(_shape(step, config), generator).masked_fill(ended, PADDING)
        chances.append(step.gather(1, words.unsqueeze(1)).squeeze(1).masked_fill(ended, 0.0))
        written = torch.cat([written, words.unsqueeze(1)], dim=1)
        looked.append(weights)
        ended = ended | (words == END)
    return written, torch.stack(chances, dim=1), looked


def _draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One word (rows,) of each row of probabilities (rows, V), by inverting the distribution.

    One random number a row; torch.multinomial draws V of them.
    """
    totals = probabilities.cumsum(dim=-1)
    heights = 1 - torch.rand(len(totals), 1, generator=generator)  # never 0: a word of chance 0
    return torch.searchsorted(totals, heights.to(totals.device) * totals[:, -1:]).squeeze(1)


def _shape(step: Tensor, config: DecodingConfig) -> Tensor:
    """Probabilities after temperature, then top-k, then top-p (Holtzman et al. 2020)."""
    step = step / config.temperature
    if config.top_k:
        least = step.topk(min(config.top_k, step.shape[1]), dim=-1).values[:, -1:]
        step = step.masked_fill(step < least, float("-inf"))
    if config.top_p < 1:
        ordered, order = torch.log_softmax(step, dim=-1).sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        outside = torch.zeros_like(before, dtype=torch.bool)
        outside.scatter_(1, order, before >= config.top_p)
        step = step.masked_fill(outside, float("-inf"))
    return torch.softmax(step, dim=-1)


def _sample(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    generator = torch.Generator().manual_seed(config.seed)
    tokens, chances, looked = sample_tokens(members, config, generator)
    found = []
    for row, (line, chance) in enumerate(zip(tokens.tolist(), chances.cpu(), strict=True)):
        words = line.index(END)
        weights = torch.stack([step[row] for step in looked[:words]]).float().cpu()
        found.append(
            Hypothesis(
                tokens=tuple(line[:words]),
                log_probability=float(chance.sum()),
                probabilities=tuple(chance[:words].exp().tolist()),
                weights=weights,
            )
        )
    count = config.num_captions
    groups = [found[start : start + count] for start in range(0, len(found), count)]
    return [sorted(group, key=lambda item: -item.log_probability) for group in groups]
