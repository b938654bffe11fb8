"""HTTP connections with bounds that uvicorn lacks: on their number and on idle time."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from captioner.serve.limits import Limits

_SPARE_DESCRIPTORS = 256  # for files, the processes that decode, and twice the backlog
_BACKLOG = 64  # connections that are accepted before any of them is looked at


def create_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server of the application within the limits; what is under way when it ends may finish."""
    protocol = partial(BoundedConnection, most=most_connections(limits), limits=limits)
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        backlog=_BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=limits.finish_seconds,
    )
    return uvicorn.Server(config)


def most_connections(limits: Limits) -> int:
    """How many connections may be open, so that descriptors remain for everything else."""
    with suppress(ImportError):  # Windows has no such limit
        import resource

        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            return max(1, min(limits.connections, descriptors - _SPARE_DESCRIPTORS))
    return limits.connections


class BoundedConnection(H11Protocol):
    """A connection whose request's head must arrive in time, and whose answers must be read.

    Where there are too many, the one that has waited longest for its client makes room for the new
    one.
    """

    def __init__(self, *, most: int, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self.most = most
        self.limits = limits
        self.waiting_since = self.loop.time()
        self.head_timer: asyncio.TimerHandle | None = None
        self.unread_timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to send a request, the rest of it, or to read."""
        if self.cycle is None or self.cycle.response_complete:
            return True
        return self.cycle.more_body or self.unread_timer is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that whatever is not read is known
        self._time_head()
        if len(self.connections) > self.most:
            others = [
                other
                for other in self.connections
                if isinstance(other, BoundedConnection) and other.waits and other is not self
            ]
            oldest = min(others, key=lambda other: other.waiting_since, default=self)
            oldest.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self.head_timer, self.unread_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._time_head()

    def on_response_complete(self) -> None:
        self.waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.unread_timer is None:
            self.waiting_since = self.loop.time()
            self.unread_timer = self.loop.call_later(self.limits.send_seconds, self.drop)

    def resume_writing(self) -> None:
        if self.unread_timer:
            self.unread_timer.cancel()
            self.unread_timer = None
        super().resume_writing()

    def drop(self) -> None:
        """Close at once, whatever has not been sent or received."""
        self.connections.discard(self)
        self.transport.abort()

    def _time_head(self) -> None:
        """Let the head of a request take so long from its first byte, and not from its last."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.head_timer:
                self.head_timer.cancel()
            self.head_timer = None
        elif self.head_timer is None:
            self.head_timer = self.loop.call_later(self.limits.head_seconds, self.drop)
