"""Question batches: questions with their pictures and answers, in an order that a seed decides."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import torch
from torch import Tensor

from captioner.config.settings import TrainingConfig
from captioner.data.answer_text import normalise_list
from captioner.data.caption_batches import names_a_side
from captioner.data.padding import pad_questions
from captioner.data.parts import WHOLE, Part, Parts
from captioner.data.picture_loading import PictureSource, View, Views
from captioner.data.question_files import AskedQuestion
from captioner.data.vocabulary import Vocabulary, encode_question, split_words
from captioner.errors import CaptionerError

# Questions with the same words that come in one group; a batch should not be all of one kind.
LARGEST_GROUP = 8


@dataclass(frozen=True)
class QuestionBatch:
    """P pictures and R questions about them; a part that is left with none has 0 of both.

    words (R, Q): ids, padded; lengths: words of each; rows (R,): which picture a question is
    about; targets (R, answers): the share of people who gave each answer; indices: of the questions
    in the dataset; whole: those of the whole batch, W of them.
    """

    views: Views
    words: Tensor
    lengths: list[int]
    rows: Tensor
    targets: Tensor
    indices: list[int]
    whole: list[int]
    part: Part


class QuestionBatches:
    """All questions of a dataset once per epoch, in batches of questions_per_batch.

    The order follows from the seed and the epoch alone, so that an epoch can be resumed in its
    middle. With a pair_weight, questions that are equal word for word come in groups, so that a
    batch holds them of several pictures. Answers that are not among `answers` are ignored. parts:
    of each batch, those that this process has.
    """

    def __init__(
        self,
        questions: Sequence[AskedQuestion],
        vocabulary: Vocabulary,
        answers: Sequence[str],
        config: TrainingConfig,
        source: PictureSource,
        parts: Parts = WHOLE,
    ) -> None:
        self.questions = questions
        self.config = config
        self.source = source
        self.parts = parts
        self.answers = answers
        self.words = [encode_question(question.text, vocabulary) for question in questions]
        texts = [" ".join(split_words(question.text)) for question in questions]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.wordings = [numbers[text] for text in texts]
        ids = {answer: number for number, answer in enumerate(answers)}
        self.given = [_shares(question.answers, ids) for question in questions]
        self.may_mirror = [
            config.mirror and not names_a_side(question.text, *question.answers)
            for question in questions
        ]

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.questions) // self.config.questions_per_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[QuestionBatch]:
        """The batches of an epoch from batch `first` on; of each, one after the other, its parts.

        Raises CaptionerError for a picture that cannot be read.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
        order = torch.randperm(len(self.questions), generator=generator).tolist()
        size = self.config.questions_per_batch
        if self.config.pair_weight:
            order = self._by_wording(order, generator)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        # One after the other, as the generator draws for each; those before `first` as well.
        wholes = (self._views(group, generator) for group in groups)
        parts = (
            ([view for view, _ in items], (items, [i for _, asked in whole for i in asked], part))
            for whole in islice(wholes, first, None)
            for items, part in self.parts.divide(
                whole, [[len(self.words[index]) for index in asked] for _, asked in whole]
            )
        )
        return self.source.load(parts, self._collate)

    def _by_wording(self, order: list[int], generator: torch.Generator) -> list[int]:
        """The same questions, groups of equal ones together, the groups in random order."""
        groups: dict[int, list[list[int]]] = {}
        for index in order:
            pieces = groups.setdefault(self.wordings[index], [[]])
            if len(pieces[-1]) == LARGEST_GROUP:
                pieces.append([])
            pieces[-1].append(index)
        flat = [piece for pieces in groups.values() for piece in pieces]
        shuffled = torch.randperm(len(flat), generator=generator).tolist()
        return [index for piece in shuffled for index in flat[piece]]

    def _views(
        self, group: list[int], generator: torch.Generator
    ) -> list[tuple[View, tuple[int, ...]]]:
        """The pictures of a batch, each once and with the questions about it.

        A picture is shown as its mirror image only where all its questions allow it.
        """
        by_picture: dict[int, list[int]] = {}
        for index in group:
            picture = self.source.indices[self.questions[index].path]
            by_picture.setdefault(picture, []).append(index)
        draws = torch.randint(2**31, (len(by_picture), 2), generator=generator).tolist()
        return [
            (
                View(picture, seed, coin % 2 == 1 and all(self.may_mirror[i] for i in indices)),
                tuple(indices),
            )
            for (picture, indices), (coin, seed) in zip(by_picture.items(), draws, strict=True)
        ]

    def _collate(
        self, views: Views, rest: tuple[Sequence[tuple[View, tuple[int, ...]]], list[int], Part]
    ) -> QuestionBatch:
        items, whole, part = rest
        indices = [index for _, asked in items for index in asked]
        targets = torch.zeros(len(indices), len(self.answers))
        for row, index in enumerate(indices):
            for answer, share in self.given[index].items():
                targets[row, answer] = share
        words, lengths = pad_questions([self.words[index] for index in indices])
        return QuestionBatch(
            views=views,
            words=words,
            lengths=lengths,
            rows=torch.tensor([row for row, (_, asked) in enumerate(items) for _ in asked]),
            targets=targets,
            indices=indices,
            whole=whole,
            part=part,
        )

    def pairs(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The commonest answers (W,) of questions, and their pairs (2, pairs) of rows.

        A pair are two with equal words and different commonest answers. indices (W,): of the
        questions in the dataset; one whose answers cannot be given is in no pair, its answer is 0.
        """
        given = [self.given[index] for index in indices]
        best = [min(shares, key=lambda a: (-shares[a], a)) if shares else 0 for shares in given]
        pairs = [
            (row, other)
            for row, other in combinations(range(len(indices)), 2)
            if self.wordings[indices[row]] == self.wordings[indices[other]]
            and best[row] != best[other]
            and given[row]
            and given[other]
        ]
        return torch.tensor(best), torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()


def common_answers(questions: Iterable[AskedQuestion], count: int) -> tuple[str, ...]:
    """The answers given most often, normalised, at most `count` (ties by spelling).

    Raises CaptionerError where no question has an answer.
    """
    given = Counter(
        answer
        for question in questions
        for text in question.answers
        if (answer := normalise_list(text))
    )
    if not given:
        raise CaptionerError("the questions have no answers; give the annotations that hold them")
    ordered = sorted(given.items(), key=lambda item: (-item[1], item[0]))
    return tuple(answer for answer, _ in ordered[:count])


def _shares(texts: Sequence[str], ids: dict[str, int]) -> dict[int, float]:
    """The share of people who gave each of the answers that can be given."""
    counts = Counter(normalise_list(text) for text in texts)
    return {ids[text]: count / len(texts) for text, count in counts.items() if text in ids}
