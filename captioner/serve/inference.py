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
from captioner.serve.batch_worker import Found, Look, Worker
from captioner.serve.limits import Limits, Refusal
from captioner.visualization.explorer import Record, answer_record, caption_records, data_uri

TOP = 5  # answers told


@dataclass(frozen=True)
class Prepared:
    """A picture as small as the model sees it, and, if asked for, as it is shown."""

    picture: Image.Image
    preview: str | None


class Desk:
    """Takes pictures in and gives out what was found in them.

    One picture is decoded at a time, for that takes most memory; only its small copy waits for the
    one thread that holds the model.
    """

    def __init__(self, model: Captioner, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.decoder = ThreadPoolExecutor(1, thread_name_prefix="captioner-decoder")
        self.worker = Worker(self._find, batch=limits.batch)

    async def prepare(self, content: bytes, *, preview: bool) -> Prepared:
        """Decode an upload. Raises CaptionerError for what is no picture, Refusal if too large."""
        return await self._in_time(
            asyncio.get_running_loop().run_in_executor(
                self.decoder, self._prepare, content, preview
            )
        )

    async def caption(self, prepared: Prepared, decoding: DecodingConfig) -> list[Record]:
        """Records of the captions, best first."""
        return await self._look(Look(prepared.picture, decoding=decoding))

    async def answer(self, prepared: Prepared, question: str) -> Record:
        """The record of the answer; CaptionerError where the question cannot be understood."""
        return await self._look(Look(prepared.picture, question=question))

    def close(self) -> None:
        """End the threads."""
        self.worker.close()
        self.decoder.shutdown(wait=False, cancel_futures=True)

    async def _look(self, look: Look) -> Any:
        return await self._in_time(asyncio.wrap_future(self.worker.submit(look)))

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

    def _find(self, looks: Sequence[Look]) -> Sequence[Found]:
        """What the model says of each; all have the same decoding, or are questions."""
        decoding = looks[0].decoding
        if decoding is not None:
            features = self.model.encode([look.picture for look in looks])
            return caption_records(self.model, features, decoding)
        asked = [(look.picture, [look.question or ""]) for look in looks]
        replies = self.model.answer_each(asked, top=TOP, batch_size=len(looks))
        return [
            answer if isinstance(answer, CaptionerError) else answer_record(question, answer)
            for (_, [question]), (_, [answer]) in zip(asked, replies, strict=True)
        ]


def _pixels(content: bytes) -> float:
    """How many pixels the header promises; 0 where it is none that can be read."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError:
        return float("inf")
    except Exception:  # open_picture says what is wrong with it
        return 0
