"""Spatial attention: which grid locations to read before the next word."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Beyond this, products and quotients of e^2x leave the range of float32.
_LARGEST = 30.0

# Size of an intermediate result (pictures, G, N, A), so that it stays in a processor's cache.
_NUMBERS_AT_ONCE = 2**19


class SpatialAttention(nn.Module):
    """Weigh grid locations by how well their keys match a query (Xu et al. 2015, section 4).

    The score is the scaled dot product, softmax(q · k_i / sqrt(A / heads)) of each head (Vaswani et
    al. 2017, equation 1), and each head reads its own slice of the features. With `additive` it is
    e_i = w · tanh(W_k a_i + W_q h), of one head (Xu et al. 2015, equations 4 and 5, after Bahdanau
    et al. 2014).

    Stores nothing between calls: keys are projected once per picture and passed in.
    """

    def __init__(
        self,
        *,
        query_size: int,
        feature_size: int,
        attention_size: int,
        heads: int = 1,
        additive: bool = False,
    ) -> None:
        super().__init__()
        assert heads == 1 or not additive, "additive attention has one head"
        self.heads = heads
        self.key_projection = nn.Linear(feature_size, attention_size, bias=additive)
        self.query_projection = nn.Linear(query_size, attention_size, bias=False)
        self.score = nn.Linear(attention_size, 1, bias=False) if additive else None

    def project(self, features: Tensor) -> Tensor:
        """Keys (B, N, A) of features (B, N, D): once per picture, not once per word.

        For additive attention, keys and queries are e^2x of the projections.
        """
        keys = self.key_projection(features)  # (B, N, A)
        return keys if self.score is None else _doubled_exponential(keys)

    def by_head(self, vectors: Tensor) -> Tensor:
        """Keys or features (B, N, S) as (B, heads, N, S / heads), in memory head by head.

        It is worth its copy where many queries follow one another: all heads then take one product,
        and in bfloat16 none copies its part of (B, N, S). For additive attention they stay as they
        are.
        """
        return self._heads(vectors).contiguous() if self.score is None else vectors

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        features: Tensor,
        mask: Tensor | None = None,
        sentinel: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute the context (B·G, D) and weights (B·G, N), with rows summing to 1, for a query.

        query: (B·G, H), G consecutive rows for each picture (its captions, beams or samples).
        keys: (B, N, A) from `project`; features: (B, N, D); both perhaps `by_head`. mask: (B, N),
        False for locations that get weight 0. The weights are the mean over heads. sentinel: a key
        (B·G, A) and a value (B·G, D) for each row, as one more location; the weights of the others
        then sum to 1 minus its weight.
        """
        pictures, locations = keys.shape[0], keys.shape[-2]
        heads, rows = self.heads, query.shape[0]
        queries = self.query_projection(query).view(pictures, rows // pictures, -1)  # (B, G, A)
        sentinel_scores = None if sentinel is None else self._sentinel_scores(queries, sentinel[0])
        if self.score is not None:
            queries = _doubled_exponential(queries).to(keys.dtype)  # (B, G, A)
            scores = _AdditiveScores.apply(queries, keys, self.score.weight.squeeze(0))
            scores = scores.unsqueeze(1)  # (B, 1, G, N)
        else:
            scores = self._products(queries, keys)
            scores = scores * (queries.shape[-1] // heads) ** -0.5  # (B, heads, G, N)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        if sentinel_scores is not None:
            scores = torch.cat([scores, sentinel_scores.to(scores.dtype)], dim=-1)
        weights = torch.softmax(scores, dim=-1)  # (B, heads, G, N), with a sentinel N + 1
        if sentinel is not None:
            weights, sentinel_weights = weights.split([locations, 1], dim=-1)
        context = self._read(weights, features)  # (B, heads, G, D / heads)
        if sentinel is not None:
            values = self._heads(sentinel[1].view(pictures, rows // pictures, -1))
            context = context + sentinel_weights * values
        context = context.transpose(1, 2).reshape(rows, -1)  # (B·G, D)
        return context, weights.mean(1).reshape(rows, locations)

    def _products(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Products (B, heads, G, N) of queries (B, G, A) and keys, each head's with its own."""
        if keys.dim() == 4:
            return self._heads(queries) @ keys.transpose(2, 3)
        # One product for all heads would copy keys and features for every word.
        pairs = zip(queries.chunk(self.heads, 2), keys.chunk(self.heads, 2), strict=True)
        return torch.stack([query @ key.transpose(1, 2) for query, key in pairs], dim=1)

    def _read(self, weights: Tensor, features: Tensor) -> Tensor:
        """Contexts (B, heads, G, D / heads): weights (B, heads, G, N) times features."""
        if features.dim() == 4:
            return weights @ features
        slices = zip(weights.unbind(1), features.chunk(self.heads, 2), strict=True)
        return torch.stack([head @ values for head, values in slices], dim=1)

    def _sentinel_scores(self, queries: Tensor, key: Tensor) -> Tensor:
        """Scores (B, heads, G, 1) of each row's sentinel: queries (B, G, A), key (B·G, A)."""
        key = key.view_as(queries)  # (B, G, A)
        if self.score is not None:
            return self.score(torch.tanh(queries + key)).unsqueeze(1)
        products = (self._heads(queries) * self._heads(key)).sum(-1, keepdim=True)
        return products * (queries.shape[-1] // products.shape[1]) ** -0.5

    def _heads(self, vectors: Tensor) -> Tensor:
        """(B, L, S) -> (B, heads, L, S / heads)."""
        rows, length, _ = vectors.shape
        return vectors.view(rows, length, self.heads, -1).transpose(1, 2)


def _doubled_exponential(projected: Tensor) -> Tensor:
    return torch.exp(2 * projected.clamp(-_LARGEST, _LARGEST))


class _AdditiveScores(Function):
    """Scores (B, G, N) of queries e^2q (B, G, A) and keys e^2k (B, N, A): w · tanh(q + k).

    tanh(q + k) = 1 - 2 r with r = 1 / (1 + e^2q e^2k), which needs no exponential for each pair of
    a query and a location. r (B, G, N, A) is not stored but computed again in backward.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, score: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, score)
        score = score.to(keys.dtype)
        products = [_ratios(*portion) @ score for portion in _portions(queries, keys)]
        return score.sum() - 2 * torch.cat(products)  # (B, G, N)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """d tanh(q + k) / d e^2k = 2 e^2q r^2, and likewise for the queries."""
        queries, keys, score = ctx.saved_tensors
        gradient = gradient.to(keys.dtype)  # autocast on a GPU gives bfloat16 for float32 keys
        doubled = 2 * score.to(keys.dtype)  # (A,)
        key_gradients = torch.empty_like(keys)  # (B, N, A)
        query_gradients, ratio_sum, start = [], torch.zeros_like(doubled), 0
        for portion, portion_keys in _portions(queries, keys):
            indices = slice(start, start + len(portion))
            start, weights = indices.stop, gradient[indices]  # (b, G, N), b pictures per portion
            ratios = _ratios(portion, portion_keys)  # (b, G, N, A)
            ratio_sums = _weighted_sum(weights, ratios)  # (b, G, A)
            ratio_sum += ratio_sums.sum((0, 1))  # (A,)
            squares = ratios.mul_(ratios)  # (b, G, N, A)
            # The sum over locations of e^2q e^2k r^2 = r - r^2.
            difference = ratio_sums - _weighted_sum(weights, squares)  # (b, G, A)
            query_gradients.append(difference * doubled / portion)
            squares *= weights.unsqueeze(3)
            scaled = portion * doubled  # (b, G, A)
            if squares.shape[1] == 1:  # the sum over a single query would be a copy
                torch.mul(squares.squeeze(1), scaled, out=key_gradients[indices])
            else:
                torch.sum(squares.mul_(scaled.unsqueeze(2)), dim=1, out=key_gradients[indices])
        score_gradient = (gradient.sum() - 2 * ratio_sum).to(score.dtype)  # (A,)
        return torch.cat(query_gradients), key_gradients, score_gradient


def _weighted_sum(weights: Tensor, ratios: Tensor) -> Tensor:
    """Sums (B, G, A) over locations of ratios (B, G, N, A) with weights (B, G, N)."""
    return (weights.unsqueeze(2) @ ratios).squeeze(2)


def _portions(queries: Tensor, keys: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Split queries and keys into portions of a few pictures; on a GPU or in a graph, into one."""
    if torch.compiler.is_exporting():
        return [(queries, keys)]
    pictures = _NUMBERS_AT_ONCE // (queries.shape[1] * keys[0].numel())
    pictures = max(1, pictures) if keys.device.type == "cpu" else len(keys)
    return list(zip(queries.split(pictures), keys.split(pictures), strict=True))


def _ratios(queries: Tensor, keys: Tensor) -> Tensor:
    """r = 1 / (1 + e^2q e^2k), (B, G, N, A)."""
    one = torch.ones((), dtype=keys.dtype, device=keys.device)
    return torch.addcmul(one, queries.unsqueeze(2), keys.unsqueeze(1)).reciprocal_()


class FixedContext(nn.Module):
    """No attention: the mean feature, the same before every word (as in Vinyals et al. 2015).

    It is called like SpatialAttention, so that a decoder can use either. Its maps are uniform.
    """

    def project(self, features: Tensor) -> Tensor:
        """The mean (B, 1, D) of features (B, N, D): once per picture."""
        return features.mean(1, keepdim=True)

    def by_head(self, vectors: Tensor) -> Tensor:
        """The keys or features as they are: there are no heads."""
        return vectors

    def forward(self, query: Tensor, keys: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B·G, D), the picture's mean, and weights (B·G, N), all 1 / N.

        query: (B·G, H), of which only the number of rows matters; keys: (B, 1, D) from `project`.
        """
        rows, locations = query.shape[0], features.shape[1]
        context = keys.repeat(1, rows // keys.shape[0], 1).flatten(0, 1)  # (B·G, D)
        return context, keys.new_full((rows, locations), 1 / locations)
