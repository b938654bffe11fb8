"""All metrics of a set of captions: scores, diversity, warnings and the signature."""

from __future__ import annotations

import textwrap
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from captioner.data.unspaced_scripts import has_unspaced
from captioner.data.vocabulary import MARKER, has_words
from captioner.metrics import bleu
from captioner.metrics.caption_results import matched_pictures
from captioner.metrics.cider import cider_d
from captioner.metrics.java_metrics import meteor, spice
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.metrics.result_files import Id, with_known_ids
from captioner.metrics.rouge import rouge_l
from captioner.version import __version__


class Metric(NamedTuple):
    """A row of METRICS."""

    name: str
    # Tokenized captions, P, and the references of each -> the corpus score, scores per picture (P,)
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


# All metrics except BLEU, which has four scores and keeps its counts for the bootstrap. To add a
# metric, write its module and add a row here.
METRICS = (
    Metric("METEOR", meteor, is_mean=False),
    Metric("ROUGE-L", _rouge_l, is_mean=True),
    Metric("CIDEr", _cider_d, is_mean=True),
    Metric("SPICE", spice, is_mean=True),
)


def distinct(captions: Sequence[Sequence[str]], order: int) -> float:
    """Return distinct-n, different n-grams divided by all n-grams (Li et al. 2016), from 0 to 1.

    captions: lists of tokens; order: n. The result is 0 if there are no n-grams.
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

    The result has "distinct-1" and "distinct-2" (see `distinct`), "vocabulary" (number of different
    words), "different captions" (share), "words a caption" (mean) and, if the tokenized captions of
    a training set are given as seen, "novel captions" (the share that is not among them).
    """
    number = max(1, len(captions))
    measures = {
        "distinct-1": distinct(captions, 1),
        "distinct-2": distinct(captions, 2),
        "vocabulary": float(len({word for words in captions for word in words})),
        "different captions": len({tuple(words) for words in captions}) / number,
        "words a caption": sum(map(len, captions)) / number,
    }
    if seen is not None:
        known = {tuple(words) for words in seen}
        measures["novel captions"] = sum(tuple(words) not in known for words in captions) / number
    return measures


MAX_SHARED = 0.1  # largest share of the pictures that may have the same caption
MAX_REPEATING = 0.01  # largest share of the captions that may repeat themselves


def _find_zeros(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> list[str]:
    """List which scores are 0 by their formula, whatever the captions say."""
    found = []
    if len({frozenset(map(tuple, texts)) for texts in references}) == 1:
        found.append(
            "CIDEr is 0 by its formula, which gives words that every picture's references have no "
            "weight: score at least two pictures with different references."
        )
    if max(map(len, captions)) < bleu.ORDERS:
        found.append(f"BLEU-{bleu.ORDERS} is 0 because no caption has {bleu.ORDERS} words.")
    return found


def find_warnings(captions: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Warn of empty captions, one caption for many pictures, and repeated words, a sentence each.

    captions: one list of tokens per picture.
    """
    warnings = []
    empty = sum(not words for words in captions)
    if empty:
        warnings.append(f"{empty:,} of {len(captions):,} captions have no words; they score 0.")
    (commonest, count), *_ = Counter(tuple(words) for words in captions).most_common(1)
    if count > 1 and count > MAX_SHARED * len(captions):
        warnings.append(
            f"one caption serves {count:,} of {len(captions):,} pictures: {_shortened(commonest)}."
        )
    repeating = [words for words in captions if repeats(words)]
    if len(repeating) > MAX_REPEATING * len(captions):
        warnings.append(
            f"{len(repeating):,} of {len(captions):,} captions repeat themselves, "
            f"such as {_shortened(repeating[0])}."
        )
    return tuple(warnings)


def _shortened(words: Sequence[str]) -> str:
    """A caption for a message, which one of thousands of words must not fill."""
    return repr(textwrap.shorten(" ".join(words), 200, placeholder=" ..."))


def _find_markers(candidates: Mapping[Id, str], pictures: Sequence[Id]) -> list[str]:
    found = [mark[0] for picture in pictures if (mark := MARKER.search(candidates[picture]))]
    if not found:
        return []
    return [
        f"{len(found):,} of {len(pictures):,} captions contain markers such as {found[0]}, which "
        "count as words: remove them."
    ]


def _tokenize(text: str) -> list[str]:
    """The tokens of a text, the same however its letters with accents are stored."""
    return tokenize(unicodedata.normalize("NFC", text))


def repeats(words: Sequence[str]) -> bool:
    """Whether a caption has the same word twice in a row, or the same three words twice."""
    if any(first == second for first, second in zip(words, words[1:], strict=False)):
        return True
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < len(trigrams)


@dataclass(frozen=True)
class CaptionScores:
    """The scores of a set of captions, one for each of P pictures."""

    values: dict[str, float]  # corpus scores, as fractions: {"BLEU-4": 0.21, "CIDEr": 0.61}
    diversity: dict[str, float]  # see `diversity`
    signature: str  # how the values were computed; compare only scores with equal signatures
    warnings: tuple[str, ...]  # what is suspicious, a sentence each
    pictures: tuple[Id, ...]  # the ids, in the order of the arrays below
    per_picture: dict[str, np.ndarray]  # metric name -> scores, (P,)
    bleu_counts: bleu.BleuCounts  # per picture; the bootstrap resamples them


def score_captions(
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
    *,
    seen: Iterable[str] | None = None,
    allow_partial: bool = False,
    decoding: str = "unknown",
    with_meteor: bool = False,
    with_spice: bool = False,
) -> CaptionScores:
    """Score one caption per picture with BLEU-1..4, ROUGE-L and CIDEr, equal to the official code.

    candidates, references: picture id -> caption, and -> reference captions; an id may be a number
    in one and the same number as text in the other. References without a word, and pictures without
    references, are left out and counted in the signature. seen: training captions, needed for the
    share of novel captions. allow_partial: score the pictures that both have, and say so in the
    signature. decoding: how the captions were made, for the signature. with_meteor, with_spice:
    score these too, which needs Java and pycocoevalcap.
    Raises CaptionerError if the two are not for the same pictures or a caption is not text.
    """
    candidates = with_known_ids(candidates, list(references), "picture")
    given = references
    references = {picture: _with_words(texts) for picture, texts in given.items()}
    pictures = matched_pictures(candidates, references, allow_partial)
    captions = [_tokenize(candidates[picture]) for picture in pictures]
    tokenized = [[_tokenize(text) for text in references[picture]] for picture in pictures]
    # The official code joins tokens with spaces, and its BLEU and CIDEr split them again at any
    # white space: also inside "1 1/2", which is one token and one word for ROUGE-L.
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
    known = None if seen is None else [_tokenize(text) for text in seen]
    by_character = any(has_unspaced(text) for texts in references.values() for text in texts)
    return CaptionScores(
        values=values,
        diversity=diversity(captions, known),
        signature=_sign(
            values,
            tokenized,
            _left_out(candidates, given, references, pictures),
            decoding,
            by_character,
        ),
        warnings=(
            *_find_markers(candidates, pictures),
            *_find_zeros(captions, tokenized),
            *find_warnings(captions),
        ),
        pictures=tuple(pictures),
        per_picture=per_picture,
        bleu_counts=counts,
    )


def _split(tokens: list[str]) -> list[str]:
    joined = " ".join(tokens)
    return joined.split() if "\u00a0" in joined else tokens


class LeftOut(NamedTuple):
    """What was not scored."""

    pictures: int  # without references
    references: int  # without a word
    partial: int  # pictures that only the candidates or only the references have


def _with_words(texts: Sequence[str]) -> Sequence[str]:
    """The texts that have a word; what is no list stays, for matched_pictures to report."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        return texts
    return [text for text in texts if has_words(text)]


def _left_out(
    candidates: Mapping[Id, str],
    given: Mapping[Id, Sequence[str]],
    references: Mapping[Id, Sequence[str]],
    scored: Sequence[Id],
) -> LeftOut:
    """Count what is not scored; given: the references before empty ones were taken out."""
    bare = [picture for picture, texts in references.items() if not texts]
    return LeftOut(
        pictures=len(bare),
        references=sum(len(given[picture]) - len(references[picture]) for picture in scored),
        partial=len((set(candidates) | set(references)).difference(bare, scored)),
    )


def _sign(
    metrics: Iterable[str],
    references: Sequence[Sequence[object]],
    left_out: LeftOut,
    decoding: str,
    by_character: bool,
) -> str:
    """The signature: everything that a score depends on besides the captions, as in sacreBLEU."""
    fewest, most = min(map(len, references)), max(map(len, references))
    pictures = f"pictures:{len(references)}"
    if left_out.partial:
        pictures += f" of {len(references) + left_out.partial}, partial"
    if left_out.pictures:
        pictures += f", {left_out.pictures} without references left out"
    empty = f", {left_out.references} empty left out" if left_out.references else ""
    return "|".join(
        [
            "+".join(metrics),
            pictures,
            f"references:{fewest if fewest == most else f'{fewest}-{most}'}{empty}",
            f"tokenizer:ptb3.4.1,lowercase,nopunct{',unspaced-by-character' * by_character}",
            "bleu:corpus,smooth1e-15,brevity-closest",
            "rouge:beta1.2",
            "cider:D,n4,sigma6,frequencies-of-references",
            f"decoding:{decoding}",
            f"captioner:{__version__}",
        ]
    )
