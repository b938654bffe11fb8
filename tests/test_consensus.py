"""Consensus: which caption agrees best with those drawn, by hand and as a decoding."""

import math
from collections import Counter

import pytest
import torch
from test_search import make_decoder

from captioner.config import DecodingConfig
from captioner.consensus import by_agreement
from captioner.errors import CaptionerError
from captioner.sampling import draw
from captioner.search import find_captions
from captioner.vocabulary import END
from captioner.writing import Hypothesis, Member


def said(*tokens: int) -> Hypothesis:
    return Hypothesis(tokens, -1.0, (1.0,) * len(tokens), torch.zeros(len(tokens), 1))


def cosine(one: dict[tuple[int, ...], float], other: dict[tuple[int, ...], float]) -> float:
    length = math.hypot(*one.values()) * math.hypot(*other.values())
    return sum(weight * other.get(ngram, 0.0) for ngram, weight in one.items()) / (length or 1.0)


def agreement(one: Hypothesis, other: Hypothesis) -> float:
    """The sum over n of the cosines, pair by pair and with every n-gram spelt out."""
    total = 0.0
    for n in (1, 2, 3, 4):
        vectors = []
        for tokens in ((*one.tokens, END), (*other.tokens, END)):
            counts = Counter(tokens[i : i + n] for i in range(len(tokens) - n + 1))
            vectors.append(
                {
                    ngram: count * sum(math.log(word) for word in ngram if word != END)
                    for ngram, count in counts.items()
                }
            )
        total += cosine(vectors[0], vectors[1])
    return total


def test_the_best_caption_is_the_one_nearest_to_what_was_drawn_on_average() -> None:
    drawn = [(said(4, 10, 7, 30), 5), (said(4, 10, 7, 31, 9), 2), (said(4, 50, 8), 4)]
    candidates = [said(4, 10), said(4, 50, 8), said(4, 10, 7, 31), *(one for one, _ in drawn)]
    expected = sorted(
        {one.tokens for one in candidates},
        key=lambda tokens: -sum(times * agreement(said(*tokens), one) for one, times in drawn),
    )
    assert [one.tokens for one in by_agreement(candidates, drawn)] == expected
    assert expected[0] == (4, 10, 7, 30)


def test_rare_words_count_for_more_than_common_ones() -> None:
    """Each candidate shares one of two words with what was drawn: the rare one decides."""
    drawn = [(said(5, 2000), 1)]
    best, other = by_agreement([said(5, 1000), said(6, 2000)], drawn)
    assert (best.tokens, other.tokens) == ((6, 2000), (5, 1000))


def test_consensus_decoding_tells_the_best_of_the_beams_and_the_drawn() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    members = [Member(decoder, features)]
    settings = {"beam_size": 4, "max_words": 6, "temperature": 0.8, "seed": 3}
    found = find_captions(members, DecodingConfig(consensus=25, num_captions=3, **settings))  # type: ignore[arg-type]
    beams = find_captions(members, DecodingConfig(num_captions=4, **settings))  # type: ignore[arg-type]
    drawn = draw(members, DecodingConfig(**settings), 25, [3] * len(features))  # type: ignore[arg-type]
    for best, beam, those in zip(found, beams, drawn, strict=True):
        assert sum(times for _, times in those) == 25
        ordered = by_agreement([*beam, *(one for one, _ in those)], those)
        assert [one.tokens for one in best] == [one.tokens for one in ordered[:3]]
        assert len({one.tokens for one in best}) == 3


def test_a_pictures_caption_does_not_depend_on_those_beside_it() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    for config in (
        DecodingConfig(consensus=30, max_words=6),
        DecodingConfig(sample=True, num_captions=30, max_words=6),
    ):
        together = find_captions([Member(decoder, features)], config)
        for picture, group in enumerate(together):
            [alone] = find_captions([Member(decoder, features[picture : picture + 1])], config)
            assert [one.tokens for one in alone] == [one.tokens for one in group]


def test_captions_drawn_together_are_what_teacher_forcing_says_of_them() -> None:
    """Beginnings are shared, so each word's state and map must be those of its own caption."""
    decoder, features = make_decoder(5, sharpness=1.5)
    drawn = draw([Member(decoder, features)], DecodingConfig(max_words=6), 40, range(5))
    assert max(len(those) for those in drawn) > 10
    keys = decoder.attention.project(features)
    for picture, those in enumerate(drawn):
        alone = slice(picture, picture + 1)
        for one, _ in those:
            state, word = decoder.start(features[alone]), 1
            for place, after in enumerate(one.tokens):
                with torch.no_grad():
                    _, state, weights = decoder.step(
                        torch.tensor([word]), state, features[alone], keys[alone]
                    )
                torch.testing.assert_close(one.weights[place], weights[0])
                word = after


def test_sample_and_consensus_exclude_each_other() -> None:
    with pytest.raises(CaptionerError, match="the one that 5 of them"):
        DecodingConfig(sample=True, consensus=5)
