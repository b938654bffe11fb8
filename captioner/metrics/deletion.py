"""Does the model need the cells that it looked at? A word's probability without some of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.decoder import CaptionDecoder
from captioner.vocabulary import PADDING, START

SHARES = tuple(eighth / 8 for eighth in range(1, 8))  # of the cells that are left to the decoder
ORDERS = ("deletion", "insertion", "random")


@torch.no_grad()
def probabilities_without(
    decoder: CaptionDecoder,
    features: Tensor,
    tokens: list[int],
    words: list[list[int]],
    weights: NDArray[np.floating],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Probabilities (words, ORDERS, SHARES) of words when the decoder is given fewer cells.

    After the deletion and insertion games of Petsiuk et al. 2018 ("RISE"), with grid cells in place
    of pixels: of the N cells, a share is left, and the others are gone from all that the decoder
    reads, from its start on. deletion: those that the word's map weighs least are left; insertion:
    those that it weighs most; random: any. The words before stay as they were written.

    features (N, D) of one picture; tokens (T) of its caption; words: the places among them of the
    tokens of each word asked about; weights (words, N): where each looked. With equal weights
    chance decides, so that an even map does as well as random.
    """
    cells = len(features)
    chosen = np.array(_orders(weights, generator))  # (words, ORDERS, N): left longest come first
    found = np.zeros((len(words), len(ORDERS), len(SHARES)))
    lines = torch.full((len(words) * len(ORDERS), 1 + len(tokens)), PADDING)
    lengths = [places[-1] + 1 for places in words for _ in ORDERS]
    for line, length in zip(lines, lengths, strict=True):
        line[: 1 + length] = torch.tensor([START, *tokens[:length]])
    longest = max(lengths, default=0)
    for level, share in enumerate(SHARES):
        left = max(1, round(share * cells))
        kept = torch.from_numpy(chosen[:, :, :left].reshape(-1, left)).to(features.device)
        forced = decoder(
            lines[:, : 1 + longest].to(features.device),
            lengths,
            torch.arange(len(lines), device=features.device),
            features[kept],
        )
        chances = torch.log_softmax(forced.logits.float(), -1)
        chances = chances.gather(1, forced.targets.unsqueeze(1)).squeeze(1)
        table = np.zeros((len(lines), longest))
        table[forced.captions.cpu(), forced.positions.cpu()] = chances.cpu()
        for number, places in enumerate(words):
            rows = slice(number * len(ORDERS), (number + 1) * len(ORDERS))
            found[number, :, level] = np.exp(table[rows, places].sum(-1))
    return found


def _orders(
    weights: NDArray[np.floating], generator: np.random.Generator
) -> list[list[NDArray[np.int64]]]:
    orders = []
    for looked in weights:
        shuffled = generator.permutation(len(looked))
        lightest = shuffled[np.argsort(looked[shuffled], kind="stable")]
        orders.append([lightest, lightest[::-1], generator.permutation(len(looked))])
    return orders
