"""Which of several captions agrees best with all that the model would say of the picture."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from captioner.vocabulary import END
from captioner.writing import Hypothesis

ORDERS = 4
Ngram = tuple[int, ...]


def by_agreement(
    candidates: Sequence[Hypothesis], drawn: Sequence[tuple[Hypothesis, int]]
) -> list[Hypothesis]:
    """The different candidates, those first that agree best with the captions drawn.

    drawn: different captions, each with how often it came, a sample of what the model would say.
    Agreement with one caption is the mean over n-grams of 1 to 4 words of the cosine of the
    weighed counts, as in CIDEr (Vedantam et al. 2015, equation 3), so the caption returned first
    has the least expected loss under the model (Kumar and Byrne 2004, minimum Bayes risk). Where
    CIDEr weighs an n-gram by its rarity in a corpus, here each of its words counts the logarithm
    of its place in the vocabulary, which is ordered by frequency: what -log frequency is, but for
    a constant, where frequencies follow Zipf's law.
    """
    expected: list[defaultdict[Ngram, float]] = [defaultdict(float) for _ in range(ORDERS)]
    for caption, times in drawn:
        for order, vector in enumerate(_vectors(caption.tokens)):
            for ngram, weight in vector.items():
                expected[order][ngram] += times * weight

    def agreement(caption: Hypothesis) -> float:
        return sum(
            weight * known.get(ngram, 0.0)
            for known, vector in zip(expected, _vectors(caption.tokens), strict=True)
            for ngram, weight in vector.items()
        )

    different = {caption.tokens: caption for caption in candidates}.values()
    return sorted(different, key=lambda caption: (-agreement(caption), caption.tokens))


def _vectors(tokens: Ngram) -> list[dict[Ngram, float]]:
    """For n of 1 to 4 the weighed counts of a caption's n-grams, of length 1."""
    words = (*tokens, END)
    vectors = []
    for order in range(1, ORDERS + 1):
        counts = Counter(words[first : first + order] for first in range(len(words) - order + 1))
        weighed = {
            ngram: count * sum(math.log(word) for word in ngram if word != END)
            for ngram, count in counts.items()
        }
        length = math.hypot(*weighed.values()) or 1.0
        vectors.append({ngram: weight / length for ngram, weight in weighed.items()})
    return vectors
