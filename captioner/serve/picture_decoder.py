"""Uploads are decoded in processes of their own, which are ended and replaced at need."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from captioner.errors import CaptionerError
from captioner.serve.limits import Limits, Refusal
from captioner.serve.picture_process import REPLY, REQUEST

_PROGRAM = "from captioner.serve.picture_process import main; main()"


@dataclass(frozen=True)
class Prepared:
    """A picture as small as the model sees it, and, if asked for, as it is shown."""

    picture: Image.Image
    preview: str | None


class PictureDecoder:
    """Decodes a few pictures at a time, each in another process.

    A picture that takes longer than limits.turn_seconds makes room for the next one and goes on
    beside it, unless limits.slow_decoders do so already. One that takes more time or memory than it
    may ends with its process.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.turns = asyncio.Semaphore(limits.decoders)
        self.idle: list[Process] = []
        self.slow = 0

    async def start(self) -> None:
        """Start the processes, so that the first pictures need not wait for that."""
        for _ in range(self.limits.decoders):
            self.idle.append(await self._start_process())

    async def decode(self, content: bytes, *, side: int, preview: bool) -> Prepared:
        """A square of an upload and its preview.

        Raises CaptionerError for what is no picture, Refusal for one that takes too much.
        """
        async with self.turns:
            work = asyncio.ensure_future(self._decode(content, side, preview))
            try:
                await asyncio.wait([work], timeout=self.limits.turn_seconds)
                while not work.done() and self.slow >= self.limits.slow_decoders:
                    await asyncio.wait([work], timeout=0.1)
            except BaseException:
                work.cancel()
                raise
        self.slow += 1
        try:
            return await work
        finally:
            self.slow -= 1

    async def close(self) -> None:
        """End the processes."""
        while self.idle:
            await _end(self.idle.pop())

    async def _decode(self, content: bytes, side: int, preview: bool) -> Prepared:
        self.idle = [process for process in self.idle if process.returncode is None]
        process = self.idle.pop() if self.idle else await self._start_process()
        try:
            async with asyncio.timeout(self.limits.decode_seconds):
                status, reply = await self._ask(process, content, side, preview)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            await _end(process)
            raise Refusal(
                413, "the picture takes too much time or memory to decode; make it smaller"
            ) from error
        except BaseException:
            await _end(process)
            raise
        if len(self.idle) < self.limits.decoders:
            self.idle.append(process)
        else:
            await _end(process)
        if status == 400:
            raise CaptionerError(reply.decode())
        if status != 200:
            raise Refusal(status, reply.decode())
        pixels, uri = reply[: 3 * side * side], reply[3 * side * side :]
        picture = Image.frombytes("RGB", (side, side), pixels)
        return Prepared(picture, uri.decode() if preview else None)

    async def _ask(
        self, process: Process, content: bytes, side: int, preview: bool
    ) -> tuple[int, bytes]:
        assert process.stdin and process.stdout
        process.stdin.write(REQUEST.pack(len(content), self.limits.pixels, side, preview))
        process.stdin.write(content)
        await process.stdin.drain()
        header = await process.stdout.readexactly(REPLY.size)
        status, length = REPLY.unpack(header)
        return status, await process.stdout.readexactly(length)

    async def _start_process(self) -> Process:
        """With the same import path; "-P" leaves out the folder that the server was started in."""
        path = os.pathsep.join(entry for entry in sys.path if entry)
        limits = map(str, (self.limits.decode_cpu_seconds, self.limits.decode_bytes))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _PROGRAM, *limits),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()  # which closes the pipes
