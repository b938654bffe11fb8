"""A process that decodes pictures for the server, and is ended where one of them takes too much.

It imports neither torch nor the server. Requests come on standard input, replies go to standard
output; both are a header and bytes, without pickles: whoever takes over this process through a
decoder's flaw gains nothing but it.
"""

import os
import signal
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

from captioner.data.images import open_picture
from captioner.errors import CaptionerError, PictureTooLarge
from captioner.visualization.preview import data_uri

# Bytes of the picture, the most pixels it may have, side of the square wanted, with a preview or
# not. The reply: an HTTP status and bytes of what follows: the square's RGB pixels and then the
# preview as a data: address, or one line that says what is wrong.
REQUEST = struct.Struct(">IIH?")
REPLY = struct.Struct(">HI")


def main() -> None:
    """Answer requests until there are no more; arguments: seconds of computing time, bytes."""
    seconds, memory = map(int, sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):  # which reach the server, and it ends this
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)  # the server's own threads come first
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints can be taken for a reply
    limit_memory(memory)
    while header := requests.read(REQUEST.size):
        length, most_pixels, side, preview = REQUEST.unpack(header)
        content = requests.read(length)
        limit_time(seconds)
        status, reply = decode(content, most_pixels, side, preview)
        del content
        replies.write(REPLY.pack(status, len(reply)) + reply)
        replies.flush()


def decode(content: bytes, most_pixels: int, side: int, preview: bool) -> tuple[int, bytes]:
    """The status and bytes of the reply."""
    try:
        picture = open_picture(content, max_pixels=most_pixels)
        square = picture.resize((side, side), Image.Resampling.BILINEAR)
        return 200, square.tobytes() + (data_uri(picture).encode() if preview else b"")
    except PictureTooLarge as error:
        return 413, str(error).encode()
    except CaptionerError as error:
        return 400, str(error).encode()


def limit_memory(more: int) -> None:
    """Allow so many bytes more than there are now, where the system can tell and bound them."""
    with suppress(ImportError, OSError):  # Windows, macOS
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_time(seconds: int) -> None:
    """End this process once it has computed for so many seconds more."""
    with suppress(ImportError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, most))
