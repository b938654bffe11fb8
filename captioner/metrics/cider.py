"""CIDEr-D: n-gram agreement with the references, weighted by TF-IDF.

Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation". The official COCO code
prints as "CIDEr" the variant that the paper calls CIDEr-D: counts are clipped at those of the
reference, and a Gaussian penalises a difference in length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import CaptionerError

ORDERS = 4
SIGMA = 6.0
_BITS = 31  # an n-gram is coded as (id of its first n-1 words) << 31 | id of its last word
_LOW = (1 << _BITS) - 1


@dataclass(frozen=True)
class _Vectors:
    """The n-grams of one order in a list of sentences, as sparse TF-IDF vectors.

    Entries are sorted by sentence, then by n-gram; `keys` is sentence << 31 | n-gram id.
    """

    keys: np.ndarray
    weights: np.ndarray
    norms: np.ndarray  # (sentences,)


class CiderD:
    """Scores captions against the references of a fixed set of pictures.

    Everything that depends only on the references (document frequencies, TF-IDF vectors, norms) is
    computed once, so that `score` is fast enough to be the reward at every training step.

    references: for each picture its reference captions, lists of tokens. The document frequency of
    an n-gram is the number of these pictures that have it. Raises CaptionerError if there are no
    pictures or a picture has no references.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]) -> None:
        if not references:
            raise CaptionerError("CIDEr needs the references of at least one picture, got none.")
        self._count = np.array([len(captions) for captions in references])
        if not self._count.all():
            picture = int(np.flatnonzero(self._count == 0)[0])
            raise CaptionerError(f"CIDEr needs references for every picture; {picture} has none.")
        self._first = np.concatenate([[0], np.cumsum(self._count)])
        sentences = [caption for captions in references for caption in captions]
        self._words: dict[str, int] = {}
        for caption in sentences:
            for word in caption:
                self._words.setdefault(word, len(self._words))
        self._lengths = _bigram_counts(sentences)
        picture_of = np.repeat(np.arange(len(references)), self._count)
        self._codes: list[np.ndarray] = []
        self._idf: list[np.ndarray] = []
        self._references: list[_Vectors] = []
        for order, (sentence, ids) in enumerate(self._ngrams(sentences, learn=True)):
            in_picture = _distinct(picture_of[sentence] << _BITS | ids) & _LOW
            frequency = np.bincount(in_picture, minlength=len(self._codes[order]))
            self._idf.append(np.log(len(references)) - np.log(frequency))
            self._references.append(self._vectors(sentence, ids, len(sentences), order))

    def score(
        self, candidates: Sequence[Sequence[str]], pictures: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """Score each of C candidates against the references of its picture: (C,), from 0 to 10.

        For n-gram orders n = 1..4, with g the TF-IDF vectors (Vedantam et al. 2015, equation 4):
        10 exp(-(l(c) - l(r))^2 / (2 * 6^2)) min(g(c), g(r)) . g(r) / (|g(c)| |g(r)|),
        averaged over the orders and the picture's references r. As in the official code, the
        lengths l are numbers of bigrams.

        candidates: C lists of tokens; pictures: for each the index of its picture in the references
        of the constructor, in any order and with repeats. Raises CaptionerError if the two differ
        in length or an index is out of range.
        """
        wanted = np.asarray(pictures, dtype=np.int64)
        if wanted.shape != (len(candidates),):
            raise CaptionerError(
                f"CIDEr got {len(candidates)} candidates for {wanted.size} pictures; "
                "give one picture index per candidate."
            )
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self._count)):
            raise CaptionerError(
                f"CIDEr knows pictures 0 to {len(self._count) - 1}, "
                f"got {wanted.min()} to {wanted.max()}."
            )
        # Every candidate is compared with every reference of its picture: (P,) pairs.
        candidate = np.repeat(np.arange(len(candidates)), self._count[wanted])
        reference = _ranges(self._first[wanted], self._count[wanted])
        similarity = np.zeros(len(candidate))
        for order, (sentence, ids) in enumerate(self._ngrams(candidates, learn=False)):
            vectors = self._vectors(sentence, ids, len(candidates), order)
            similarity += _clipped_cosine(vectors, self._references[order], candidate, reference)
        difference = _bigram_counts(candidates)[candidate] - self._lengths[reference]
        similarity *= np.exp(-(difference**2) / (2 * SIGMA**2))
        total = np.bincount(candidate, weights=similarity, minlength=len(candidates))
        return 10 * total / ORDERS / self._count[wanted]

    def _ngrams(
        self, sentences: Sequence[Sequence[str]], learn: bool
    ) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield, for each order, the sentence and the id of every n-gram.

        An id is the index in `self._codes[order]`, which `learn` fills from these sentences;
        unknown n-grams get ids after its end.
        """
        lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        new_words: dict[str, int] = {}
        known = self._words
        words = np.array(
            [
                known[word]
                if word in known
                else new_words.setdefault(word, len(known) + len(new_words))
                for sentence in sentences
                for word in sentence
            ],
            dtype=np.int64,
        )
        sentence_of = np.repeat(np.arange(len(sentences)), lengths)
        remaining = np.repeat(np.cumsum(lengths), lengths) - np.arange(
            len(words)
        )  # in the sentence
        ids = np.zeros(len(words), dtype=np.int64)
        for order in range(ORDERS):
            starts = np.flatnonzero(remaining > order)
            codes = ids[starts] << _BITS | words[starts + order]
            if learn:
                known_codes, ngram_ids = np.unique(codes, return_inverse=True)
                self._codes.append(known_codes)
            else:
                ngram_ids = self._ids(codes, order)
            yield sentence_of[starts], ngram_ids
            ids[starts] = ngram_ids

    def _ids(self, codes: np.ndarray, order: int) -> np.ndarray:
        """Return the ids of n-gram codes; unknown codes get ids after the known ones."""
        known = self._codes[order]
        if not len(known):
            return np.unique(codes, return_inverse=True)[1].astype(np.int64)
        ids = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        unseen = known[ids] != codes
        ids[unseen] = len(known) + np.unique(codes[unseen], return_inverse=True)[1]
        return ids

    def _vectors(
        self, sentence: np.ndarray, ids: np.ndarray, sentences: int, order: int
    ) -> _Vectors:
        """Weight the n-grams of one order by TF-IDF; unseen n-grams get the largest IDF."""
        keys, count = np.unique(sentence << _BITS | ids, return_counts=True)
        idf = np.append(self._idf[order], np.log(len(self._count)))
        weights = count * idf[np.minimum(keys & _LOW, len(idf) - 1)]
        norms = np.sqrt(np.bincount(keys >> _BITS, weights=weights**2, minlength=sentences))
        return _Vectors(keys, weights, norms)


def cider_d(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> np.ndarray:
    """Score one candidate per picture: (P,), from 0 to 10; see `CiderD.score` for the equation.

    The official code prints their mean as "CIDEr". candidates: P lists of tokens; references: for
    each of them its references, lists of tokens. Raises CaptionerError if the numbers differ or a
    picture has no references.
    """
    return CiderD(references).score(candidates, np.arange(len(references)))


def _clipped_cosine(
    candidates: _Vectors, references: _Vectors, candidate: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Return min(g(c), g(r)) . g(r) / (|g(c)| |g(r)|) for each pair (c, r)."""
    result = np.zeros(len(candidate))
    if not len(references.keys):
        return result
    bounds = np.searchsorted(candidates.keys >> _BITS, np.arange(len(candidates.norms) + 1))
    size = np.diff(bounds)[candidate]
    entry = _ranges(bounds[candidate], size)
    pair = np.repeat(np.arange(len(candidate)), size)
    wanted = reference[pair] << _BITS | candidates.keys[entry] & _LOW
    index = np.minimum(np.searchsorted(references.keys, wanted), len(references.keys) - 1)
    shared = references.keys[index] == wanted
    weights = references.weights[index[shared]]
    product = np.minimum(candidates.weights[entry[shared]], weights) * weights
    result += np.bincount(pair[shared], weights=product, minlength=len(candidate))
    scale = candidates.norms[candidate] * references.norms[reference]
    return np.divide(result, scale, out=np.zeros_like(result), where=scale > 0)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Sort values and drop duplicates, several times faster than np.unique, which hashes."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _ranges(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Join the ranges first[i], first[i] + 1, ... of the given sizes."""
    ends = np.cumsum(size)
    return np.repeat(first - ends + size, size) + np.arange(size.sum())


def _bigram_counts(sentences: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([max(0, len(sentence) - 1) for sentence in sentences], dtype=np.int64)
