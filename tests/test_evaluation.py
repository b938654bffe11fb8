"""Deletion and insertion, with a decoder that needs one cell and with a random one."""

import numpy as np
import pytest
import torch

from captioner.evaluation import ORDERS, SHARES, masked_probabilities
from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import make_cell

CELLS, WORDS = 16, 11


def make_decoder(attention: object) -> CaptionDecoder:
    torch.manual_seed(5)
    return CaptionDecoder(
        attention=attention,  # type: ignore[arg-type]
        cell=make_cell("lstm", hidden_size=13, layers=1, dropout=0.0),
        vocabulary_size=WORDS,
        feature_size=14,
        embedding_size=7,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    ).eval()


@pytest.fixture
def spatial() -> CaptionDecoder:
    return make_decoder(
        SpatialAttention(query_size=13, feature_size=14, attention_size=10, heads=2)
    )


def test_word_needs_the_cell_that_shows_it() -> None:
    """Only the features of cell 3 are not zero, and they mean word 9."""
    decoder = make_decoder(FixedContext())
    features = torch.zeros(CELLS, 14)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        features[3, 0] = 16.0
        decoder.context_output.weight[0, 0] = 8.0  # the gate, sigmoid(0), halves it
        decoder.embedding.weight[9, 0] = 1.0
    weights = np.full((1, CELLS), 0.01)
    weights[0, 3] = 0.85
    rng = np.random.default_rng(0)
    probabilities = masked_probabilities(decoder, features, [9], [[0]], weights, rng)
    deletion, insertion, _ = probabilities[0]
    assert probabilities.shape == (1, len(ORDERS), len(SHARES))
    np.testing.assert_allclose(deletion, 1 / WORDS, rtol=1e-5)
    # The logit is the mean over the cells, one of them 16, halved, times 8; the others are 0.
    logits = np.array([16 / round(share * CELLS) / 2 * 8 for share in SHARES])
    np.testing.assert_allclose(insertion, np.exp(logits) / (np.exp(logits) + WORDS - 1), rtol=1e-5)


def test_removed_cells_equal_masked_cells(spatial: CaptionDecoder) -> None:
    """Fewer cells give the same first word as attention's mask, with the same initial state."""
    features = torch.randn(CELLS, 14, generator=torch.Generator().manual_seed(2))
    features -= features.mean(0)
    with torch.no_grad():
        spatial.initial_state.weight.zero_()
    weights = np.random.default_rng(1).dirichlet(np.ones(CELLS), 1)
    rng = np.random.default_rng(0)
    probabilities = masked_probabilities(spatial, features, [7], [[0]], weights, rng)
    for level, share in enumerate(SHARES):
        mask = torch.zeros(1, CELLS, dtype=torch.bool)
        mask[0, np.argsort(-weights[0])[: round(share * CELLS)].copy()] = True
        with torch.no_grad():
            state = spatial.start(features[None])
            embedded = spatial.embedding(torch.tensor([1]))
            keys = spatial.attention.project(features[None])
            context, _ = spatial.attention(state[0], keys, features[None], mask)  # type: ignore[call-arg]
            context, state = spatial.decoder_step(
                spatial.word_input(embedded), context, state, state
            )
            logits = spatial.logits(embedded, context, state[0])
        expected = torch.softmax(logits, -1)[0, 7]
        inserted = probabilities[0, ORDERS.index("insertion"), level]
        assert inserted == pytest.approx(float(expected), rel=1e-4)


def test_words_together_equal_words_one_by_one(spatial: CaptionDecoder) -> None:
    features = torch.randn(CELLS, 14, generator=torch.Generator().manual_seed(3))
    tokens, words = [4, 9, 5, 8, 10], [[1], [2, 3], [4]]
    weights = np.random.default_rng(1).dirichlet(np.ones(CELLS), 3)

    def measure(chosen: list[int]) -> np.ndarray:
        return masked_probabilities(
            spatial,
            features,
            tokens,
            [words[number] for number in chosen],
            weights[chosen],
            np.random.default_rng(0),
        )

    together = measure([0, 1, 2])
    for number in range(3):
        # The random order differs between calls.
        np.testing.assert_allclose(together[number, :2], measure([number])[0, :2], rtol=1e-5)


def test_word_of_several_tokens_has_the_product_of_their_probabilities(
    spatial: CaptionDecoder,
) -> None:
    features = torch.randn(CELLS, 14, generator=torch.Generator().manual_seed(3))
    weights = np.random.default_rng(1).dirichlet(np.ones(CELLS), 1).repeat(3, 0)
    rng = np.random.default_rng(0)
    both, first, second = masked_probabilities(
        spatial, features, [4, 9, 5], [[1, 2], [1], [2]], weights, rng
    )[:, :2]
    np.testing.assert_allclose(both, first * second, rtol=1e-5)


def test_uniform_map_is_no_better_than_random(spatial: CaptionDecoder) -> None:
    """Ties must be broken at random, not by the order of the cells."""
    features = torch.randn(CELLS, 14, generator=torch.Generator().manual_seed(4)) * 3
    uniform = np.full((400, CELLS), 1 / CELLS)
    means = masked_probabilities(
        spatial, features, [4, 9], [[1]] * 400, uniform, np.random.default_rng(0)
    ).mean(2)
    deletion, insertion, random = means.mean(0)
    error = means.std(0).max() / 20
    assert abs(deletion - random) < 5 * error
    assert abs(insertion - random) < 5 * error
    assert error < 0.05 * random
