"""All scores of a set of captions at once, with what they need to be compared and repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.metrics import bleu
from captioner.metrics.caption_results import PictureId, matched_pictures
from captioner.metrics.cider import cider_d
from captioner.metrics.java_metrics import meteor, spice
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.metrics.rouge import rouge_l
from captioner.version import __version__


def distinct(captions: Sequence[Sequence[str]], order: int) -> float:
    """Give the share of n-grams that are different from each other (Li et al. 2016, distinct-n).

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
    """Describe the variety and length of captions, lists of tokens.

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


SHARE = 0.1  # of the pictures that one caption may serve
REPEATED = 0.01  # of the captions that may say the same three words twice


def find_warnings(captions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Say what is suspicious about captions: empty, one for many pictures, repeating themselves.

    captions: one a picture, lists of tokens. The result has one sentence a finding.
    """
    found = []
    empty = sum(not words for words in captions)
    if empty:
        found.append(f"{empty:,} of {len(captions):,} captions have no words; they score 0.")
    (commonest, times), *_ = Counter(tuple(words) for words in captions).most_common(1)
    if times > 1 and times > SHARE * len(captions):
        found.append(
            f"one caption serves {times:,} of {len(captions):,} pictures: {' '.join(commonest)!r}."
        )
    repeating = [words for words in captions if repeats(words)]
    if len(repeating) > REPEATED * len(captions):
        found.append(
            f"{len(repeating):,} of {len(captions):,} captions repeat themselves, "
            f"such as {' '.join(repeating[0])!r}."
        )
    return tuple(found)


def repeats(words: Sequence[str]) -> bool:
    """Tell whether a caption says a word twice running or the same three words twice."""
    if any(first == second for first, second in zip(words, words[1:], strict=False)):
        return True
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < len(trigrams)


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
