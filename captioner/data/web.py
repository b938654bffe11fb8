"""Fetch a picture from a web address: whole, in time, and from nowhere but the web."""

import ipaddress
import socket
import threading
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib import request
from urllib.parse import quote, urlsplit

from captioner.errors import CaptionerError

MAX_REDIRECTS = 5
_IN_URLS = "%/:=&?~#+!$,;'@()*[]"  # what stands for itself in a web address


def fetch(url: str, *, max_bytes: int, seconds: float, public_only: bool = False) -> bytes:
    """The content at a web address.

    public_only: refuse a private address even where no public one has redirected to it.

    Raises CaptionerError if there is none, if it is larger than max_bytes or takes longer than
    seconds in all, and for redirects that do not end, that lead to anything but http and https, or
    that lead from a public address to a private one, such as a service of this machine.
    """
    fetching = _Fetch(url, max_bytes, seconds, public_only)
    # In a thread: a name's look-up, a handshake and headers that trickle in have no deadline.
    thread = threading.Thread(target=fetching.run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        fetching.stop()
        raise CaptionerError(f"{url}: not here after {seconds} seconds")
    if isinstance(fetching.error, CaptionerError):
        raise fetching.error
    if isinstance(fetching.error, TimeoutError):
        raise CaptionerError(f"{url}: not here after {seconds} seconds") from fetching.error
    if fetching.error is not None:
        reason = " ".join(str(fetching.error).split())
        raise CaptionerError(f"{url}: cannot be fetched ({reason})") from fetching.error
    return fetching.content


class _Fetch:
    """One fetch in its thread; error: why it failed, content: what was received."""

    def __init__(self, url: str, max_bytes: int, seconds: float, public_only: bool) -> None:
        self.url = url
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.content = b""
        self.error: Exception | None = None
        self.socket: socket.socket | None = None
        self.stopped = False
        self.public = public_only  # from the first public address on, no private one is allowed

    def run(self) -> None:
        try:
            self.content = self._read()
        except Exception as error:  # it is raised in the thread that waits
            self.error = error

    def stop(self) -> None:
        """End the thread by closing the connection that it waits for."""
        self.stopped = True
        if self.socket is not None:
            with suppress(OSError):  # it is closed already
                self.socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> bytes:
        opener = request.OpenerDirector()  # of which the usual one also knows ftp, file and data
        for handler in (
            request.ProxyHandler(),
            _HTTPHandler(self),
            _HTTPSHandler(self),
            _Redirects(),
            request.HTTPErrorProcessor(),
            request.HTTPDefaultErrorHandler(),
            request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        asked = request.Request(quote(self.url, _IN_URLS), headers={"User-Agent": "captioner"})
        content = bytearray()
        with opener.open(asked, timeout=self.seconds) as response:
            while chunk := response.read1(2**16):
                content += chunk
                if len(content) > self.max_bytes:
                    raise CaptionerError(f"{self.url}: larger than {self.max_bytes // 2**20} MiB")
            if response.length:
                raise CaptionerError(f"{self.url}: the connection broke off; try again")
        return bytes(content)

    def connect(self, address: tuple[str, int], *given: Any, proxied: bool) -> socket.socket:
        """Connect, and check the address connected to, which the host name alone does not give.

        Behind a proxy, the proxy decides what may be reached.
        """
        self.socket = socket.create_connection(address, *given)
        if self.stopped:
            self.socket.close()
            raise OSError("stopped")
        peer = self.socket.getpeername()[0]
        if not proxied and is_public(peer):
            self.public = True
        elif not proxied and self.public:
            self.socket.close()
            raise OSError(f"it leads to {peer}, which is no public address")
        return self.socket


def is_public(address: str) -> bool:
    """Whether an IP address is globally reachable: not loopback, private or link-local."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global


class _HTTPHandler(request.HTTPHandler):
    def __init__(self, fetching: _Fetch) -> None:
        super().__init__()
        self.fetching = fetching

    def http_open(self, req: request.Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPConnection, self.fetching, req), req)


class _HTTPSHandler(request.HTTPSHandler):
    def __init__(self, fetching: _Fetch) -> None:
        super().__init__()
        self.fetching = fetching

    def https_open(self, req: request.Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPSConnection, self.fetching, req), req)


def _connection(
    kind: type[HTTPConnection], fetching: _Fetch, req: request.Request, host: str, **given: Any
) -> HTTPConnection:
    connection = kind(host, **given)
    proxied = req.has_proxy() or bool(req._tunnel_host)  # type: ignore[attr-defined]
    connection._create_connection = partial(  # type: ignore[attr-defined]
        fetching.connect, proxied=proxied
    )
    return connection


class _Redirects(request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise OSError(f"it redirects to {newurl}; expected http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
