"""Sampling: captions drawn in a batch, independent of the other pictures."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from helpers import make_decoder

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import START
from captioner.decoding.beam_search import decode
from captioner.decoding.sampling import draw
from captioner.decoding.step import find_bans


def test_captions_do_not_depend_on_the_other_pictures() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=30, max_words=6)
    together = decode(decoder, features, config)
    for picture, group in enumerate(together):
        [alone] = decode(decoder, features[picture : picture + 1], config)
        assert [caption.tokens for caption in alone] == [caption.tokens for caption in group]


def test_probabilities_and_maps_belong_to_each_caption() -> None:
    """Captions share rows for their beginnings, but get the values of the decoder run alone."""
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=40, max_words=6)
    drawn = draw(decoder, features, config, range(5))
    assert [len(group) for group in drawn] == [40] * 5
    assert max(len({caption.tokens for caption in group}) for group in drawn) > 10
    keys = decoder.attention.project(features)
    for picture, group in enumerate(drawn):
        alone = slice(picture, picture + 1)
        for caption in group:
            state, word = decoder.start(features[alone]), START
            for index, token in enumerate(caption.tokens):
                with torch.no_grad():
                    logits, state, weights = decoder.step(
                        torch.tensor([word]), state, features[alone], keys[alone]
                    )
                written = np.array([caption.tokens[:index]], np.int64)
                bans = find_bans(written, config.block_ngrams)
                logits[0, [*bans.everywhere, *bans.words.tolist()]] = float("-inf")
                expected = float(logits[0].softmax(0)[token])
                assert caption.probabilities[index] == pytest.approx(expected)
                np.testing.assert_allclose(caption.weights[index], weights[0], 1e-5, 1e-6)
                word = token


def test_caption_frequencies_match_their_probabilities() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=4000, max_words=2, block_ngrams=0)
    [drawn] = draw(decoder, features[:1], config, [0])
    counts = Counter(caption.tokens for caption in drawn)
    assert len(counts) > 6
    for caption in drawn:
        # Four standard deviations of a share over 4,000 draws are at most 0.032.
        expected = math.exp(caption.log_probability)
        assert counts[caption.tokens] / 4000 == pytest.approx(expected, abs=0.032)
