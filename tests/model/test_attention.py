"""Attention by meaning: what it weighs, what it reads, and that it reads places, not channels."""

import math

import pytest
import torch
from torch import Tensor

from captioner.model.attention import SpatialAttention

B, N, D, A, H = 3, 7, 10, 6, 5
HEADS = [None, 1, 2]


def attention_and_inputs(heads: int | None) -> tuple[SpatialAttention, Tensor, Tensor]:
    torch.manual_seed(0)
    attention = SpatialAttention(
        query_size=H, feature_size=D, attention_size=A, heads=heads or 1, additive=heads is None
    )
    return attention, torch.randn(B, H), torch.randn(B, N, D)


@pytest.mark.parametrize("heads", HEADS)
def test_weights_sum_to_one_and_shapes_hold(heads: int | None) -> None:
    attention, query, features = attention_and_inputs(heads)
    context, weights = attention(query, attention.project(features), features)
    assert context.shape == (B, D)
    assert weights.shape == (B, N)
    torch.testing.assert_close(weights.sum(1), torch.ones(B))


@pytest.mark.parametrize("heads", HEADS)
def test_permuting_locations_permutes_weights_and_leaves_context(heads: int | None) -> None:
    attention, query, features = attention_and_inputs(heads)
    context, weights = attention(query, attention.project(features), features)
    order = torch.randperm(N)
    moved = features[:, order]
    moved_context, moved_weights = attention(query, attention.project(moved), moved)
    torch.testing.assert_close(moved_weights, weights[:, order])
    torch.testing.assert_close(moved_context, context)


@pytest.mark.parametrize("heads", HEADS)
def test_keys_and_features_by_head_give_the_same(heads: int | None) -> None:
    attention, query, features = attention_and_inputs(heads)
    keys = attention.project(features)
    expected = attention(query, keys, features)
    found = attention(query, attention.by_head(keys), attention.by_head(features))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("heads", HEADS)
def test_a_masked_location_weighs_exactly_nothing(heads: int | None) -> None:
    attention, query, features = attention_and_inputs(heads)
    mask = torch.ones(B, N, dtype=torch.bool)
    mask[0, 2] = mask[1, :5] = False
    context, weights = attention(query, attention.project(features), features, mask)
    assert (weights[~mask] == 0).all()
    assert (weights[mask] > 0).all()
    changed = features.masked_fill(~mask.unsqueeze(2), 1e3)
    again, _ = attention(query, attention.project(changed), changed, mask)
    torch.testing.assert_close(again, context)


@pytest.mark.parametrize("heads", HEADS)
def test_rows_that_share_a_picture_read_as_if_each_had_its_own(heads: int | None) -> None:
    attention, _, features = attention_and_inputs(heads)
    queries = torch.randn(B * 4, H)
    keys = attention.project(features)
    context, weights = attention(queries, keys, features)
    own = features.repeat_interleave(4, 0)
    own_context, own_weights = attention(queries, keys.repeat_interleave(4, 0), own)
    torch.testing.assert_close(context, own_context)
    torch.testing.assert_close(weights, own_weights)


def test_dot_product_by_hand() -> None:
    attention = SpatialAttention(query_size=1, feature_size=1, attention_size=1, heads=1)
    with torch.no_grad():
        attention.query_projection.weight.fill_(1.0)
        attention.key_projection.weight.fill_(1.0)
    features = torch.tensor([[[0.0], [math.log(3.0)]]])
    context, weights = attention(torch.ones(1, 1), attention.project(features), features)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(context, torch.tensor([[0.75 * math.log(3.0)]]))


def test_additive_by_hand() -> None:
    attention = SpatialAttention(query_size=1, feature_size=1, attention_size=1, additive=True)
    assert attention.score is not None
    with torch.no_grad():
        attention.query_projection.weight.fill_(2.0)
        attention.key_projection.weight.fill_(1.0)
        attention.key_projection.bias.fill_(0.5)
        attention.score.weight.fill_(3.0)
    features = torch.tensor([[[1.0], [-2.0]]])
    _, weights = attention(torch.tensor([[0.25]]), attention.project(features), features)
    scores = [3 * math.tanh(1.0 + 0.5 + 0.5), 3 * math.tanh(-2.0 + 0.5 + 0.5)]
    first = math.exp(scores[0]) / (math.exp(scores[0]) + math.exp(scores[1]))
    torch.testing.assert_close(weights, torch.tensor([[first, 1 - first]]))


def test_heads_are_torchs_own_attention_on_slices_and_their_mean_is_shown() -> None:
    attention, query, features = attention_and_inputs(2)
    keys = attention.project(features)
    context, weights = attention(query, keys, features)
    queries = attention.query_projection(query)
    contexts, maps = [], []
    for head in range(2):
        q = queries[:, None, head * 3 : head * 3 + 3]
        k = keys[:, :, head * 3 : head * 3 + 3]
        v = features[:, :, head * 5 : head * 5 + 5]
        contexts.append(torch.nn.functional.scaled_dot_product_attention(q, k, v)[:, 0])
        maps.append(torch.softmax((q @ k.transpose(1, 2))[:, 0] / math.sqrt(3), dim=-1))
    torch.testing.assert_close(context, torch.cat(contexts, 1))
    torch.testing.assert_close(weights, (maps[0] + maps[1]) / 2)
