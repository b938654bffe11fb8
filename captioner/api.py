"""The Python interface: Captioner.load().caption("photo.jpg"), .answer("photo.jpg", "a dog?")."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeGuard, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.config.settings import DecodingConfig, ModelConfig
from captioner.data.images import grey_picture, open_picture, to_array
from captioner.decoding.beam_search import search
from captioner.decoding.outputs import Answer, Caption, CaptionFit, to_caption
from captioner.decoding.runtime import (
    Features,
    Floats,
    Runtime,
    caption_vocabulary,
    question_vocabulary,
)
from captioner.decoding.step import limits_in_tokens
from captioner.errors import CaptionerError
from captioner.files import best_of_run, default_checkpoint
from captioner.kept_picture import KeptPicture
from captioner.model.confidence import ConfidenceCurve
from captioner.onnx.runtime import OnnxRuntime, open_runtime
from captioner.runtime import check_precision, choose_device, read_ahead

if TYPE_CHECKING:
    import torch

    from captioner.model.captioning_model import CaptioningModel
    from captioner.model.checkpoint import Checkpoint

Picture = str | Path | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
Source = TypeVar("Source", bound=Picture)
Read = Floats | CaptionerError  # pixels (3, S, S), or why there are none

_PIL_LOCK = Lock()  # two threads must not load the same PIL image


class Captioner:
    """A trained model that captions pictures and answers questions about them.

    Get one with `Captioner.load()`. decoding: the search settings stored in the checkpoint; scores:
    what the checkpoint scored, and on what; device: where the model computes; checkpoint: its file;
    runtime: what computes it.
    """

    def __init__(
        self,
        loaded: "Checkpoint | OnnxRuntime",
        device: "torch.device | None" = None,
        checkpoint: Path | None = None,
        precision: str = "float32",
    ) -> None:
        self.runtime: Runtime = _on_device(loaded, device, precision)
        self.config: ModelConfig = self.runtime.config
        self.decoding: DecodingConfig = loaded.decoding
        self.scores: list[dict[str, Any]] = loaded.scores
        self.confidence_curve: ConfidenceCurve | None = loaded.confidence_curve
        self.device = self.runtime.device
        self.checkpoint = checkpoint

    def __repr__(self) -> str:
        file = None if self.checkpoint is None else str(self.checkpoint)
        return f"Captioner(checkpoint={file!r}, device='{self.device}', decoding={self.decoding!r})"

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        *,
        runtime: str | None = "torch",
        precision: str = "float32",
    ) -> "Captioner":
        """Load a checkpoint file, by default the bundled one, onto a device ("cpu", "cuda", ...).

        runtime: "torch"; or "onnx", which computes on a processor by the graphs that `captioner
        export` wrote beside the checkpoint, does not import torch and starts in a fifth of the
        time; it needs the extra onnx. None: onnx where it can be used and there is no GPU, else
        torch. precision: "bf16" computes the encoder in bfloat16 by torch, on a processor that has
        it in half the time; one caption in ten then differs.

        Raises CaptionerError for a file, a device or graphs that are not there or cannot be used,
        and for a precision that the device has not.

        >>> model = Captioner.load(device="cpu")
        >>> model.checkpoint.name
        'default.safetensors'
        """
        file = default_checkpoint() if checkpoint is None else Path(checkpoint)
        file = best_of_run(file) if file.is_dir() else file
        if runtime not in ("torch", "onnx", None):
            raise CaptionerError(f"runtime is {runtime!r}; expected 'torch' or 'onnx'")
        if runtime == "onnx":
            if device not in (None, "cpu"):
                raise CaptionerError(f"runtime onnx computes on device cpu, not on {device}")
            if precision != "float32":
                raise CaptionerError(f"runtime onnx computes in float32, not in {precision}")
            return cls(OnnxRuntime(file), checkpoint=file)
        plain = runtime is None and precision == "float32"
        graphs = open_runtime(file, device) if plain else None
        if graphs is not None:
            return cls(graphs, checkpoint=file)
        from captioner.model import checkpoint as checkpoints

        chosen = choose_device(device)
        check_precision(precision, chosen)
        return cls(checkpoints.load(file), chosen, file, precision)

    @property
    def model(self) -> "CaptioningModel":
        """The modules that torch computes, made ready to describe pictures.

        Raises CaptionerError where ONNX Runtime computes the model, which has none.

        >>> model.model.encoder.grid
        (10, 10)
        """
        if isinstance(self.runtime, OnnxRuntime):
            raise CaptionerError('this needs torch; load the checkpoint with runtime="torch"')
        from captioner.decoding.torch_runtime import TorchRuntime

        assert isinstance(self.runtime, TorchRuntime)
        return self.runtime.model

    @property
    def can_caption(self) -> bool:
        """Whether the checkpoint has learned to write captions.

        >>> model.can_caption
        True
        """
        return self.runtime.vocabulary is not None

    @property
    def can_answer(self) -> bool:
        """Whether the checkpoint has learned to answer questions.

        >>> model.can_answer
        True
        """
        return self.runtime.question_vocabulary is not None

    # A str is a sequence too, which mypy reports as an overlap; the first match is the right one.
    @overload
    def caption(  # type: ignore[overload-overlap]
        self,
        pictures: Picture,
        *,
        num_captions: Literal[1] | None = None,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> Caption: ...
    @overload
    def caption(  # type: ignore[overload-overlap]
        self,
        pictures: Picture,
        *,
        num_captions: int,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> list[Caption]: ...
    @overload
    def caption(  # type: ignore[overload-overlap]
        self,
        pictures: Sequence[Picture],
        *,
        num_captions: Literal[1] | None = None,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> list[Caption]: ...
    @overload
    def caption(
        self,
        pictures: Sequence[Picture],
        *,
        num_captions: int,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> list[list[Caption]]: ...
    @overload
    def caption(  # type: ignore[overload-overlap]
        self,
        pictures: Picture,
        *,
        decoding: DecodingConfig,
        num_captions: int | None = None,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> Caption | list[Caption]: ...
    @overload
    def caption(
        self,
        pictures: Sequence[Picture],
        *,
        decoding: DecodingConfig,
        num_captions: int | None = None,
        beam_size: int | None = None,
        max_words: int | None = None,
        batch_size: int = 32,
    ) -> list[Caption] | list[list[Caption]]: ...
    def caption(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        num_captions: int | None = None,
        beam_size: int | None = None,
        max_words: int | None = None,
        decoding: DecodingConfig | None = None,
        batch_size: int = 32,
    ) -> Any:
        """Caption one picture (a Caption) or several (a list of them, in the same order).

        A picture is a path, bytes, an open binary file, a PIL image or an array (rows, columns, 3)
        of uint8. With num_captions above 1 each picture gives a list, best first. beam_size and
        max_words replace those stored in the checkpoint, decoding all of its search settings.
        Raises CaptionerError for a picture that is none of these or cannot be read, and for
        settings that make no sense.

        >>> model.caption("chelsea.jpg").text
        'a cat sitting on top of a wooden table'
        >>> for caption in model.caption(["chelsea.jpg", "camera.jpg"]):
        ...     print(caption)
        a cat sitting on top of a wooden table
        a man in a black jacket is holding a camera
        >>> for caption in model.caption("chelsea.jpg", num_captions=2):
        ...     print(f"{caption.confidence:.2f} {caption}")
        0.59 a cat sitting on top of a wooden table
        0.62 a close up of a cat on top of it
        """
        changes = {"beam_size": beam_size, "num_captions": num_captions, "max_words": max_words}
        given: dict[str, Any] = {k: value for k, value in changes.items() if value is not None}
        chosen = replace(decoding or self.decoding, **given)
        if not _several(pictures):
            caption_vocabulary(self.runtime)
            _check_batch_size(batch_size)
            features, kept = self._look(pictures)  # (1, N, D)
            captions = _with_picture(kept, self.caption_features(features, chosen)[0])
            return captions if chosen.num_captions > 1 else captions[0]
        found: list[Any] = []
        for _, result in self.caption_each(pictures, decoding=chosen, batch_size=batch_size):
            if isinstance(result, CaptionerError):
                raise result
            found.append(result if chosen.num_captions > 1 else result[0])
        return found

    def caption_each(
        self, pictures: Iterable[Source], *, decoding: DecodingConfig, batch_size: int
    ) -> Iterator[tuple[Source, list[Caption] | CaptionerError]]:
        """Caption pictures one after the other, in order, in memory bounded by batch_size.

        A picture that cannot be read comes with the error in place of its captions. While batches
        are captioned, on a CPU several at once, the next one is being read; at most eight are in
        memory. Raises CaptionerError for a batch_size below 1.

        >>> paths = ["chelsea.jpg", "gone.jpg"]
        >>> for path, found in model.caption_each(paths, decoding=model.decoding, batch_size=32):
        ...     print(path, "cannot be read" if isinstance(found, CaptionerError) else found[0])
        chelsea.jpg a cat sitting on top of a wooden table
        gone.jpg cannot be read
        """
        caption_vocabulary(self.runtime)
        _check_batch_size(batch_size)

        def caption_batch(
            batch: list[tuple[Source, Read]],
        ) -> list[tuple[Source, list[Caption] | CaptionerError]]:
            pixels = [read for _, read in batch if isinstance(read, np.ndarray)]
            features = self._encode(pixels)  # (B, N, D)
            captions = iter(self.caption_features(features, decoding))
            return [
                (
                    source,
                    read
                    if isinstance(read, CaptionerError)
                    else _with_picture(KeptPicture.by_path(source), next(captions)),
                )
                for source, read in batch
            ]

        batches = read_ahead(pictures, self._read, batch_size)
        for captioned in self.runtime.map(batches, caption_batch):
            yield from captioned

    def match(self, picture: Picture, captions: Sequence[str]) -> list[CaptionFit]:
        """How well each of the captions fits the picture, in their order.

        Raises CaptionerError for a picture that cannot be read, for no captions, and for a caption
        without any word that the model knows.

        >>> fits = model.match("chelsea.jpg", ["a cat on a table", "a bus in the street"])
        >>> max(fits, key=lambda fit: fit.share).text
        'a cat on a table'
        """
        from captioner.decoding.likelihood import match_captions

        model, grey = self.model, grey_picture(self.config.image_size)
        features = self.encode([picture, grey])
        assert not isinstance(features, np.ndarray)  # torch computes them
        return match_captions(model, features, captions)

    @overload
    def answer(  # type: ignore[overload-overlap]
        self, pictures: Picture, question: str, *, top: int = 5, batch_size: int = 16
    ) -> Answer: ...
    @overload
    def answer(
        self, pictures: Sequence[Picture], question: str, *, top: int = 5, batch_size: int = 16
    ) -> list[Answer]: ...
    def answer(
        self,
        pictures: Picture | Sequence[Picture],
        question: str,
        *,
        top: int = 5,
        batch_size: int = 16,
    ) -> Answer | list[Answer]:
        """Answer a question about one picture (an Answer) or about each of several (a list).

        A picture is a path, bytes, an open binary file, a PIL image or an array (rows, columns, 3)
        of uint8. top: how many answers to return in Answer.top. Raises CaptionerError for a picture
        that cannot be read, a question without any word that the model knows, a top below 1, and a
        checkpoint that cannot answer.

        >>> answer = model.answer("chelsea.jpg", "what animal is this?")
        >>> print(f"{answer.text} ({answer.probability:.0%}), or {answer.top[1].text}")
        cat (70%), or bird
        """
        if not _several(pictures):
            self._check_asking(top, batch_size)
            features, kept = self._look(pictures)  # (1, N, D)
            [[answer]] = self.answer_features(features, [[question]], top)
            if isinstance(answer, CaptionerError):
                raise answer
            return replace(answer, picture=kept)
        asked = ((picture, [question]) for picture in pictures)
        found: list[Answer] = []
        for _, [result] in self.answer_each(asked, top=top, batch_size=batch_size):
            if isinstance(result, CaptionerError):
                raise result
            found.append(result)
        return found

    def answer_each(
        self, asked: Iterable[tuple[Source, Sequence[str]]], *, top: int, batch_size: int
    ) -> Iterator[tuple[Source, list[Answer | CaptionerError]]]:
        """Answer each picture's questions, in order, in memory bounded by batch_size.

        A picture that cannot be read and a question without any word that the model knows come
        with the error in place of the answer. Raises CaptionerError for a top or a batch_size
        below 1 and for a checkpoint that cannot answer.

        >>> asked = [("chelsea.jpg", ["what animal is this?", "is there a cat?"])]
        >>> for path, answers in model.answer_each(asked, top=1, batch_size=16):
        ...     print(path, *answers)
        chelsea.jpg cat yes
        """
        self._check_asking(top, batch_size)

        def answer_batch(
            batch: list[tuple[tuple[Source, Sequence[str]], Read]],
        ) -> list[tuple[Source, list[Answer | CaptionerError]]]:
            readable = [(qs, read) for (_, qs), read in batch if isinstance(read, np.ndarray)]
            features = self._encode([pixels for _, pixels in readable])  # (B, N, D)
            answers = iter(self.answer_features(features, [qs for qs, _ in readable], top))
            return [
                (
                    source,
                    [read] * len(questions)
                    if isinstance(read, CaptionerError)
                    else _with_picture(KeptPicture.by_path(source), next(answers)),
                )
                for (source, questions), read in batch
            ]

        batches = read_ahead(asked, lambda pair: self._read(pair[0]), batch_size)
        for answered in self.runtime.map(batches, answer_batch):
            yield from answered

    def encode(self, pictures: Sequence[Picture]) -> Features:
        """Features (B, N, D) of pictures; raises CaptionerError for one that cannot be read.

        >>> model.encode(["chelsea.jpg", "camera.jpg"]).shape
        torch.Size([2, 100, 512])
        """
        size = self.config.image_size
        return self._encode([to_array(open_picture(picture), size) for picture in pictures])

    def caption_features(self, features: Features, decoding: DecodingConfig) -> list[list[Caption]]:
        """Captions of pictures by their features (B, N, D): for each, the best first.

        >>> [[best]] = model.caption_features(model.encode(["chelsea.jpg"]), model.decoding)
        >>> print(best)
        a cat sitting on top of a wooden table
        """
        vocabulary = caption_vocabulary(self.runtime)
        if not len(features):
            return []
        found = search(self.runtime.start(features), limits_in_tokens(decoding, vocabulary))
        grid, sentinel = self.runtime.grid, self.config.sentinel
        return [
            [
                to_caption(one, vocabulary, grid, sentinel=sentinel, curve=self.confidence_curve)
                for one in group
            ]
            for group in found
        ]

    def answer_features(
        self, features: Features, questions: Sequence[Sequence[str]], top: int
    ) -> list[list[Answer | CaptionerError]]:
        """Answers to the questions about each of B pictures, by their features (B, N, D).

        A question without any word that the model knows gives the error in place of an answer.

        >>> features = model.encode(["chelsea.jpg"])
        >>> [[animal, there]] = model.answer_features(
        ...     features, [["what animal is this?", "is there a cat?"]], top=1
        ... )
        >>> print(animal, there)
        cat yes
        """
        from captioner.decoding.answers import find_answers

        return find_answers(self.runtime, features, questions, top)

    def parse(self, question: str) -> list[int]:
        """The ids of a question's words; raises UnknownWords where the model knows none of them.

        >>> len(model.parse("is there a cat?"))
        4
        """
        from captioner.decoding.answers import parse_question

        return parse_question(question, question_vocabulary(self.runtime))

    def _check_asking(self, top: int, batch_size: int) -> None:
        question_vocabulary(self.runtime)
        if top < 1:
            raise CaptionerError(f"top is {top}; expected 1 or more answers")
        _check_batch_size(batch_size)

    def _read(self, picture: Picture) -> Read:
        try:
            return to_array(_open(picture), self.config.image_size)
        except CaptionerError as error:
            return error

    def _look(self, picture: Any) -> tuple[Features, KeptPicture]:
        """Features (1, N, D) of one Picture, and what is kept of it."""
        opened = _open(picture)
        features = self._encode([to_array(opened, self.config.image_size)])
        if isinstance(picture, (str, Path)):
            return features, KeptPicture.by_path(picture)
        return features, KeptPicture.small(opened)

    def _encode(self, pixels: Sequence[Floats]) -> Features:
        """Features (B, N, D) of pixels, each (3, S, S); of none, empty."""
        return self.runtime.encode(np.stack(pixels)) if pixels else np.empty(0, np.float32)


def _on_device(
    loaded: "Checkpoint | OnnxRuntime", device: "torch.device | None", precision: str
) -> Runtime:
    if isinstance(loaded, OnnxRuntime):
        return loaded
    from captioner.decoding.torch_runtime import TorchRuntime

    return TorchRuntime(loaded.model, device or choose_device(None), precision)


def _open(picture: Picture) -> Image.Image:
    with _PIL_LOCK if isinstance(picture, Image.Image) else nullcontext():
        return open_picture(picture)


def _several(pictures: Picture | Sequence[Picture]) -> TypeGuard[Sequence[Any]]:
    return isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes))


def _with_picture(kept: KeptPicture, results: Sequence[Any]) -> list[Any]:
    """The results with their picture; errors among them stay as they are."""
    return [
        one if isinstance(one, CaptionerError) else replace(one, picture=kept) for one in results
    ]


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise CaptionerError(f"batch_size is {batch_size}; expected 1 or more")
