"""All metrics of a set of captions: scores, diversity, warnings and the signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from captioner.metrics import bleu
from captioner.metrics.caption_results import PictureId, matched_pictures
from captioner.metrics.cider import cider_d
from captioner.metrics.java_metrics import meteor, spice
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.metrics.rouge import rouge_l
from captioner.version import __version__


class Metric(NamedTuple):
    """A row of METRICS."""

    name: str
    # P captions and the references of each, tokenized -> the corpus score and each picture's, (P,).
    score: Callable[[Sequence[list[str]], Sequence[Sequence[list[str]]]], tuple[float, np.ndarray]]
    is_mean: bool  # the corpus score is the mean over pictures, so the bootstrap can resample it


def _rouge_l(
    captions: Sequence[list[str]], references: Sequence[Sequence[list[str]]]
) -> tuple[float, np.ndarray]:
    per_picture = rouge_l(captions, references)
    return float(per_picture.mean()), per_picture


def _cider_d(
    captions: Sequence[list[str]], references: Sequence[Sequence[list[str]]]
) -> tuple[float, np.ndarray]:
    per_picture = cider_d(
        [_split(caption) for caption in captions],
        [[_split(text) for text in texts] for texts in references],
    )
    return float(per_picture.mean()), per_picture


# Every metric but BLEU, which gives four scores at once and keeps its counts for the bootstrap.
# To add a metric, write its module and add a row here.
METRICS = (
    Metric("METEOR", meteor, is_mean=False),
    Metric("ROUGE-L", _rouge_l, is_mean=True),
    Metric("CIDEr", _cider_d, is_mean=True),
    Metric("SPICE", spice, is_mean=True),
)


def distinct(captions: Sequence[Sequence[str]], order: int) -> float:
    """Return distinct-n, the share of n-grams that are different (Li et al. 2016).

    captions: lists of tokens; order: n. From 0 to 1, and 0 when there are no n-grams.
    """
    ngrams = [
        tuple(words[start : start + order])
        for words in captions
        for start in range(len(words) - order + 1)
    ]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def diversity(
    captions: Sequence[Sequence[str]], seen: Collection[Sequence[str]] | None = None
) -> dict[str, float]:
    """Measure the variety and length of captions, lists of tokens.

    The result has "distinct-1" and "distinct-2" (see `distinct`), "vocabulary" (different words),
    "different captions" (share), "words a caption" (mean) and, with seen, the tokenized captions
    of a training set, "novel captions" (the share that is not among them).
    """
    number = max(1, len(captions))
    found = {
        "distinct-1": distinct(captions, 1),
        "distinct-2": distinct(captions, 2),
        "vocabulary": float(len({word for words in captions for word in words})),
        "different captions": len({tuple(words) for words in captions}) / number,
        "words a caption": sum(map(len, captions)) / number,
    }
    if seen is not None:
        known = {tuple(words) for words in seen}
        found["novel captions"] = sum(tuple(words) not in known for words in captions) / number
    return found


MAX_SHARED = 0.1  # largest share of the pictures that may have the same caption
MAX_REPEATING = 0.01  # largest share of the captions that may repeat themselves


def find_warnings(captions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """List what is suspicious: empty captions, one caption for many pictures, repeated words.

    captions: one per picture, lists of tokens. The result has one sentence per finding.
    """
    found = []
    empty = sum(not words for words in captions)
    if empty:
        found.append(f"{empty:,} of {len(captions):,} captions have no words; they score 0.")
    (commonest, count), *_ = Counter(tuple(words) for words in captions).most_common(1)
    if count > 1 and count > MAX_SHARED * len(captions):
        found.append(
            f"one caption serves {count:,} of {len(captions):,} pictures: {' '.join(commonest)!r}."
        )
    repeating = [words for words in captions if repeats(words)]
    if len(repeating) > MAX_REPEATING * len(captions):
        found.append(
            f"{len(repeating):,} of {len(captions):,} captions repeat themselves, "
            f"such as {' '.join(repeating[0])!r}."
        )
    return tuple(found)


def repeats(words: Sequence[str]) -> bool:
    """Return whether a caption has the same word twice in a row, or the same three words twice."""
    if any(first == second for first, second in zip(words, words[1:], strict=False)):
        return True
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < len(trigrams)


@dataclass(frozen=True)
class CaptionScores:
    """The scores of one caption for each of P pictures."""

    values: dict[str, float]  # corpus scores, as fractions: {"BLEU-4": 0.21, "CIDEr": 0.61}
    diversity: dict[str, float]  # see `diversity`
    signature: str  # how the values were computed; compare only scores with equal signatures
    warnings: tuple[str, ...]  # see `find_warnings`
    pictures: tuple[PictureId, ...]  # the ids, in the order of the arrays below
    per_picture: dict[str, np.ndarray]  # metric name -> scores, (P,)
    bleu_counts: bleu.BleuCounts  # per picture; the bootstrap resamples them


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
    """Score one caption per picture with BLEU-1..4, ROUGE-L and CIDEr, as the official code does.

    candidates, references: picture id -> caption, and -> reference captions. seen: training
    captions, needed for the share of novel captions. allow_partial: score the pictures that
    both have, and say so in the signature. decoding: how the captions were made, for the
    signature. with_meteor, with_spice: score these too, which needs Java and pycocoevalcap.
    Raises CaptionerError if the two are not for the same pictures, a picture has no references, or
    a caption is not text.
    """
    pictures = matched_pictures(candidates, references, allow_partial)
    captions = [tokenize(candidates[picture]) for picture in pictures]
    tokenized = [[tokenize(text) for text in references[picture]] for picture in pictures]
    # The official code joins tokens with spaces and has BLEU and CIDEr split them again at all
    # white space: also inside "1 1/2", which is one token, and one word for ROUGE-L.
    words = [_split(caption) for caption in captions]
    reference_words = [[_split(caption) for caption in texts] for texts in tokenized]
    counts = bleu.count(words, reference_words)
    by_order = bleu.per_picture(counts)
    corpus = bleu.corpus(counts)
    per_picture = {f"BLEU-{n + 1}": by_order[:, n] for n in range(bleu.ORDERS)}
    values = {f"BLEU-{n + 1}": float(corpus[n]) for n in range(bleu.ORDERS)}
    chosen = {"METEOR": with_meteor, "SPICE": with_spice}
    for metric in METRICS:
        if chosen.get(metric.name, True):
            values[metric.name], per_picture[metric.name] = metric.score(captions, tokenized)
    known = None if seen is None else [tokenize(text) for text in seen]
    all_pictures = set(candidates) | set(references)
    return CaptionScores(
        values=values,
        diversity=diversity(captions, known),
        signature=_sign(values, tokenized, len(all_pictures), decoding),
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
    """Return a signature: all that a score depends on besides the captions (like sacreBLEU)."""
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
