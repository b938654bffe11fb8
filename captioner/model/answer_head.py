"""The answer head: turns a question into queries to the captioner's attention, and answers it."""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.recurrence import Cell, StackedCells, State, start_biases
from captioner.runtime import move, move_together


@dataclass(frozen=True)
class Answered:
    """The output for R questions: logits (R, answers) and weights (R, glimpses, N)."""

    logits: Tensor
    weights: Tensor


class AnswerHead(nn.Module):
    """Classifies questions into a fixed set of answers (after Kazemi and Elqursh 2017).

    A recurrent network reads the question into one vector q. Each glimpse g has its own query W_g q
    to the attention and gets a context z_g. Question and picture are combined in a product,
    f = relu(W_q q) * relu(W_z [z_1, ..., z_G]) (Anderson et al. 2018, supplement), from which a
    linear layer scores the answers. The attention is that of the captioner: the same object with
    the same weights. Without glimpses the head does not see the picture: f = relu(W_q q).
    """

    def __init__(
        self,
        *,
        attention: SpatialAttention | FixedContext,
        cell: Cell | StackedCells,
        vocabulary_size: int,
        answers: int,
        feature_size: int,
        embedding_size: int,
        answer_size: int,
        glimpses: int,
        embedding_dropout: float,
        answer_dropout: float,
    ) -> None:
        super().__init__()
        hidden_size = cell.hidden_size
        self.attention = attention
        self.glimpses = glimpses
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.cell = cell
        self.word_input = nn.Linear(embedding_size, cell.gates * hidden_size)
        self.queries = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(glimpses))
        self.question_output = nn.Linear(hidden_size, answer_size)
        self.picture_output = nn.Linear(glimpses * feature_size, answer_size) if glimpses else None
        self.output = nn.Linear(answer_size, answers)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.answer_dropout = nn.Dropout(answer_dropout)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        start_biases(self.word_input, cell.gate_biases)

    def read(self, words: Tensor, lengths: list[int]) -> Tensor:
        """Encode padded questions (R, Q) as vectors (R, H), the last hidden states.

        The number of rows shrinks as questions end, so that padding has no effect.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        # Sorted on the host and moved at once, so that a GPU need not be waited for.
        inputs, rows = move_together(
            [words.cpu()[order], torch.tensor(order)], self.embedding.weight.device
        )
        embedded = self.embedding_dropout(self.embedding(inputs))  # (R, Q, E)
        word_input = self.word_input(embedded)  # (R, Q, gates H)
        parts, size = self.cell.state_parts, self.cell.hidden_size
        state: State = tuple(word_input.new_zeros(len(order), size) for _ in range(parts))
        # unbind, since the gradient of each slice would be a tensor of zeros of the full size.
        for position, inputs in enumerate(word_input.unbind(1)[: lengths[order[0]]]):
            count = sum(length > position for length in lengths)
            active = self.cell(inputs[:count], tuple(part[:count] for part in state))
            state = tuple(  # parts (R, H)
                torch.cat([new, old[count:]]) for new, old in zip(active, state, strict=True)
            )
        return torch.empty_like(state[0]).index_copy(0, rows, state[0])

    def forward(
        self, words: Tensor, lengths: list[int], pictures: Tensor, features: Tensor, keys: Tensor
    ) -> Answered:
        """Score every answer to each of R questions.

        words (R, Q): padded ids; lengths: the number of words of each; pictures (R,): for each, the
        row of features (B, N, D) and of keys (B, N, A), from the attention's `project`.
        """
        question = self.read(words, lengths)  # (R, H)
        if not self.glimpses:
            return self.answer(question, pictures, features, keys)
        chosen, slots, group = _group(pictures.tolist())
        index, slot = move_together(
            [torch.tensor(chosen), torch.tensor(slots)], features.device
        )  # (P,), (R,)
        if len(chosen) < len(keys):
            features, keys = features[index], keys[index]  # (P, N, D), (P, N, A)
        queries = self._queries(question)  # (R, G, H)
        slotted = queries.new_zeros(len(chosen) * group, *queries.shape[1:])
        slotted = slotted.index_copy(0, slot, queries)  # (P·group, G, H)
        contexts, weights = self.attention(slotted.flatten(0, 1), keys, features)
        contexts = contexts.view(*slotted.shape[:2], -1)[slot]  # (R, G, D)
        return self._combine(question, contexts, weights.view(*slotted.shape[:2], -1)[slot])

    def answer(
        self, question: Tensor, pictures: Tensor, features: Tensor, keys: Tensor
    ) -> Answered:
        """The same for R questions that `read` has encoded (R, H), for an exported graph.

        It has no loop over pictures, but copies keys and features for each question.
        """
        shape, (_, locations, size) = (question.shape[0], self.glimpses), features.shape
        contexts = features.new_zeros(*shape, size)
        weights = features.new_zeros(*shape, locations)
        if self.glimpses:
            pictures = move(pictures, features.device)
            queries = self._queries(question).flatten(0, 1)  # (R·G, H)
            contexts, weights = self.attention(queries, keys[pictures], features[pictures])
        return self._combine(question, contexts.view(*shape, size), weights.view(*shape, locations))

    def _queries(self, question: Tensor) -> Tensor:
        return torch.stack([query(question) for query in self.queries], dim=1)  # (R, G, H)

    def _combine(self, question: Tensor, contexts: Tensor, weights: Tensor) -> Answered:
        """Score the answers by the contexts (R, G, D); weights (R, G, N) are passed on."""
        joint = torch.relu(self.question_output(self.answer_dropout(question)))  # (R, answer size)
        if self.picture_output is not None:
            contexts = self.answer_dropout(contexts.flatten(1))  # (R, G·D)
            joint = joint * torch.relu(self.picture_output(contexts))  # (R, answer size)
        return Answered(self.output(self.answer_dropout(joint)), weights)


def _group(pictures: list[int]) -> tuple[list[int], list[int], int]:
    """The different pictures in order, a slot for each row, and the slots of each picture.

    So attention reads a picture's keys once for all questions about it. Slots without a row are
    computed in vain, which costs less than a copy of the keys for each row.
    """
    counts: Counter[int] = Counter()
    indices = []  # of the row among those of its picture
    for picture in pictures:
        indices.append(counts[picture])
        counts[picture] += 1
    chosen, group = sorted(counts), max(counts.values())
    ranks = {picture: rank for rank, picture in enumerate(chosen)}
    slots = [ranks[picture] * group + i for picture, i in zip(pictures, indices, strict=True)]
    return chosen, slots, group
