"""The answer head: a question's words become queries to the attention that the captioner uses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.recurrence import Cell, StackedCells, State, start_biases


@dataclass(frozen=True)
class Answered:
    """What the head thinks of R questions: logits (R, answers) and weights (R, glimpses, N)."""

    logits: Tensor
    weights: Tensor


class AnswerHead(nn.Module):
    """Answers by choosing among the answers it knows (after Kazemi and Elqursh 2017).

    A recurrent network reads the question, many words to one vector q. Each glimpse g asks the
    attention with its own query W_g q and reads a context z_g. Question and picture meet in a
    product, f = relu(W_q q) * relu(W_z [z_1, ..., z_G]) (Anderson et al. 2018, supplement), from
    which the answers are scored. The attention is the captioner's: the same object, the same
    weights. Without glimpses the head is blind: f = relu(W_q q).
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
        """Questions (R, Q), padded after their lengths, to vectors (R, H): the last hidden state.

        The recurrence shrinks as questions end, so that padding changes nothing.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        rows = torch.tensor(order, device=words.device)
        word_input = self.word_input(self.embedding_dropout(self.embedding(words[rows])))
        parts, size = self.cell.state_parts, self.cell.hidden_size
        state: State = tuple(word_input.new_zeros(len(order), size) for _ in range(parts))
        # Taken apart at once: the gradient of a slice a step would be a whole tensor of zeros each.
        for position, inputs in enumerate(word_input.unbind(1)[: lengths[order[0]]]):
            count = sum(length > position for length in lengths)
            going = self.cell(inputs[:count], tuple(part[:count] for part in state))
            state = tuple(
                torch.cat([new, old[count:]]) for new, old in zip(going, state, strict=True)
            )
        return torch.empty_like(state[0]).index_copy(0, rows, state[0])

    def forward(
        self, words: Tensor, lengths: list[int], pictures: Tensor, features: Tensor, keys: Tensor
    ) -> Answered:
        """Score every answer to each of R questions.

        words (R, Q): ids, padded; lengths: words of each; pictures (R,): which row of features
        (B, N, D) and of keys (B, N, A), from the attention's `project`, each is asked of.
        """
        question = self.read(words, lengths)
        scored = torch.relu(self.question_output(self.answer_dropout(question)))
        weights = features.new_zeros(len(lengths), 0, features.shape[1])
        if self.picture_output is not None:
            queries = torch.stack([query(question) for query in self.queries], dim=1)
            contexts, weights = self.attention(
                queries.flatten(0, 1), keys[pictures], features[pictures]
            )
            seen = self.answer_dropout(contexts.view(len(lengths), -1))
            scored = scored * torch.relu(self.picture_output(seen))
            weights = weights.view(len(lengths), self.glimpses, -1)
        return Answered(self.output(self.answer_dropout(scored)), weights)
