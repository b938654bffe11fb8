"""Caption or answer a whole dataset, and test whether the model needs the cells it looks at."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.data.question_files import AskedQuestion, Id
from captioner.data.vocabulary import PADDING, START
from captioner.decoding.outputs import Caption
from captioner.errors import CaptionerError, UnknownWords
from captioner.model.decoder import CaptionDecoder

SHARES = tuple(eighth / 8 for eighth in range(1, 8))  # of the cells that the decoder keeps
ORDERS = ("deletion", "insertion", "random")


def caption_with_features(
    model: Captioner, paths: Sequence[Path], decoding: DecodingConfig, batch_size: int
) -> Iterator[tuple[Caption, Tensor]]:
    """The best caption of every picture and its features (N, D), each picture encoded once.

    Raises CaptionerError for a picture that cannot be read.
    """
    for start in range(0, len(paths), batch_size):
        features = model.encode(paths[start : start + batch_size])  # (B, N, D)
        assert isinstance(features, Tensor)
        captions = model.caption_features(features, decoding)
        yield from zip((best for best, *_ in captions), features, strict=True)


class Reply(NamedTuple):
    """An answer and how sure the model is of it, from 0 to 1."""

    text: str
    confidence: float


def answer_questions(
    model: Captioner,
    pictures: Sequence[tuple[Path | Image, Sequence[AskedQuestion]]],
    batch_size: int,
) -> Iterator[dict[Id, Reply] | CaptionerError]:
    """For each picture, the replies to its questions by their ids, or why it cannot be read.

    A question without any known word has the answer "", of which the model is not sure at all.
    """
    asked = ((picture, [item.text for item in questions]) for picture, questions in pictures)
    replies = model.answer_each(asked, top=1, batch_size=batch_size)
    for (_, questions), (_, results) in zip(pictures, replies, strict=True):
        unreadable = [
            result
            for result in results
            if isinstance(result, CaptionerError) and not isinstance(result, UnknownWords)
        ]
        yield (
            unreadable[0]
            if unreadable
            else {
                question.question_id: Reply("", 0.0)
                if isinstance(result, CaptionerError)
                else Reply(result.text, result.confidence)
                for question, result in zip(questions, results, strict=True)
            }
        )


def group_by_picture(
    asked: Sequence[AskedQuestion],
) -> list[tuple[Path | Image, Sequence[AskedQuestion]]]:
    """Group questions by picture, in the order of the pictures' first questions."""
    groups: dict[Path, list[AskedQuestion]] = {}
    for question in asked:
        groups.setdefault(question.path, []).append(question)
    return list(groups.items())


def describe_decoding(decoding: DecodingConfig) -> str:
    """Describe decoding for a signature, such as beam5,words20,penalty0,block3."""
    search = f"beam{decoding.beam_size}"
    if decoding.sample:
        search = (
            f"sample,temperature{decoding.temperature:g},topk{decoding.top_k},"
            f"topp{decoding.top_p:g},seed{decoding.seed}"
        )
    return (
        f"{search},words{decoding.max_words},penalty{decoding.length_penalty:g},"
        f"block{decoding.block_ngrams}"
    )


def mask_cells(
    model: Captioner,
    features: Tensor,
    caption: Caption,
    indices: list[int],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """`masked_probabilities` for the words of a caption with these indices; features: (N, D)."""
    decoder, vocabulary = model.model.caption_parts()
    groups = vocabulary.group([vocabulary.words[token] for token in caption.tokens])
    return masked_probabilities(
        decoder,
        features,
        list(caption.tokens),
        [groups[index] for index in indices],
        caption.attention[indices].reshape(len(indices), -1),
        generator,
    )


@torch.no_grad()
def masked_probabilities(
    decoder: CaptionDecoder,
    features: Tensor,
    tokens: list[int],
    words: list[list[int]],
    weights: NDArray[np.floating],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Probabilities (words, ORDERS, SHARES) of words if the decoder gets only some of the cells.

    Similar to deletion and insertion of Petsiuk et al. 2018 ("RISE"), with grid cells instead of
    pixels: the decoder reads only a share of the N cells, from its start on. deletion: the cells
    with the least weight in the word's map are kept; insertion: those with the most; random: any.
    The earlier words of the caption stay the same.

    features: (N, D) of one picture; tokens: (T) of its caption; words: for each word, the indices
    of its tokens; weights: (words, N), its map. Ties are broken at random, so that a uniform map
    does as well as random.
    """
    cells = len(features)
    ranked = np.array(_orders(weights, generator))  # (words, ORDERS, N): cells kept first
    probabilities = np.zeros((len(words), len(ORDERS), len(SHARES)))
    lines = torch.full((len(words) * len(ORDERS), 1 + len(tokens)), PADDING)
    lengths = [indices[-1] + 1 for indices in words for _ in ORDERS]
    for line, length in zip(lines, lengths, strict=True):
        line[: 1 + length] = torch.tensor([START, *tokens[:length]])
    longest = max(lengths, default=0)
    for level, share in enumerate(SHARES):
        count = max(1, round(share * cells))
        kept = torch.from_numpy(ranked[:, :, :count].reshape(-1, count)).to(features.device)
        forced = decoder(
            lines[:, : 1 + longest].to(features.device),
            lengths,
            torch.arange(len(lines), device=features.device),
            features[kept],  # (words · ORDERS, count, D)
        )
        log_probs = torch.log_softmax(forced.logits.float(), -1)  # (positions, V)
        log_probs = log_probs.gather(1, forced.targets.unsqueeze(1)).squeeze(1)  # (positions,)
        table = np.zeros((len(lines), longest))
        table[forced.captions.cpu(), forced.positions.cpu()] = log_probs.cpu()
        for number, indices in enumerate(words):
            rows = slice(number * len(ORDERS), (number + 1) * len(ORDERS))
            probabilities[number, :, level] = np.exp(table[rows, indices].sum(-1))
    return probabilities


def _orders(
    weights: NDArray[np.floating], generator: np.random.Generator
) -> list[list[NDArray[np.int64]]]:
    orders = []
    for cells in weights:
        shuffled = generator.permutation(len(cells))
        ascending = shuffled[np.argsort(cells[shuffled], kind="stable")]
        orders.append([ascending, ascending[::-1], generator.permutation(len(cells))])
    return orders
