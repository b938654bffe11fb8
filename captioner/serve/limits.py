"""Limits of the web application: allowed senders, and bounds on size, time and number."""

import asyncio
import ipaddress
import json
import re
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB = 2**20

# Nothing but a name or an address and a port: no user, path or anything else that URLs may have.
_HOST = re.compile(r"(\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(:[0-9]{1,5})?")

LONG_SECONDS = 2.0  # a request that has been arriving for longer may be dropped to make room

# The page's scripts and styles are files of their own; pictures are shown from memory.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the server.

    upload_bytes and pixels of one picture; requests answered at once, arriving: those read at once,
    and the bytes that all of them may hold together; batch: pictures looked at together.

    head_seconds, read_seconds: for the head and for the rest of a request to arrive,
    answer_seconds: for it to be answered, send_seconds: for the answer to be read; finish_seconds:
    for all of that when the server ends. connections: open at once.

    decoders: pictures decoded at once, each for turn_seconds; then slow_decoders of them may go on
    beside the next ones. Of each, decode_cpu_seconds of computing, decode_seconds altogether, and
    decode_bytes of memory.

    fetches: pictures fetched from the web at once, each within fetch_seconds.
    """

    upload_bytes: int = 16 * MIB
    pixels: int = 50_000_000
    requests: int = 64
    arriving: int = 128
    held_bytes: int = 128 * MIB
    connections: int = 512
    batch: int = 16
    head_seconds: float = 10
    read_seconds: float = 20
    answer_seconds: float = 60
    send_seconds: float = 20
    finish_seconds: int = 10
    decoders: int = 2
    slow_decoders: int = 2
    turn_seconds: float = 1
    decode_cpu_seconds: int = 5
    decode_seconds: float = 20
    decode_bytes: int = 450_000_000
    fetches: int = 4
    fetch_seconds: float = 20


class Refusal(Exception):
    """A request that is not answered: its status and one line for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(eq=False)
class Arrival:
    """A request that is being read: what has arrived so far, and its deadline."""

    deadline: asyncio.Timeout
    began: float
    body: bytearray = field(default_factory=bytearray)


class Guard:
    """Reads each request whole, within the limits, before the application sees any of it.

    Refuses foreign Host headers (DNS rebinding) and foreign Origins, what is too large (413), what
    does not arrive in time (408) and what is one too many (429, with Retry-After). Where too many
    arrive slowly, the oldest of them make room. Nothing is written to disk. Every answer gets the
    security headers.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, host: str) -> None:
        self.app = app
        self.limits = limits
        self.host = host
        self.requests = 0
        self.held_bytes = 0
        self.arriving: dict[Arrival, None] = {}  # the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        # Who asked first whether to send (Expect: 100-continue) is not sending yet.
        arriving = scope["method"] not in ("GET", "HEAD") and "expect" not in headers

        async def receive_noted() -> Message:
            nonlocal arriving
            message = await receive()
            arriving = message.get("more_body", False)
            return message

        try:
            self._check_sender(scope, headers)
            if scope["method"] in ("GET", "HEAD"):
                await self.app(scope, receive, send_safely)
            else:
                await self._take(scope, headers, receive_noted, send_safely)
        except Refusal as refusal:
            if arriving and refusal.status != 408:
                await self._discard(receive)
            await send_refusal(refusal, send_safely)

    def _check_sender(self, scope: Scope, headers: Headers) -> None:
        host = ",".join(headers.getlist("host"))
        if not self._is_ours(host):
            raise Refusal(400, f"the Host header is not this server's; open http://{self.host}")
        origin = headers.get("origin")
        ours = (f"http://{host.lower()}", f"https://{host.lower()}")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and origin not in ours:
            raise Refusal(403, "requests from pages of other origins are refused")

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server or is an IP address, which DNS cannot rebind."""
        parts = _HOST.fullmatch(host)
        if not parts:
            return False
        if parts["name"] and parts["name"].lower() in ("localhost", self.host.lower()):
            return True
        try:
            if parts["address"]:
                ipaddress.IPv6Address(parts["address"])
            else:
                ipaddress.IPv4Address(parts["name"])
        except ValueError:
            return False
        return True

    async def _take(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        self._check_requests()
        body = await self._read(headers, receive)
        try:
            self._check_requests()  # again: this may have taken its time
            self.requests += 1
            try:
                await self.app(scope, _replay(body, receive), send)
            finally:
                self.requests -= 1
        finally:
            self.held_bytes -= len(body)

    def _check_requests(self) -> None:
        if self.requests >= self.limits.requests:
            raise Refusal(429, "too many requests at once; try again in a moment")

    async def _read(self, headers: Headers, receive: Receive) -> bytearray:
        """The whole body, whose bytes count as held until the caller is done with them."""
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self.limits.upload_bytes:
            raise self._too_large()
        async with self._arrival(self.limits.read_seconds) as arrival:
            try:
                await self._receive(receive, arrival)
            except BaseException:
                self._forget(arrival)
                raise
        return arrival.body

    async def _receive(self, receive: Receive, arrival: Arrival) -> None:
        more = True
        while more:
            message = await receive()
            if arrival not in self.arriving:
                raise TimeoutError  # it had to make room, and its deadline has yet to take effect
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the connection broke off")
            chunk = message.get("body", b"")
            if len(arrival.body) + len(chunk) > self.limits.upload_bytes:
                raise self._too_large()
            self._make_room(len(chunk), arrival)
            arrival.body += chunk
            self.held_bytes += len(chunk)
            more = message.get("more_body", False)

    @asynccontextmanager
    async def _arrival(self, seconds: float) -> AsyncIterator[Arrival]:
        """Raises Refusal where it takes too long, or has to make room for others before."""
        if len(self.arriving) >= self.limits.arriving:
            self._break_off(next(iter(self.arriving)))
        try:
            async with asyncio.timeout(seconds) as deadline:
                arrival = Arrival(deadline, time.monotonic())
                self.arriving[arrival] = None
                try:
                    yield arrival
                finally:
                    self.arriving.pop(arrival, None)
        except TimeoutError as error:
            taken = time.monotonic() - arrival.began
            raise Refusal(408, f"not all here after {taken:.0f} seconds") from error

    def _make_room(self, needed: int, newest: Arrival) -> None:
        """Break off what has been arriving for long, until so many bytes may be held."""
        long_ago = time.monotonic() - LONG_SECONDS
        for arrival in list(self.arriving):
            if self.held_bytes + needed <= self.limits.held_bytes:
                return
            if arrival.began < long_ago and arrival is not newest:
                self._break_off(arrival)
        if self.held_bytes + needed > self.limits.held_bytes:
            raise Refusal(429, "too many large pictures at once; try again in a moment")

    def _break_off(self, arrival: Arrival) -> None:
        del self.arriving[arrival]
        self._forget(arrival)
        with suppress(RuntimeError):  # it is over already
            arrival.deadline.reschedule(0)

    def _forget(self, arrival: Arrival) -> None:
        self.held_bytes -= len(arrival.body)
        arrival.body.clear()

    def _too_large(self) -> Refusal:
        return Refusal(
            413, f"larger than {self.limits.upload_bytes / MIB:g} MiB; make the picture smaller"
        )

    async def _discard(self, receive: Receive) -> None:
        """Read what is still coming, and keep none of it: most clients read no answer before."""
        seen = 0
        with suppress(Refusal):
            async with self._arrival(min(5, self.limits.read_seconds)):
                while seen < 4 * self.limits.upload_bytes:
                    message = await receive()
                    seen += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return


def _replay(body: bytearray, receive: Receive) -> Receive:
    """The whole request as one message, then whatever the connection says."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return replay


async def send_refusal(refusal: Refusal, send: Send) -> None:
    """Answer with {"error": one line}."""
    content = json.dumps({"error": str(refusal)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if refusal.status == 429:
        headers.append((b"retry-after", b"1"))
    start: MutableMapping[str, Any] = {
        "type": "http.response.start",
        "status": refusal.status,
        "headers": headers,
    }
    await send(start)
    await send({"type": "http.response.body", "body": content})
