"""All scores of a set of captions at once, with what they need to be compared and repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captioner import __version__
from captioner.metrics import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.diversity import diversity
from captioner.metrics.rouge import rouge_l
from captioner.metrics.tokenizer import tokenize

PictureId = int | str


@dataclass(frozen=True)
class CaptionScores:
    """The scores of one caption for each of P pictures.

    Attributes:
        values: the corpus's scores as fractions, e.g. {"BLEU-4": 0.21, "CIDEr": 0.61}.
        diversity: see `captioner.metrics.diversity.diversity`.
        signature: how the values were computed; only scores with the same signature compare.
        pictures: the ids, in the order of the arrays below.
        per_picture: for each metric its (P,) scores, picture by picture.
        bleu_counts: what BLEU's corpus score is made of, picture by picture.
    """

    values: dict[str, float]
    diversity: dict[str, float]
    signature: str
    pictures: tuple[PictureId, ...]
    per_picture: dict[str, np.ndarray]
    bleu_counts: bleu.BleuCounts


def score_captions(
    candidates: Mapping[PictureId, str],
    references: Mapping[PictureId, Sequence[str]],
    *,
    seen: Iterable[str] | None = None,
    allow_partial: bool = False,
    decoding: str = "unknown",
) -> CaptionScores:
    """Score one caption a picture with BLEU-1..4, ROUGE-L and CIDEr, as the official code does.

    Args:
        candidates: picture id -> caption.
        references: picture id -> reference captions.
        seen: training captions; with them the share of novel captions is told.
        allow_partial: score the pictures that both have, and say so in the signature.
        decoding: how the captions were made, for the signature.

    Raises:
        CaptionerError: see `check_captions`.
    """
    pictures = tuple(candidates)
    captions = [tokenize(candidates[picture]) for picture in pictures]
    wanted = [[tokenize(text) for text in references[picture]] for picture in pictures]
    # BLEU and CIDEr of the official code split at the no-break space inside "1 1/2"; ROUGE-L does
    # not.
    split = [" ".join(words).split() for words in captions]
    split_wanted = [[" ".join(words).split() for words in texts] for texts in wanted]
    counts = bleu.count(split, split_wanted)
    by_order = bleu.per_picture(counts)
    per_picture = {f"BLEU-{n + 1}": by_order[:, n] for n in range(bleu.ORDERS)}
    per_picture["ROUGE-L"] = rouge_l(captions, wanted)
    per_picture["CIDEr"] = cider_d(split, split_wanted)
    corpus = bleu.corpus(counts)
    values = {f"BLEU-{n + 1}": float(corpus[n]) for n in range(bleu.ORDERS)}
    values |= {name: float(per_picture[name].mean()) for name in ("ROUGE-L", "CIDEr")}
    return CaptionScores(
        values=values,
        diversity=diversity(captions, None if seen is None else [tokenize(text) for text in seen]),
        signature=f"version:{__version__}",
        pictures=pictures,
        per_picture=per_picture,
        bleu_counts=counts,
    )
