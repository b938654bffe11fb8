"""Search: greedy, beam search and sampling compared with brute force, and banned tokens."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import N, make_decoder
from torch import Tensor
from torch.nn import functional

from captioner.config.settings import DecodingConfig
from captioner.data.images import open_picture, to_tensor
from captioner.data.vocabulary import END, NEVER_WRITTEN, START
from captioner.decoding.beam_search import decode
from captioner.decoding.step import Hypothesis
from captioner.model import checkpoint
from captioner.model.decoder import CaptionDecoder

WORDS = (4, 5, 6)


@torch.no_grad()
def step_log_probs(
    decoder: CaptionDecoder, features: Tensor, words: tuple[int, ...]
) -> list[Tensor]:
    """Log probabilities (V,) of the next token after each beginning of these words."""
    keys, state = decoder.attention.project(features), decoder.start(features)
    log_probs = []
    for position, word in enumerate((START, *words)):
        logits, state, _ = decoder.step(torch.tensor([word]), state, features, keys)
        logits[:, NEVER_WRITTEN] = float("-inf")
        if position == 0:
            logits[:, END] = float("-inf")
        log_probs.append(functional.log_softmax(logits[0], dim=-1))
    return log_probs


def score(
    decoder: CaptionDecoder, features: Tensor, words: tuple[int, ...], max_words: int
) -> float:
    steps = step_log_probs(decoder, features, words)
    total = sum(float(step[word]) for step, word in zip(steps, words, strict=False))
    return total if len(words) == max_words else total + float(steps[-1][END])


def brute_force(
    decoder: CaptionDecoder, features: Tensor, max_words: int, length_penalty: float
) -> list[tuple[int, ...]]:
    """Every caption, best first."""
    captions = [
        words
        for length in range(1, max_words + 1)
        for words in itertools.product(WORDS, repeat=length)
    ]
    return sorted(
        captions,
        key=lambda words: (
            -score(decoder, features, words, max_words) / (len(words) + 1) ** length_penalty
        ),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 2.0])
def test_wide_beam_equals_brute_force(seed: int, length_penalty: float) -> None:
    decoder, features = make_decoder(seed)
    features = features[:2]
    config = DecodingConfig(
        beam_size=50, num_captions=6, max_words=3, length_penalty=length_penalty, block_ngrams=0
    )
    for picture, hypotheses in enumerate(decode(decoder, features, config)):
        own = features[picture : picture + 1]
        expected = brute_force(decoder, own, 3, length_penalty)[:6]
        assert [h.tokens for h in hypotheses] == expected
        for hypothesis in hypotheses:
            total = score(decoder, own, hypothesis.tokens, 3)
            assert hypothesis.log_probability == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_beam_of_one_is_greedy(seed: int) -> None:
    decoder, features = make_decoder(seed)
    config = DecodingConfig(beam_size=1, max_words=8, length_penalty=1.0, block_ngrams=0)
    for picture, [hypothesis] in enumerate(decode(decoder, features, config)):
        words: tuple[int, ...] = ()
        while len(words) < 8:
            own = features[picture : picture + 1]
            best = int(step_log_probs(decoder, own, words)[-1].argmax())
            if best == END:
                break
            words += (best,)
        assert hypothesis.tokens == words


@pytest.mark.parametrize("beam_size", [2, 3, 5])
def test_batched_equals_one_by_one(beam_size: int) -> None:
    decoder, features = make_decoder(3)
    config = DecodingConfig(beam_size=beam_size, num_captions=2, max_words=6)
    together = decode(decoder, features, config)
    for picture, hypotheses in enumerate(together):
        [alone] = decode(decoder, features[picture : picture + 1], config)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        for batched, single in zip(hypotheses, alone, strict=True):
            assert batched.log_probability == pytest.approx(single.log_probability, abs=1e-4)
            np.testing.assert_allclose(batched.weights, single.weights, 1e-5, 1e-6)


def check_hypothesis(hypothesis: Hypothesis, max_words: int) -> None:
    words = len(hypothesis.tokens)
    assert 1 <= words <= max_words
    assert set(hypothesis.tokens) <= set(WORDS)
    assert len(hypothesis.probabilities) == words
    assert hypothesis.weights.shape == (words, N)
    np.testing.assert_allclose(hypothesis.weights.sum(1), np.ones(words), 1e-5)


@pytest.mark.parametrize("beam_size", [1, 2, 4])
@pytest.mark.parametrize("end_bias", [-100.0, 0.0, 100.0])
def test_every_picture_gets_a_caption_whatever_the_logits(beam_size: int, end_bias: float) -> None:
    decoder, features = make_decoder(1)
    with torch.no_grad():
        decoder.output_bias[END] = end_bias
        decoder.output_bias[NEVER_WRITTEN] = 50.0
    config = DecodingConfig(beam_size=beam_size, max_words=5, block_ngrams=0)
    for [hypothesis] in decode(decoder, features, config):
        check_hypothesis(hypothesis, 5)
        assert len(hypothesis.tokens) == {-100.0: 5, 100.0: 1}.get(end_bias, len(hypothesis.tokens))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocked_ngrams_do_not_repeat(size: int) -> None:
    decoder, features = make_decoder(2)
    with torch.no_grad():
        decoder.output_bias[END] = -100.0  # without a limit captions would not end
    repeated = 0
    for block in (0, size):
        config = DecodingConfig(beam_size=2, max_words=12, block_ngrams=block)
        for [hypothesis] in decode(decoder, features, config):
            tokens = hypothesis.tokens
            ngrams = Counter(tokens[i : i + size] for i in range(len(tokens) - size + 1))
            if block:
                assert max(ngrams.values()) == 1
            else:
                repeated += max(ngrams.values()) > 1
    assert repeated == len(features)


def test_sample_frequencies_match_the_probabilities() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)
    config = DecodingConfig(sample=True, num_captions=4000, max_words=1, block_ngrams=0)
    [samples] = decode(decoder, features[:1], config)
    counts = Counter(hypothesis.tokens[0] for hypothesis in samples)
    expected = step_log_probs(decoder, features[:1], ())[0].exp()
    for word in WORDS:
        # Three standard deviations of a share over 4,000 draws are at most 0.024.
        assert counts[word] / 4000 == pytest.approx(float(expected[word]), abs=0.024)
    assert samples[0].probabilities[0] == pytest.approx(float(expected[samples[0].tokens[0]]))


def test_sampling_seed_top_k_top_p_and_temperature() -> None:
    decoder, features = make_decoder(5, sharpness=1.5)

    def draw(**settings: float) -> list[list[tuple[int, ...]]]:
        config = DecodingConfig(sample=True, num_captions=30, max_words=6, **settings)  # type: ignore[arg-type]
        groups = decode(decoder, features, config)
        for group in groups:
            for hypothesis in group:
                check_hypothesis(hypothesis, 6)
        return [[hypothesis.tokens for hypothesis in group] for group in groups]

    assert draw(seed=3) == draw(seed=3)
    assert draw(seed=3) != draw(seed=4)
    greedy = [
        [h.tokens for h in group]
        for group in decode(decoder, features, DecodingConfig(beam_size=1, max_words=6))
    ]
    for cut in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 0.01}):
        assert [sorted(set(group)) for group in draw(**cut)] == greedy


def test_batched_equals_a_simple_search_with_the_bundled_model() -> None:
    """The simple search handles one picture and one beam at a time and sorts all sums."""
    model = checkpoint.load(checkpoint.default_checkpoint()).model
    decoder, _ = model.caption_parts()
    samples = sorted((Path(__file__).parents[2] / "data" / "samples").glob("*.jpg"))
    pixels = [to_tensor(open_picture(file), model.config.image_size) for file in samples]
    with torch.no_grad():
        features = model.encoder(torch.stack(pixels))
    config = DecodingConfig(beam_size=3, max_words=20, block_ngrams=0)
    together = decode(decoder, features, config)
    assert len(together) == len(samples) > 1
    for picture, [hypothesis] in enumerate(together):
        assert hypothesis.tokens == plain_beam(decoder, features[picture : picture + 1], 3, 20)


@torch.no_grad()
def plain_beam(
    decoder: CaptionDecoder, features: Tensor, beams: int, max_words: int
) -> tuple[int, ...]:
    keys = decoder.attention.project(features)
    beam = [(0.0, (START,), decoder.start(features))]
    ended: list[tuple[float, tuple[int, ...]]] = []
    while beam:
        longer = []
        for total, words, state in beam:
            logits, next_state, _ = decoder.step(torch.tensor(words[-1:]), state, features, keys)
            logits[:, NEVER_WRITTEN] = float("-inf")
            if len(words) == 1:
                logits[:, END] = float("-inf")
            if len(words) > max_words:
                ended.append((total, words[1:]))
                continue
            for word, log_prob in enumerate(functional.log_softmax(logits[0], dim=-1).tolist()):
                longer.append((total + log_prob, (*words, word), next_state))
        longer = sorted(longer, key=lambda item: -item[0])[: beams - len(ended)]
        ended += [(total, words[1:-1]) for total, words, _ in longer if words[-1] == END]
        beam = [item for item in longer if item[1][-1] != END]
    return max(ended)[1]
