"""Sampling: captions drawn together, each picture's as if it were alone."""

import math
from collections import Counter

import pytest
import torch
from helpers import make_decoder

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import START
from captioner.decoding.beam_search import decode
from captioner.decoding.sampling import draw
from captioner.decoding.step import next_log_probs


def test_a_pictures_caption_does_not_depend_on_those_beside_it() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=30, max_words=6)
    together = decode(decoder, features, config)
    for picture, group in enumerate(together):
        [alone] = decode(decoder, features[picture : picture + 1], config)
        assert [one.tokens for one in alone] == [one.tokens for one in group]


def test_captions_drawn_together_are_what_the_decoder_says_of_each_alone() -> None:
    """Beginnings are shared, so each word's chance and map must be those of its own caption."""
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=40, max_words=6)
    drawn = draw(decoder, features, config, range(5))
    assert [len(those) for those in drawn] == [40] * 5
    assert max(len({one.tokens for one in those}) for those in drawn) > 10
    keys = decoder.attention.project(features)
    for picture, those in enumerate(drawn):
        alone = slice(picture, picture + 1)
        for one in those:
            state, word = decoder.start(features[alone]), START
            for place, after in enumerate(one.tokens):
                with torch.no_grad():
                    logits, state, weights = decoder.step(
                        torch.tensor([word]), state, features[alone], keys[alone]
                    )
                written = torch.tensor([one.tokens[:place]], dtype=torch.long)
                log_probs = next_log_probs(logits, written, 6, config.block_ngrams)[0]
                assert one.probabilities[place] == pytest.approx(float(log_probs[after].exp()))
                torch.testing.assert_close(one.weights[place], weights[0])
                word = after


def test_whole_captions_come_as_often_as_their_probability_says() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=4000, max_words=2, block_ngrams=0)
    [drawn] = draw(decoder, features[:1], config, [0])
    counts = Counter(one.tokens for one in drawn)
    assert len(counts) > 6
    for one in drawn:
        # Four standard deviations of a share over 4,000 draws are at most 0.032.
        expected = math.exp(one.log_probability)
        assert counts[one.tokens] / 4000 == pytest.approx(expected, abs=0.032)
