"""Answers to questions about pictures, from the pictures' features."""

from collections.abc import Iterator, Sequence

import numpy as np

from captioner.data.offered_answers import offered_answers
from captioner.data.padding import pad
from captioner.data.vocabulary import UNKNOWN, Vocabulary, encode_question
from captioner.decoding.outputs import Answer, AnswerChoice
from captioner.decoding.runtime import Features, Floats, Runtime, question_vocabulary
from captioner.errors import CaptionerError, UnknownWords

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
    model: Runtime, features: Features, questions: Sequence[Sequence[str]], top: int
) -> list[list[Answer | CaptionerError]]:
    """Answers to the questions about each of B pictures, by their features (B, N, D).

    A question that offers its answers ("a dog or a cat?") is answered with one of them; their
    probabilities then sum to 1. One without any known word gives the error in place of an answer.
    """
    vocabulary = question_vocabulary(model)
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


def _answer(
    model: Runtime, features: Features, asked: Sequence[Asked], top: int
) -> Iterator[Answer]:
    indices = {text: index for index, text in enumerate(model.answer_texts)}
    for start in range(0, len(asked), QUESTIONS_AT_ONCE):
        rows, texts, questions = zip(*asked[start : start + QUESTIONS_AT_ONCE], strict=True)
        lengths = np.array([len(question) for question in questions])  # (R,)
        probs, weights = model.answer(pad(questions), lengths, np.array(rows), features)
        maps = weights.reshape(*weights.shape[:2], *model.grid)  # (R, G, rows, columns)
        for text, row, looks in zip(texts, probs, maps, strict=True):
            offered = [indices[answer] for answer in offered_answers(text, indices.keys())]
            if offered:
                row = _only(row, offered)
            best = np.argsort(-row, kind="stable")[: min(top, len(offered) or top)]  # (top,)
            choices = tuple(
                AnswerChoice(model.answer_texts[index], float(row[index])) for index in best
            )
            yield Answer(choices[0].text, choices[0].probability, choices, looks, question=text)


def _only(probs: Floats, indices: list[int]) -> Floats:
    """The probabilities (answers,) where no other answer is possible."""
    kept = np.zeros_like(probs)
    kept[indices] = probs[indices] / probs[indices].sum()
    return kept
