"""The Python interface: Captioner.load().caption("photo.jpg"), .answer("photo.jpg", "a dog?")."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeVar, cast

import torch
from PIL import Image
from torch import Tensor

from captioner import checkpoint as checkpoints
from captioner.config import DecodingConfig, ModelConfig
from captioner.device import choose_device
from captioner.ensemble import Pixels, encode, load_together, members_of, prepare
from captioner.errors import CaptionerError, UnknownWords
from captioner.images import open_picture
from captioner.model import CaptioningModel
from captioner.question_batches import encode_question, pad_questions
from captioner.reading import read_ahead
from captioner.replies import Answer, AnswerChoice, Caption, to_caption
from captioner.search import find_captions
from captioner.side_by_side import side_by_side
from captioner.vocabulary import UNKNOWN
from captioner.writing import Hypothesis, Member

Picture = str | Path | bytes | BinaryIO | Image.Image
Source = TypeVar("Source", bound=Picture)

QUESTIONS_AT_ONCE = 256

_OPEN = Lock()


class Captioner:
    """A trained model ready to describe pictures and to answer questions about them.

    Get one with `Captioner.load()`. can_caption, can_answer: what its checkpoint has learned.
    decoding: the settings that the checkpoint was tuned for; scores: what it scored, and on what.
    With `others` it is an ensemble, which writes captions with the mean of all their probabilities
    but answers no questions; what else there is to know of it is its first checkpoint's.
    """

    def __init__(
        self,
        loaded: checkpoints.Checkpoint,
        device: torch.device,
        others: Sequence[checkpoints.Checkpoint] = (),
    ) -> None:
        self.models: list[CaptioningModel] = [one.model.to(device) for one in (loaded, *others)]
        self.model: CaptioningModel = self.models[0]
        for model in self.models:
            model.encoder.fold_batch_norms()
        self.config: ModelConfig = loaded.model.config
        self.decoding: DecodingConfig = loaded.decoding
        self.scores: list[dict[str, Any]] = loaded.scores
        self.device = device

    @property
    def can_caption(self) -> bool:
        """Whether it can caption."""
        return self.model.decoder is not None

    @property
    def can_answer(self) -> bool:
        """Whether it can answer questions."""
        return self.model.answers is not None and len(self.models) == 1

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | Sequence[str | Path] | None = None,
        device: str | None = None,
    ) -> "Captioner":
        """Load a checkpoint, by default the one that ships, onto a device ("cpu", "cuda", ...).

        Several are an ensemble: at every word the next one's probabilities are the mean of theirs,
        and where it looked is the mean over those that have the first one's grid. Raises
        CaptionerError for a file or a device that is not there or cannot be used, and for several
        that do not write in the same words.
        """
        chosen = choose_device(device)
        given = checkpoint if checkpoint is not None else checkpoints.default_checkpoint()
        files = [given] if isinstance(given, (str, PathLike)) else given
        first, *others = load_together([Path(file) for file in files])
        return cls(first, chosen, others)

    def caption(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        beam_size: int | None = None,
        num_captions: int | None = None,
        max_words: int | None = None,
        decoding: DecodingConfig | None = None,
        batch_size: int = 32,
    ) -> Any:
        """Describe one picture (a Caption) or several (a list of them, in the same order).

        A picture is a path, bytes, an open binary file or a PIL image. With num_captions above 1
        each picture gives a list, best first. decoding replaces the checkpoint's own settings;
        beam_size, num_captions and max_words change one of them. Raises CaptionerError for a
        picture that is none of these or cannot be read, and for settings that make no sense.
        """
        changes = {"beam_size": beam_size, "num_captions": num_captions, "max_words": max_words}
        asked = {name: value for name, value in changes.items() if value is not None}
        chosen = replace(decoding or self.decoding, **cast(dict[str, Any], asked))
        several = isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes))
        sources = cast(Sequence[Picture], pictures if several else [pictures])
        found = []
        for _, result in self.caption_each(sources, decoding=chosen, batch_size=batch_size):
            if isinstance(result, CaptionerError):
                raise result
            found.append(result if chosen.num_captions > 1 else result[0])
        return found if several else found[0]

    def caption_each(
        self, pictures: Iterable[Source], *, decoding: DecodingConfig, batch_size: int
    ) -> Iterator[tuple[Source, list[Caption] | CaptionerError]]:
        """Describe pictures one after the other, in order, in memory bounded by batch_size.

        A picture that cannot be read comes with the error in place of its captions. While batches
        are described, on a processor several at once, the next one is being read; no more than
        eight are in memory. Raises CaptionerError for a batch_size below 1.
        """
        _, vocabulary = self.model.writer()
        _check_batch_size(batch_size)
        batches = read_ahead(pictures, self._read, batch_size)
        describe = partial(self._describe, limits=vocabulary.search_limits(decoding))
        for described in side_by_side(batches, describe, self.device):
            yield from described

    def answer(
        self,
        pictures: Picture | Sequence[Picture],
        question: str,
        *,
        top: int = 5,
        batch_size: int = 16,
    ) -> Any:
        """Answer a question about one picture (an Answer) or about each of several (a list).

        A picture is a path, bytes, an open binary file or a PIL image. top: how many answers to
        tell, likeliest first. Raises CaptionerError for a picture that cannot be read, a question
        without any word that the model knows, a top below 1, and a checkpoint that cannot answer.
        """
        several = isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes))
        sources = cast(Sequence[Picture], pictures if several else [pictures])
        asked = ((picture, [question]) for picture in sources)
        found = []
        for _, [result] in self.answer_each(asked, top=top, batch_size=batch_size):
            if isinstance(result, CaptionerError):
                raise result
            found.append(result)
        return found if several else found[0]

    def answer_each(
        self, asked: Iterable[tuple[Source, Sequence[str]]], *, top: int, batch_size: int
    ) -> Iterator[tuple[Source, list[Answer | CaptionerError]]]:
        """Answer each picture's questions, in order, in memory bounded by batch_size.

        A picture that cannot be read and a question without any word that the model knows come
        with the error in place of the answer. Raises CaptionerError for a top or a batch_size
        below 1 and for a checkpoint that cannot answer.
        """
        self.model.answerer()
        if len(self.models) > 1:
            raise CaptionerError(
                f"{len(self.models)} checkpoints write captions together, but a question is "
                "answered by one; load that one alone"
            )
        if top < 1:
            raise CaptionerError(f"top is {top}; expected 1 or more answers")
        _check_batch_size(batch_size)
        batches = read_ahead(asked, lambda pair: self._read(pair[0]), batch_size)
        for replies in side_by_side(batches, partial(self._reply, top=top), self.device):
            yield from replies

    def encode(self, pictures: Sequence[Picture]) -> Tensor:
        """Grid features (B, N, D) of pictures; CaptionerError for one that cannot be read."""
        return encode(self.model, self._open(pictures))

    def members(self, pictures: Sequence[Picture], decoding: DecodingConfig) -> list[Member]:
        """Who writes these pictures' captions; CaptionerError for one that cannot be read."""
        return members_of(self.models, self._open(pictures), mirror=decoding.mirror)

    def _open(self, pictures: Sequence[Picture]) -> list[Pixels]:
        return [prepare(open_picture(picture), self.models) for picture in pictures]

    def _read(self, picture: Picture) -> Pixels | CaptionerError:
        try:
            # Several are read at once, but one that is open already may be given twice.
            with _OPEN if isinstance(picture, Image.Image) else nullcontext():
                opened = open_picture(picture)
            return prepare(opened, self.models)
        except CaptionerError as error:
            return error

    def _describe(
        self, batch: list[tuple[Source, Pixels | CaptionerError]], limits: DecodingConfig
    ) -> list[tuple[Source, list[Caption] | CaptionerError]]:
        """Captions of pictures that were read; limits: how to search, counted in tokens."""
        readable = [pixels for _, pixels in batch if not isinstance(pixels, CaptionerError)]
        found: Iterator[list[Hypothesis]] = iter(())
        if readable:
            members = members_of(self.models, readable, mirror=limits.mirror)
            found = iter(find_captions(members, limits))
        return [
            (
                picture,
                pixels
                if isinstance(pixels, CaptionerError)
                else [self._caption(hypothesis) for hypothesis in next(found)],
            )
            for picture, pixels in batch
        ]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        _, vocabulary = self.model.writer()
        grid = self.model.encoder.grid
        looked = [model for model in self.models if model.encoder.grid == grid]
        sentinel = any(model.config.sentinel for model in looked)
        return to_caption(hypothesis, vocabulary, grid, sentinel=sentinel)

    def _reply(
        self,
        batch: list[tuple[tuple[Source, Sequence[str]], Pixels | CaptionerError]],
        top: int,
    ) -> list[tuple[Source, list[Answer | CaptionerError]]]:
        readable = [pixels for _, pixels in batch if not isinstance(pixels, CaptionerError)]
        features = encode(self.model, readable) if readable else torch.empty(0)
        understood: list[tuple[int, list[int]]] = []
        parsed: list[list[list[int] | CaptionerError]] = []
        row = 0
        for (_, questions), pixels in batch:
            if isinstance(pixels, CaptionerError):
                parsed.append([pixels] * len(questions))
                continue
            parsed.append([self._parse(question) for question in questions])
            understood += [(row, words) for words in parsed[-1] if isinstance(words, list)]
            row += 1
        answered = iter(self._answer(understood, features, top))
        return [
            (picture, [one if isinstance(one, CaptionerError) else next(answered) for one in those])
            for ((picture, _), _), those in zip(batch, parsed, strict=True)
        ]

    def parse(self, question: str) -> list[int]:
        """The ids of a question's words; UnknownWords where the model knows none of them."""
        if not isinstance(question, str):
            raise CaptionerError(f"a question is {question!r}; expected a text")
        _, vocabulary = self.model.answerer()
        words = encode_question(question, vocabulary)
        if all(word == UNKNOWN for word in words):
            raise UnknownWords(
                f"no word of the question {question!r} is known; ask in English, as in "
                "'what color is the dog?'"
            )
        return words

    def _parse(self, question: str) -> list[int] | CaptionerError:
        try:
            return self.parse(question)
        except UnknownWords as error:
            return error

    @torch.no_grad()
    def _answer(
        self, understood: list[tuple[int, list[int]]], features: Tensor, top: int
    ) -> Iterator[Answer]:
        """Answers to questions, each (row of features, ids of its words)."""
        head, _ = self.model.answerer()
        keys = head.attention.project(features) if understood else features
        for start in range(0, len(understood), QUESTIONS_AT_ONCE):
            rows, questions = zip(*understood[start : start + QUESTIONS_AT_ONCE], strict=True)
            words, lengths = pad_questions(questions)
            pictures = torch.tensor(rows, device=self.device)
            answered = head(words.to(self.device), lengths, pictures, features, keys)
            chances = torch.softmax(answered.logits.float(), dim=-1)
            best = chances.topk(min(top, chances.shape[1]), dim=-1)
            for values, places, looked in zip(
                best.values.tolist(), best.indices.tolist(), answered.weights.cpu(), strict=True
            ):
                choices = tuple(
                    AnswerChoice(self.model.answer_texts[place], value)
                    for value, place in zip(values, places, strict=True)
                )
                maps = looked.float().view(-1, *self.model.encoder.grid).numpy()
                yield Answer(choices[0].text, choices[0].probability, choices, maps)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise CaptionerError(f"batch_size is {batch_size}; expected 1 or more")
