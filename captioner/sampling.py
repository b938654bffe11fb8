"""Captions drawn word by word from the distribution over the next one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.config import DecodingConfig
from captioner.vocabulary import END, START
from captioner.writing import History, Hypothesis, Member, Writing, next_log_probabilities


@torch.no_grad()
def draw(
    members: Sequence[Member], config: DecodingConfig, seeds: Sequence[int]
) -> list[list[Hypothesis]]:
    """Draw config.num_captions captions of each picture, alike ones one after the other.

    Captions that begin alike are written together until they part, which saves the more work the
    more are drawn. Probabilities are the members' own mean, before temperature, top-k and top-p.
    seeds: one a picture, so that what is drawn of it depends, but for rounding, neither on the
    pictures beside it nor on the device.
    """
    device, pictures = members[0].features.device, len(seeds)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    writing, history = Writing(members), History()
    found: list[list[Hypothesis]] = [[] for _ in seeds]
    # Rows are beginnings that differ, G a picture; times (pictures, G): how many captions have it.
    open_pictures = list(range(pictures))
    kept = list(range(pictures))  # of the last step's words, those after which the rows go on
    times = torch.full((pictures, 1), config.num_captions)
    words = torch.full((pictures,), START, device=device)
    written = words.new_zeros(pictures, 0)
    while open_pictures:
        logits, weights = writing.step(words)
        step = next_log_probabilities(logits, written, config.max_words, config.block_ngrams)
        heights = [
            1 - torch.rand(still, generator=generators[picture])  # never 0: a word of chance 0
            for picture, still in zip(open_pictures, times.sum(1).tolist(), strict=True)
        ]
        rows, words, often = _draw(_shape(step, config), times.view(-1, 1), torch.cat(heights))
        parents = [kept[row] for row in rows.tolist()]
        history.add(parents, words, step[rows, words], weights[rows])
        going: list[list[int]] = [[] for _ in open_pictures]
        for place, (row, word) in enumerate(zip(rows.tolist(), words.tolist(), strict=True)):
            group = row // times.shape[1]
            if word == END:
                found[open_pictures[group]] += [history.caption(place)] * int(often[place])
            else:
                going[group].append(place)
        left = [group for group, places in enumerate(going) if places]
        if not left:
            break
        most = max(len(places) for places in going)
        open_pictures = [open_pictures[group] for group in left]
        # Pictures with fewer beginnings repeat their first, no times, to have as many rows.
        full = [going[group] + going[group][:1] * (most - len(going[group])) for group in left]
        kept = [place for places in full for place in places]
        wanted = torch.tensor([[n < len(going[group]) for n in range(most)] for group in left])
        times = often[kept].view(len(left), most) * wanted
        rows, words = rows[kept], words[kept]
        writing.keep(rows, left)
        written = torch.cat([written[rows], words.unsqueeze(1)], dim=1)
    return found


def _draw(probabilities: Tensor, times: Tensor, heights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw from each row of probabilities (R, V) as many words as times (R, 1) says.

    By inverting the distributions at these heights, uniform in (0, 1], one a word, row by row.
    Returns rows, words (both on the probabilities' device) and how often each word came in its
    row, all (D,).
    """
    totals = probabilities.cumsum(dim=-1)
    rows, size = totals.shape
    wanted = torch.arange(int(times.max())) < times
    spread = torch.zeros(wanted.shape).masked_scatter(wanted, heights).to(totals.device)
    codes = torch.searchsorted(totals, spread * totals[:, -1:])
    codes += size * torch.arange(rows, device=totals.device).unsqueeze(1)
    different, often = torch.unique(codes[wanted.to(codes.device)], return_counts=True)
    return different // size, different % size, often.cpu()


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
    drawn = draw(members, config, [config.seed] * len(members[0].features))
    return [sorted(those, key=lambda one: -one.log_probability) for those in drawn]
