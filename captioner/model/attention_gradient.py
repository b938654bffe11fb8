"""Attention before each word of teacher forcing, with one gradient of keys and features for all."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Attend = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class WordByWordAttention:
    """Attends before every word; B pictures, the queries of a word G rows for each of them.

    Every word reads the same keys and features, so autograd would make gradients as large as these
    for every word and add them up. With `by_head`, a word reads them as constants, and zeros are
    added to what it read. The gradients of those zeros are those of the contexts and weights, with
    all that flows back through later words; they are known once backward has come to the first
    word. From them the gradients of keys and features follow by a single call of attention with
    the queries of all words, whose products are large.

    attend: queries (b·G, H), keys (b, N, A) and features (b, N, D) to context (b·G, D) and weights
    (b·G, N). groups: G of every word. by_head: lays keys and features out in memory as `attend`
    reads them fastest; None: all is left to autograd.
    """

    def __init__(
        self,
        attend: Attend,
        keys: Tensor,
        features: Tensor,
        groups: Sequence[int],
        *,
        by_head: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.attend = attend
        self.keys, self.features = keys, features
        self.zeros: list[tuple[Tensor, Tensor]] = []
        if by_head is not None:
            self.keys, self.features = by_head(keys.detach()), by_head(features.detach())
            self.queries: list[Tensor] = []  # of the words so far, (b, G, H) each
            contexts, weights = _Zeros.apply(attend, by_head, self.queries, groups, keys, features)
            self.zeros = list(zip(contexts.split(groups, 1), weights.split(groups, 1), strict=True))

    def __call__(self, query: Tensor, pictures: int) -> tuple[Tensor, Tensor]:
        """Context (b·G, D) and weights (b·G, N) of the next word, for its queries (b·G, H).

        pictures: b, no more than for the word before; the first b are read.
        """
        if pictures < len(self.keys):
            self.keys, self.features = self.keys[:pictures], self.features[:pictures]
        context, weights = self.attend(query, self.keys, self.features)
        if self.zeros:
            context_zeros, weight_zeros = self.zeros[len(self.queries)]  # (B, G, D), (B, G, N)
            self.queries.append(query.detach().view(pictures, -1, query.shape[1]))
            context = context + context_zeros[:pictures].flatten(0, 1)
            weights = weights + weight_zeros[:pictures].flatten(0, 1)
        return context, weights


class _Zeros(Function):
    """Zeros to add to all contexts (B, L, D) and weights (B, L, N); L: the sum of the groups.

    queries: a list that has those of each word once the words are written.
    """

    @staticmethod
    def forward(
        ctx: Any,
        attend: Attend,
        by_head: Callable[[Tensor], Tensor],
        queries: list[Tensor],
        groups: Sequence[int],
        keys: Tensor,
        features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.attend, ctx.by_head = attend, by_head
        ctx.queries, ctx.groups = queries, groups
        ctx.autocast = torch.is_autocast_enabled(keys.device.type)
        ctx.save_for_backward(keys, features)
        pictures, locations, size = features.shape
        zero = features.new_zeros(())  # expanded: takes no memory
        return (
            zero.expand(pictures, sum(groups), size),
            zero.expand(pictures, sum(groups), locations),
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, contexts: Tensor, weights: Tensor) -> tuple[Any, ...]:
        keys, features = (part.detach().requires_grad_() for part in ctx.saved_tensors)
        size = ctx.queries[0].shape[2]
        # Pictures whose captions have ended keep queries of zeros, and their gradients are zero.
        queries = ctx.queries[0].new_zeros(*contexts.shape[:2], size)  # (B, L, H)
        for part, query in zip(queries.split(ctx.groups, 1), ctx.queries, strict=True):
            part[: len(query)] = query
        device = keys.device.type
        with torch.enable_grad(), torch.autocast(device, keys.dtype, enabled=ctx.autocast):
            attended = ctx.attend(  # (B·L, D), (B·L, N)
                queries.flatten(0, 1), ctx.by_head(keys), ctx.by_head(features)
            )
        gradients = contexts.flatten(0, 1), weights.flatten(0, 1)
        return None, None, None, None, *torch.autograd.grad(attended, (keys, features), gradients)
