"""Sampling: captions drawn word by word from the distribution of the next word."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.step import ActiveRows, History, Hypothesis, next_log_probs
from captioner.model.decoder import CaptionDecoder


@torch.no_grad()
def draw(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig, seeds: Sequence[int]
) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture of features (B, N, D); equal ones together.

    Captions with the same beginning share a row until they differ, which saves computation. The
    probabilities returned are those of the model before temperature, top-k and top-p. seeds: one
    per picture, so that its captions do not depend on the other pictures of the batch or on the
    device, except for rounding.
    """
    max_words, block_ngrams = config.max_words, config.block_ngrams
    device, pictures = features.device, len(seeds)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    rows, history = ActiveRows(decoder, features), History()
    drawn: list[list[Hypothesis]] = [[] for _ in seeds]
    # A row is a different beginning, G per picture; counts: the number of captions that share it.
    active = list(range(pictures))
    kept = list(range(pictures))  # the choices of the last step that are continued
    counts = torch.full((pictures, 1), config.num_captions)  # (B, G)
    words = torch.full((pictures,), START, device=device)  # (B·G,)
    written = words.new_zeros(pictures, 0)  # (B·G, t)
    while active:
        logits, weights = rows.step(words)  # (B·G, V), (B·G, N)
        log_probs = next_log_probs(logits, written, max_words, block_ngrams)  # (B·G, V)
        uniforms = [
            1 - torch.rand(unfinished, generator=generators[picture])  # in (0, 1]
            for picture, unfinished in zip(active, counts.sum(1).tolist(), strict=True)
        ]
        parents, words, multiplicity = _draw_words(
            _truncate(log_probs, config), counts.view(-1, 1), torch.cat(uniforms)
        )
        parent_indices = [kept[row] for row in parents.tolist()]
        history.add(parent_indices, words, log_probs[parents, words], weights[parents])
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
        sizes = torch.tensor([[len(unfinished[group])] for group in groups])  # (B, 1)
        real = torch.arange(most) < sizes  # (B, G)
        counts = multiplicity[kept].view(len(groups), most) * real  # (B, G)
        parents, words = parents[kept], words[kept]  # (B·G,)
        rows.select(parents, groups)
        written = torch.cat([written[parents], words.unsqueeze(1)], dim=1)  # (B·G, t + 1)
    return drawn


def _draw_words(probs: Tensor, counts: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw counts (rows, 1) words from each row of probs (rows, V) by inverse transform sampling.

    uniforms: one number in (0, 1] per word, row by row. Returns the different pairs of row and word
    (both on the device of probs) and how often each was drawn, all (M,).
    """
    cumulative = probs.cumsum(dim=-1)  # (rows, V)
    rows, size = cumulative.shape
    wanted = torch.arange(int(counts.max())) < counts  # (rows, most)
    table = torch.zeros(wanted.shape).masked_scatter(wanted, uniforms)  # (rows, most)
    codes = torch.searchsorted(cumulative, table.to(cumulative.device) * cumulative[:, -1:])
    codes += size * torch.arange(rows, device=cumulative.device).unsqueeze(1)  # (rows, most)
    different, multiplicity = torch.unique(codes[wanted.to(codes.device)], return_counts=True)
    return different // size, different % size, multiplicity.cpu()


def _truncate(log_probs: Tensor, config: DecodingConfig) -> Tensor:
    """Probabilities (rows, V) after temperature, top-k, then top-p (Holtzman et al. 2020)."""
    log_probs = log_probs / config.temperature  # (rows, V)
    if config.top_k:
        best = log_probs.topk(min(config.top_k, log_probs.shape[1]), dim=-1).values  # (rows, top_k)
        log_probs = log_probs.masked_fill(log_probs < best[:, -1:], float("-inf"))
    if config.top_p < 1:
        ordered, order = torch.log_softmax(log_probs, dim=-1).sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()  # (rows, V)
        outside = torch.zeros_like(before, dtype=torch.bool)
        outside.scatter_(1, order, before >= config.top_p)
        log_probs = log_probs.masked_fill(outside, float("-inf"))
    return torch.softmax(log_probs, dim=-1)


def sample(
    decoder: CaptionDecoder, features: Tensor, config: DecodingConfig
) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture with config.seed, most probable first."""
    drawn = draw(decoder, features, config, [config.seed] * len(features))
    return [sorted(group, key=lambda caption: -caption.log_probability) for group in drawn]
