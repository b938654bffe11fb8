"""Answers to questions about pictures, from the pictures' features."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from captioner.data.padding import pad_questions
from captioner.data.vocabulary import UNKNOWN, Vocabulary, encode_question
from captioner.decoding.outputs import Answer, AnswerChoice
from captioner.errors import CaptionerError, UnknownWords
from captioner.model.captioning_model import CaptioningModel

QUESTIONS_AT_ONCE = 256

Asked = tuple[int, str, list[int]]  # the row of a picture's features, a question, its words' ids


def parse_question(question: str, vocabulary: Vocabulary) -> list[int]:
    """The ids of a question's words; raises UnknownWords where none of them is known."""
    if not isinstance(question, str):
        raise CaptionerError(f"a question is {question!r}; expected a text")
    words = encode_question(question, vocabulary)
    if all(word == UNKNOWN for word in words):
        raise UnknownWords(
            f"no word of the question {question!r} is known; ask in English, as in "
            "'what color is the dog?'"
        )
    return words


def find_answers(
    model: CaptioningModel, features: Tensor, questions: Sequence[Sequence[str]], top: int
) -> list[list[Answer | CaptionerError]]:
    """Answers to the questions about each of B pictures, by their features (B, N, D).

    A question without any known word gives the error in place of an answer.
    """
    _, vocabulary = model.answer_parts()
    found: list[list[Answer | CaptionerError | None]] = []
    asked: list[Asked] = []
    for row, texts in enumerate(questions):
        found.append([])
        for text in texts:
            try:
                asked.append((row, text, parse_question(text, vocabulary)))
                found[row].append(None)
            except UnknownWords as error:
                found[row].append(error)
    answers = _answer(model, features, asked, top)
    return [[next(answers) if item is None else item for item in row] for row in found]


@torch.no_grad()
def _answer(
    model: CaptioningModel, features: Tensor, asked: Sequence[Asked], top: int
) -> Iterator[Answer]:
    head, _ = model.answer_parts()
    keys = head.attention.project(features) if asked else features  # (B, N, A)
    for start in range(0, len(asked), QUESTIONS_AT_ONCE):
        rows, texts, questions = zip(*asked[start : start + QUESTIONS_AT_ONCE], strict=True)
        words, lengths = pad_questions(questions)  # (R, Q)
        pictures = torch.tensor(rows, device=features.device)
        answered = head(words.to(features.device), lengths, pictures, features, keys)
        probs = torch.softmax(answered.logits.float(), dim=-1)  # (R, answers)
        best = probs.topk(min(top, probs.shape[1]), dim=-1)
        for text, values, indices, weights in zip(
            texts,
            best.values.tolist(),
            best.indices.tolist(),
            answered.weights.cpu(),
            strict=True,
        ):
            choices = tuple(
                AnswerChoice(model.answer_texts[index], value)
                for value, index in zip(values, indices, strict=True)
            )
            maps = weights.float().view(-1, *model.encoder.grid).numpy()
            yield Answer(choices[0].text, choices[0].probability, choices, maps, question=text)
