"""Captions drawn word by word from the distribution over the next one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.config import DecodingConfig
from captioner.vocabulary import END, PADDING, START
from captioner.writing import Hypothesis, Member, Writing, next_log_probabilities


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
    writing = Writing(members, config.num_captions)
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


def sample(members: Sequence[Member], config: DecodingConfig) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture with config.seed, likeliest first."""
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
