"""Teacher forcing with an LSTM, dot-product attention and a gated context, and its gradient.

Written out, a word takes less than half of the operations that autograd makes of it: products with
the same input are one, and what depends on no other word is computed for all words together, such
as the gradients of weights, keys and features. M: the words of all captions; a word's rows are b
pictures with G slots each, of which `count` hold a caption.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from captioner.model.word_plan import Words


class _Matrices(NamedTuple):
    """query (A, H), scaled as the scores are; hidden (D + 4H, H): of gate and cell; context."""

    query: Tensor
    hidden: Tensor
    context: Tensor  # (4H, D)


class _Kept(NamedTuple):
    """What the gradient of a word needs, each (count, ...); hidden, memory: before the word."""

    hidden: Tensor  # (count, H)
    memory: Tensor  # (count, H)
    context: Tensor  # (count, D), before the gate
    gate: Tensor  # (count, D)
    write_keep: Tensor  # (count, 2H)
    candidate: Tensor  # (count, H)
    show: Tensor  # (count, H)
    tanh: Tensor  # (count, H), of the memory after the word


class _Parts:
    """Attention at each position: keys (B·heads, N, A / heads) and features likewise."""

    def __init__(self, words: Words, heads: int, keys: Tensor, features: Tensor) -> None:
        _, self.in_picture, there, back = words.indices
        self.words, self.heads, self.pictures = words, heads, len(keys)
        self.keys, self.features = _by_head(keys, heads), _by_head(features, heads)
        self.there = there.split([heads * rows.pictures * rows.group for rows in words.rows])
        self.back = back.split([heads * count for count in words.captions])

    def at(self, position: int) -> tuple[Tensor, Tensor]:
        """Keys and features of the pictures that still have captions."""
        count = self.words.rows[position].pictures * self.heads
        return self.keys[:count], self.features[:count]

    def to_slots(self, position: int, vectors: Tensor) -> Tensor:
        """(count, S) -> (b·heads, G, S / heads)."""
        parts = vectors.view(len(vectors) * self.heads, -1).index_select(0, self.there[position])
        return parts.view(-1, self.words.rows[position].group, parts.shape[1])

    def from_slots(self, position: int, parts: Tensor, out: Tensor) -> Tensor:
        """The reverse of `to_slots`, written into `out` (count, S)."""
        rows = out.view(len(out) * self.heads, -1)
        torch.index_select(parts.flatten(0, 1), 0, self.back[position], out=rows)
        return out

    def by_picture(self, rows: Tensor) -> Tensor:
        """(M, S) -> (B, L, S), with zeros in slots without a caption."""
        length = sum(position.group for position in self.words.rows)
        slots = rows.new_zeros(self.pictures * length, rows.shape[1])
        return slots.index_copy_(0, self.in_picture, rows).view(self.pictures, length, -1)


class AllWords(Function):
    """Hidden states (M, H), gated contexts (M, D) and weights (M, N) of all words.

    word_inputs (M, 4H): W_x x + b of the words read, position by position. hidden, memory: the
    state before the first (captions, H). keys (B, N, A), features (B, N, D). The other weights:
    query projection (A, H), context gate (D, H) and (D,), context (4H, D), recurrence (4H, H).
    """

    @staticmethod
    def forward(
        ctx: Any,
        words: Words,
        heads: int,
        word_inputs: Tensor,
        hidden: Tensor,
        memory: Tensor,
        keys: Tensor,
        features: Tensor,
        query: Tensor,
        gate: Tensor,
        gate_bias: Tensor,
        context: Tensor,
        recurrence: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.scale = (query.shape[0] // heads) ** -0.5
        dtype, parts = word_inputs.dtype, _Parts(words, heads, keys, features)
        with torch.autocast(keys.device.type, enabled=False):
            joined = torch.cat([gate, recurrence])
            matrices = _Matrices(*(m.to(dtype) for m in (query * ctx.scale, joined, context)))
            biases = gate_bias.to(dtype).expand(len(word_inputs), -1)
            added = torch.cat([biases, word_inputs], dim=1).split(words.captions)
            read = biases.new_empty(biases.shape).split(words.captions)
            kept, attended, means, outputs = [], [], [], []
            for position, rows in enumerate(words.rows):
                hidden, memory = hidden[: rows.captions], memory[: rows.captions]
                own_keys, own_features = parts.at(position)
                queries = parts.to_slots(position, hidden @ matrices.query.t())
                weights = torch.softmax(queries @ own_keys.transpose(1, 2), dim=-1)
                parts.from_slots(position, weights @ own_features, out=read[position])
                new, word = _step(matrices, added[position], hidden, memory, read[position])
                hidden, memory, _ = new
                outputs.append(new)
                kept.append(word)
                attended.append(weights)  # (b·heads, G, N)
                means.append(weights.unflatten(0, (-1, heads)).mean(1).flatten(0, 1))  # (b·G, N)
            hiddens, _, contexts = (torch.cat(rows) for rows in zip(*outputs, strict=True))
            weights = torch.cat(means).index_select(0, words.indices[0])
        ctx.words, ctx.parts, ctx.matrices = words, parts, matrices
        ctx.kept, ctx.attended = kept, attended
        ctx.save_for_backward(contexts)
        return hiddens, contexts, weights

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_hidden: Tensor | None, of_context: Tensor | None, of_weights: Tensor | None
    ) -> tuple[Any, ...]:
        """Any of the gradients may be None: that of the weights is unless the loss reads them."""
        [gated] = ctx.saved_tensors
        kept = _Kept(*(torch.cat(parts) for parts in zip(*ctx.kept, strict=True)))
        size = gated.shape[1]
        gradient = _Gradient(kept, of_hidden, of_context, of_weights, ctx)
        for position in reversed(range(len(ctx.kept))):
            gradient.of_cell(position)
            gradient.of_attention(position)
            gradient.of_state(position)
        joined, queries = gradient.joined, gradient.queries
        of_joined = joined.t() @ kept.hidden  # (D + 4H, H)
        return (
            None,
            None,
            joined[:, size:],
            gradient.first,
            gradient.memory,
            *gradient.of_keys_and_features(),
            queries.t() @ kept.hidden * ctx.scale,
            of_joined[:size],
            joined[:, :size].sum(0),
            joined[:, size:].t() @ gated,
            of_joined[size:],
        )


def _step(
    matrices: _Matrices, added: Tensor, hidden: Tensor, memory: Tensor, context: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], _Kept]:
    """The next hidden state, memory and gated context, and what their gradient needs.

    added: the gate's bias and the input of the word (count, D + 4H).
    """
    size, gated = hidden.shape[1], context.shape[1]
    projected = torch.addmm(added, hidden, matrices.hidden.t())  # (count, D + 4H)
    gate = torch.sigmoid(projected[:, :gated])  # (count, D)
    gated_context = gate * context  # (count, D)
    total = torch.addmm(projected[:, gated:], gated_context, matrices.context.t())  # (count, 4H)
    write_keep = torch.sigmoid(total[:, : 2 * size])  # (count, 2H)
    candidate = torch.tanh(total[:, 2 * size : 3 * size])  # (count, H)
    show = torch.sigmoid(total[:, 3 * size :])  # (count, H)
    old = write_keep[:, size:] * memory  # (count, H)
    new = torch.addcmul(old, write_keep[:, :size], candidate)  # (count, H)
    tanh = torch.tanh(new)  # (count, H)
    kept = _Kept(hidden, memory, context, gate, write_keep, candidate, show, tanh)
    return (show * tanh, new, gated_context), kept


class _Gradient:
    """The gradients of all words, position by position from the last one.

    joined (M, D + 4H): of gate and cell, before their nonlinearities. queries (M, A): of the scaled
    ones. hiddens (M, H): of the states after each word, with what flows back from later ones;
    contexts (M, D): likewise, gated; attended (M, D): before the gate. first, memory: of the state
    before the first word (captions, H); until then, memory is that of the word's.
    """

    def __init__(
        self,
        kept: _Kept,
        of_hidden: Tensor | None,
        of_context: Tensor | None,
        of_weights: Tensor | None,
        ctx: Any,
    ) -> None:
        self.kept, self.of_weights = kept, of_weights
        self.words, self.parts, self.matrices = ctx.words, ctx.parts, ctx.matrices
        self.weights: list[Tensor] = ctx.attended
        captions, (rows, size), width = self.words.captions, kept.hidden.shape, kept.gate.shape[1]
        self.joined = kept.hidden.new_empty(rows, width + 4 * size)
        self.queries = kept.hidden.new_empty(rows, len(self.matrices.query))
        self.attended = torch.empty_like(kept.context)
        self.contexts = _copy(of_context, kept.context)
        self.hiddens = _copy(of_hidden, kept.hidden)
        self.first, self.memory = kept.hidden.new_zeros(2, captions[0], size).unbind()
        self.by_word = _Split(
            *(
                part.split(captions)
                for part in (
                    *_factors(kept),
                    kept.gate,
                    kept.write_keep[:, size:],
                    self.joined,
                    self.queries,
                    self.attended,
                    self.contexts,
                )
            )
        )
        self.states = (self.first, *self.hiddens.split(captions))  # before and after each word
        # Of the weights of each head, (M, N).
        self.scaled = None if of_weights is None else of_weights / self.parts.heads

    def of_cell(self, position: int) -> None:
        """From the state after the word to the sums in its cell and gate, and to its context."""
        own, hidden = self.by_word, self.states[position + 1]
        memory, joined = self.memory[: len(hidden)], own.joined[position]
        context, size = own.contexts[position], hidden.shape[1]
        width = context.shape[1]
        memory.addcmul_(hidden, own.to_memory[position])
        gates = joined[:, width:-size].unflatten(1, (3, size))  # (count, 3, H)
        torch.mul(memory.unsqueeze(1), own.to_gates[position], out=gates)
        torch.mul(hidden, own.to_show[position], out=joined[:, -size:])
        memory.mul_(own.keep[position])
        context.addmm_(joined[:, width:], self.matrices.context)
        torch.mul(context, own.to_gate[position], out=joined[:, :width])
        torch.mul(context, own.gate[position], out=own.attended[position])

    def of_attention(self, position: int) -> None:
        """From the context before the gate to the queries."""
        parts, own = self.parts, self.by_word
        keys, features = parts.at(position)
        weights = parts.to_slots(position, own.attended[position]) @ features.transpose(1, 2)
        if self.scaled is not None:
            slots = parts.there[position] // parts.heads
            rows = self.scaled.split(self.words.captions)[position]
            weights += rows.index_select(0, slots).view_as(weights)
        scores = _softmax_gradient(weights, self.weights[position])
        parts.from_slots(position, scores @ keys, out=own.queries[position])

    def of_state(self, position: int) -> None:
        """From queries and sums to the state before the word."""
        if self.words.cut_before(position):
            self.memory.zero_()
            return
        before = self.states[position][: self.words.rows[position].captions]
        before.addmm_(self.by_word.joined[position], self.matrices.hidden)
        before.addmm_(self.by_word.queries[position], self.matrices.query)

    def of_keys_and_features(self) -> tuple[Tensor, Tensor]:
        """The gradients of keys (B, N, A) and features (B, N, D), from all words together."""
        parts, heads = self.parts, self.parts.heads
        projected = self.kept.hidden @ self.matrices.query.t()  # (M, A)
        queries = _by_head(parts.by_picture(projected), heads)  # (B·heads, L, A / heads)
        contexts = _by_head(parts.by_picture(self.attended), heads)  # (B·heads, L, D / heads)
        weights = torch.softmax(queries @ parts.keys.transpose(1, 2), dim=-1)  # (B·heads, L, N)
        of_weights = contexts @ parts.features.transpose(1, 2)
        if self.scaled is not None:
            by_head = of_weights.unflatten(0, (-1, heads))  # (B, heads, L, N)
            by_head += parts.by_picture(self.scaled).unsqueeze(1)
        scores = _softmax_gradient(of_weights, weights)
        keys, features = scores.transpose(1, 2) @ queries, weights.transpose(1, 2) @ contexts
        return _together(keys, heads), _together(features, heads)


def _factors(kept: _Kept) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What gradients are multiplied by on their way, for all words.

    From the hidden state to the memory (M, H); from the memory to the sums of input, forget and
    candidate gate (M, 3, H); from the hidden state to that of the output gate (M, H); from the
    gated context to that of its gate (M, D).
    """
    _, memory, context, gate, write_keep, candidate, show, tanh = kept
    write, keep = write_keep.chunk(2, dim=1)
    gates = (
        candidate * write * (1 - write),
        memory * keep * (1 - keep),
        write * (1 - candidate * candidate),
    )
    return (
        show * (1 - tanh * tanh),
        torch.stack(gates, dim=1),
        tanh * show * (1 - show),
        context * gate * (1 - gate),
    )


class _Split(NamedTuple):
    """Factors, parts of what was kept, and gradients, of each position."""

    to_memory: Sequence[Tensor]
    to_gates: Sequence[Tensor]
    to_show: Sequence[Tensor]
    to_gate: Sequence[Tensor]
    gate: Sequence[Tensor]
    keep: Sequence[Tensor]
    joined: Sequence[Tensor]
    queries: Sequence[Tensor]
    attended: Sequence[Tensor]
    contexts: Sequence[Tensor]


def _by_head(vectors: Tensor, heads: int) -> Tensor:
    """(B, L, S) -> (B·heads, L, S / heads), in memory head by head."""
    return vectors.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def _together(by_head: Tensor, heads: int) -> Tensor:
    """The reverse of `_by_head`."""
    return by_head.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def _softmax_gradient(gradient: Tensor, output: Tensor) -> Tensor:
    return torch._softmax_backward_data(gradient, output, -1, output.dtype)


def _copy(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient.clone()
