"""Sampling: captions drawn together, each picture's as if it were alone."""

import torch
from test_search import make_decoder

from captioner.config import DecodingConfig
from captioner.sampling import draw
from captioner.search import find_captions
from captioner.vocabulary import START
from captioner.writing import Member


def test_a_pictures_caption_does_not_depend_on_those_beside_it() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=30, max_words=6)
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
            state, word = decoder.start(features[alone]), START
            for place, after in enumerate(one.tokens):
                with torch.no_grad():
                    _, state, weights = decoder.step(
                        torch.tensor([word]), state, features[alone], keys[alone]
                    )
                torch.testing.assert_close(one.weights[place], weights[0])
                word = after
