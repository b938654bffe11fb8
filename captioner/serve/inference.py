"""From the bytes of an upload to what the model says, in bounded memory and time."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL import Image

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.data.images import FORMATS, open_picture
from captioner.errors import CaptionerError
from captioner.serve.batch_worker import BatchWorker, Request, Result
from captioner.serve.limits import Limits, Refusal
from captioner.visualization.explorer import Record, answer_record, caption_records, data_uri

TOP = 5  # answers shown


@dataclass(frozen=True)
class Prepared:
    """A picture as small as the model sees it, and, if asked for, as it is shown."""

    picture: Image.Image
    preview: str | None


class InferenceService:
    """Runs the model on uploaded pictures.

    One picture is decoded at a time, since that takes most memory; only its small copy waits for
    the one thread that runs the model, which encodes it once for all that is asked of it.
    """

    def __init__(self, model: Captioner, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.decoder = ThreadPoolExecutor(1, thread_name_prefix="captioner-decoder")
        self.worker = BatchWorker(self._infer, batch=limits.batch)

    async def prepare(self, content: bytes, *, preview: bool) -> Prepared:
        """Decode an upload. Raises CaptionerError for what is no picture, Refusal if too large."""
        return await self._in_time(
            asyncio.get_running_loop().run_in_executor(
                self.decoder, self._prepare, content, preview
            )
        )

    async def run(
        self, prepared: Prepared, decoding: DecodingConfig | None, questions: Sequence[str] = ()
    ) -> Result:
        """Captions as `decoding` says, none without it, and answers to the questions.

        Raises CaptionerError for a question that cannot be understood, Refusal if it takes too
        long.
        """
        request = Request(prepared.picture, decoding, tuple(questions))
        result: Result = await self._in_time(asyncio.wrap_future(self.worker.submit(request)))
        for answer in result.answers:
            if isinstance(answer, CaptionerError):
                raise answer
        return result

    def close(self) -> None:
        """End the threads."""
        self.worker.close()
        self.decoder.shutdown(wait=False, cancel_futures=True)

    async def _in_time(self, work: asyncio.Future[Any]) -> Any:
        try:
            return await asyncio.wait_for(work, self.limits.answer_seconds)
        except TimeoutError as error:
            seconds = self.limits.answer_seconds
            raise Refusal(504, f"no answer within {seconds:g} seconds; try again") from error

    def _prepare(self, content: bytes, preview: bool) -> Prepared:
        if _pixels(content) > self.limits.pixels:
            most = self.limits.pixels / 1_000_000
            raise Refusal(413, f"more than {most:g} million pixels; make the picture smaller")
        picture = open_picture(content)
        side = self.model.config.image_size
        return Prepared(
            picture=picture.resize((side, side), Image.Resampling.BILINEAR),
            preview=data_uri(picture) if preview else None,
        )

    def _infer(self, requests: Sequence[Request]) -> list[Result]:
        """The results of requests with the same decoding."""
        features = self.model.encode([request.picture for request in requests])  # (B, N, D)
        decoding = requests[0].decoding
        captions: list[list[Record]] = [[] for _ in requests]
        if decoding is not None:
            captions = caption_records(self.model, features, decoding)
        questions = [request.questions for request in requests]
        answers: list[list[Record | CaptionerError]] = [[] for _ in requests]
        if any(questions):
            answers = [
                [
                    answer if isinstance(answer, CaptionerError) else answer_record(text, answer)
                    for text, answer in zip(texts, found, strict=True)
                ]
                for texts, found in zip(
                    questions, self.model.answer_features(features, questions, TOP), strict=True
                )
            ]
        return [Result(*pair) for pair in zip(captions, answers, strict=True)]


def _pixels(content: bytes) -> float:
    """How many pixels the header promises; 0 where it is none that can be read."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError:
        return float("inf")
    except Exception:  # open_picture says what is wrong with it
        return 0
