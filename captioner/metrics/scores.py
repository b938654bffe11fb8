"""All scores of a set of captions at once, with what they need to be compared and repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captioner import __version__
from captioner.metrics import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.diversity import diversity
from captioner.metrics.official import meteor, spice
from captioner.metrics.results import PictureId, matched_pictures
from captioner.metrics.rouge import rouge_l
from captioner.metrics.tokenizer import tokenize
from captioner.metrics.warning_signs import find_warnings


@dataclass(frozen=True)
class CaptionScores:
    """The scores of one caption for each of P pictures."""

    values: dict[str, float]  # the corpus's, as fractions: {"BLEU-4": 0.21, "CIDEr": 0.61}
    diversity: dict[str, float]  # see captioner.metrics.diversity.diversity
    signature: str  # how the values were computed; scores compare where it is the same
    warnings: tuple[str, ...]  # signs that the captions are worse than the values, a sentence each
    pictures: tuple[PictureId, ...]  # the ids, in the order of the arrays below
    per_picture: dict[str, np.ndarray]  # for each metric its (P,) scores
    bleu_counts: bleu.BleuCounts  # what BLEU's corpus score is made of


def score_captions(
    candidates: Mapping[PictureId, str],
    references: Mapping[PictureId, Sequence[str]],
    *,
    seen: Iterable[str] | None = None,
    allow_partial: bool = False,
    decoding: str = "unknown",
    with_meteor: bool = False,
    with_spice: bool = False,
) -> CaptionScores:
    """Score one caption a picture with BLEU-1..4, ROUGE-L and CIDEr, as the official code does.

    candidates, references: picture id -> caption, and -> reference captions. seen: training
    captions; with them the share of novel captions is told. allow_partial: score the pictures that
    both have, and say so in the signature. decoding: how the captions were made, for the
    signature. with_meteor, with_spice: score these too, which needs Java and pycocoevalcap.
    Raises CaptionerError if the two are not for the same pictures, a picture has no references, or
    a caption is no text.
    """
    pictures = matched_pictures(candidates, references, allow_partial)
    captions = [tokenize(candidates[picture]) for picture in pictures]
    wanted = [[tokenize(text) for text in references[picture]] for picture in pictures]
    # The official code joins tokens with spaces and has BLEU and CIDEr part them again wherever
    # there is white space: also inside "1 1/2", which is one token and one word of ROUGE-L.
    words = [_split(caption) for caption in captions]
    wanted_words = [[_split(caption) for caption in texts] for texts in wanted]
    counts = bleu.count(words, wanted_words)
    by_order = bleu.per_picture(counts)
    corpus = bleu.corpus(counts)
    per_picture = {f"BLEU-{n + 1}": by_order[:, n] for n in range(bleu.ORDERS)}
    values = {f"BLEU-{n + 1}": float(corpus[n]) for n in range(bleu.ORDERS)}
    if with_meteor:
        values["METEOR"], per_picture["METEOR"] = meteor(captions, wanted)
    per_picture["ROUGE-L"] = rouge_l(captions, wanted)
    per_picture["CIDEr"] = cider_d(words, wanted_words)
    values |= {name: float(per_picture[name].mean()) for name in ("ROUGE-L", "CIDEr")}
    if with_spice:
        values["SPICE"], per_picture["SPICE"] = spice(captions, wanted)
    known = None if seen is None else [tokenize(text) for text in seen]
    every = set(candidates) | set(references)
    return CaptionScores(
        values=values,
        diversity=diversity(captions, known),
        signature=_sign(values, wanted, len(every), decoding),
        warnings=find_warnings(captions),
        pictures=tuple(pictures),
        per_picture=per_picture,
        bleu_counts=counts,
    )


def _split(tokens: list[str]) -> list[str]:
    joined = " ".join(tokens)
    return joined.split() if "\u00a0" in joined else tokens


def _sign(
    metrics: Iterable[str], references: Sequence[Sequence[object]], pictures: int, decoding: str
) -> str:
    """Write down everything that a score depends on beside the captions (after sacreBLEU)."""
    fewest, most = min(map(len, references)), max(map(len, references))
    partial = f" of {pictures}, partial" if len(references) < pictures else ""
    return "|".join(
        [
            "+".join(metrics),
            f"pictures:{len(references)}{partial}",
            f"references:{fewest if fewest == most else f'{fewest}-{most}'}",
            "tokenizer:ptb3.4.1,lowercase,nopunct",
            "bleu:corpus,smooth1e-15,brevity-closest",
            "rouge:beta1.2",
            "cider:D,n4,sigma6,frequencies-of-references",
            f"decoding:{decoding}",
            f"captioner:{__version__}",
        ]
    )
