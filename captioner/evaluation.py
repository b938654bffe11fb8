"""A whole data set captioned or answered; and whether the model needs the cells it looked at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

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

SHARES = tuple(eighth / 8 for eighth in range(1, 8))  # of the cells that are left to the decoder
ORDERS = ("deletion", "insertion", "random")


def caption_with_features(
    model: Captioner, paths: Sequence[Path], decoding: DecodingConfig, batch_size: int
) -> Iterator[tuple[Caption, Tensor]]:
    """The best caption of every picture and its features (N, D), each picture encoded once.

    Raises CaptionerError for a picture that cannot be read.
    """
    for start in range(0, len(paths), batch_size):
        features = model.encode(paths[start : start + batch_size])  # (B, N, D)
        captions = model.caption_features(features, decoding)
        yield from zip((best for best, *_ in captions), features, strict=True)


def answer_questions(
    model: Captioner,
    pictures: Sequence[tuple[Path | Image, Sequence[AskedQuestion]]],
    batch_size: int,
) -> Iterator[dict[Id, str] | CaptionerError]:
    """For each picture, the answers to its questions by their ids, or why it cannot be read.

    A question without any known word has the answer "".
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
                question.question_id: "" if isinstance(result, CaptionerError) else result.text
                for question, result in zip(questions, results, strict=True)
            }
        )


def group_by_picture(
    asked: Sequence[AskedQuestion],
) -> list[tuple[Path | Image, Sequence[AskedQuestion]]]:
    """Each picture once, with all the questions about it."""
    groups: dict[Path, list[AskedQuestion]] = {}
    for question in asked:
        groups.setdefault(question.path, []).append(question)
    return list(groups.items())


def describe_decoding(decoding: DecodingConfig) -> str:
    """Decoding as a signature gives it, such as beam5,words20,penalty0,block3."""
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
    """`probabilities_without` for the caption's words of these indices; features (N, D)."""
    decoder, vocabulary = model.model.writer()
    groups = vocabulary.group([vocabulary.words[token] for token in caption.tokens])
    return probabilities_without(
        decoder,
        features,
        list(caption.tokens),
        [groups[index] for index in indices],
        caption.attention[indices].reshape(len(indices), -1),
        generator,
    )


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
        log_probs = torch.log_softmax(forced.logits.float(), -1)
        log_probs = log_probs.gather(1, forced.targets.unsqueeze(1)).squeeze(1)
        table = np.zeros((len(lines), longest))
        table[forced.captions.cpu(), forced.positions.cpu()] = log_probs.cpu()
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
