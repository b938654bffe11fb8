"""Teacher forcing: every word of a batch of captions, predicted from the words before it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from captioner.model.attention import SpatialAttention
from captioner.model.attention_gradient import WordByWordAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.lstm_gradient import AllWords
from captioner.model.recurrence import LSTMCell, State
from captioner.model.word_plan import Plan, Words, head_indices
from captioner.runtime import move_together


@dataclass(frozen=True)
class TeacherForced:
    """Every word of a batch of captions, predicted from the words before it; M words in all.

    logits (M, V), targets (M,), weights (M, N): step by step, the longest captions first, with
    no padding between. captions (M,): which row of the batch a word belongs to; positions (M,):
    which of its words it is, from 0. What a row of weights lacks to 1 went to the sentinel.
    """

    logits: Tensor
    targets: Tensor
    weights: Tensor
    captions: Tensor
    positions: Tensor


def teach(
    decoder: CaptionDecoder,
    tokens: Tensor,
    lengths: list[int],
    pictures: Tensor,
    features: Tensor,
    truncate_steps: int,
) -> TeacherForced:
    """As `CaptionDecoder.forward` says."""
    plan = Plan(tokens, lengths, pictures)
    written_out = _written_out(decoder)
    if written_out is None:
        slots = [np.concatenate(plan.slots)]
    else:
        slots = head_indices(plan.rows, plan.slots, written_out[0].heads)
    inputs, pictures, first, targets, captions, numbers, *indices = move_together(
        [torch.from_numpy(array) for array in (*plan.indices, *slots)], features.device
    )
    state: State = tuple(part[pictures] for part in decoder.start(features))
    # The pictures of the longest captions come first: the others are cut off as theirs end.
    features = features.index_select(0, first)
    keys = decoder.attention.project(features)  # (B, N, A)
    # Under autocast the keys are bfloat16; features as well then, converted once for all steps.
    features = features.to(keys.dtype)
    embedded = decoder.embedding_dropout(decoder.embedding(inputs))  # (M, E)
    words = Words(plan.rows, indices, truncate_steps)
    if written_out is None:
        output = _word_by_word(decoder, words, embedded, state, keys, features)
    else:
        attention, gate, cell = written_out
        output = AllWords.apply(
            words,
            attention.heads,
            decoder.word_input(embedded),
            *state,
            keys,
            features,
            attention.query_projection.weight,
            gate.weight,
            gate.bias,
            decoder.context_input.weight,
            cell.hidden_gates.weight,
        )
    hidden, contexts, weights = output
    return TeacherForced(
        logits=decoder.logits(embedded, contexts, hidden),  # (M, V)
        targets=targets,
        weights=weights,
        captions=captions,
        positions=numbers,
    )


def _written_out(decoder: CaptionDecoder) -> tuple[SpatialAttention, nn.Linear, LSTMCell] | None:
    """The parts whose gradient is written out (`AllWords`), where these are all there are."""
    attention, gate, cell = decoder.attention, decoder.context_gate, decoder.cell
    if (
        isinstance(attention, SpatialAttention)
        and attention.score is None
        and gate is not None
        and isinstance(cell, LSTMCell)
        and decoder.sentinel is None
        and decoder.attention_cell is None
    ):
        return attention, gate, cell
    return None


def _word_by_word(
    decoder: CaptionDecoder,
    words: Words,
    embedded: Tensor,
    state: State,
    keys: Tensor,
    features: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states (M, H), contexts (M, D) and weights (M, N) of words E y (M, E)."""
    active = words.captions
    attention = _attention_to(decoder, keys, features, [rows.group for rows in words.rows])
    word_inputs = decoder.word_input(embedded).split(active)
    embedded_words, slots = embedded.split(active), words.indices[0].split(active)
    steps = []
    for position, rows in enumerate(words.rows):
        state = tuple(part[: rows.captions] for part in state)
        if words.cut_before(position):
            state = tuple(part.detach() for part in state)
        projected, query_state, state = decoder.attention_step(word_inputs[position], state)
        query = decoder.query(embedded_words[position], query_state)  # (count, H)
        queries = query.new_zeros(rows.pictures * rows.group, query.shape[1])
        queries = queries.index_copy(0, slots[position], query)
        attended = attention(queries, rows.pictures)
        context, weights = (part[slots[position]] for part in attended)
        context, state = decoder.decoder_step(projected, context, query_state, state)
        steps.append((state[0], context, weights))
    hidden, contexts, weights = (torch.cat(parts) for parts in zip(*steps, strict=True))
    return hidden, contexts, weights


def _attention_to(
    decoder: CaptionDecoder, keys: Tensor, features: Tensor, groups: list[int]
) -> WordByWordAttention:
    """The attention to keys and features (B, N, D) for every word; groups: of each word."""
    by_head = None
    # To compute additive scores again costs more than it saves.
    if isinstance(decoder.attention, SpatialAttention) and decoder.attention.score is None:
        by_head = decoder.attention.by_head if keys.requires_grad else None
    return WordByWordAttention(decoder.attend, keys, features, groups, by_head=by_head)
