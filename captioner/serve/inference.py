"""From the bytes of an upload to what the model says, in bounded memory and time."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError
from captioner.serve.batch_worker import BatchWorker, Request, Result
from captioner.serve.limits import Limits, Refusal
from captioner.serve.picture_decoder import PictureDecoder, Prepared
from captioner.visualization.explorer import Record, answer_record, caption_records

TOP = 5  # answers shown


class InferenceService:
    """Runs the model on uploaded pictures.

    Only the small copy of a picture waits for the one thread that runs the model, which encodes it
    once for all that is asked of it.
    """

    def __init__(self, model: Captioner, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.decoder = PictureDecoder(limits)
        self.worker = BatchWorker(self._infer, batch=limits.batch)

    async def start(self) -> None:
        """Start the processes that decode."""
        await self.decoder.start()

    async def prepare(self, content: bytes, *, preview: bool) -> Prepared:
        """Decode an upload. Raises CaptionerError for what is no picture, Refusal if too large."""
        side = self.model.config.image_size
        return await self._in_time(self.decoder.decode(content, side=side, preview=preview))

    async def run(
        self,
        prepared: Prepared,
        decoding: DecodingConfig | None,
        questions: Sequence[str] = (),
        *,
        attention: bool = False,
        runners_up: bool = False,
    ) -> Result:
        """Captions as `decoding` says, none without it, and answers to the questions.

        attention, runners_up: whether the records of the captions have them. Raises CaptionerError
        for a question that cannot be understood, Refusal if it takes too long.
        """
        request = Request(prepared.picture, decoding, tuple(questions), attention, runners_up)
        result: Result = await self._in_time(asyncio.wrap_future(self.worker.submit(request)))
        for answer in result.answers:
            if isinstance(answer, CaptionerError):
                raise answer
        return result

    async def close(self) -> None:
        """End the thread and the processes."""
        self.worker.close()
        await self.decoder.close()

    async def _in_time(self, work: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(work, self.limits.answer_seconds)
        except TimeoutError as error:
            seconds = self.limits.answer_seconds
            raise Refusal(504, f"no answer within {seconds:g} seconds; try again") from error

    def _infer(self, requests: Sequence[Request]) -> list[Result]:
        """The results of requests that want the same captions."""
        features = self.model.encode([request.picture for request in requests])  # (B, N, D)
        first = requests[0]
        captions: list[list[Record]] = [[] for _ in requests]
        if first.decoding is not None:
            captions = caption_records(
                self.model,
                features,
                first.decoding,
                attention=first.attention,
                runners_up=first.runners_up,
            )
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
