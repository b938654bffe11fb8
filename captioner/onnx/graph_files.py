"""The files of exported graphs: their names, the description beside them, and checks of both.

The description is JSON and says what is needed to use the graphs; docs/onnx.md explains it.
"""

import json
import zlib
from pathlib import Path
from typing import Any

from captioner.errors import UnusableGraphs

FORMAT_VERSION = 1
AGAIN = "write them again with captioner export"


def description_file(checkpoint: Path) -> Path:
    """Where the description of a checkpoint's graphs is."""
    return checkpoint.with_name(f"{checkpoint.stem}.graphs.json")


def graph_file(checkpoint: Path, name: str) -> Path:
    """Where a graph is: beside the checkpoint, to whose weights it refers."""
    return checkpoint.with_name(f"{checkpoint.stem}.{name}.onnx")


def read_graphs(checkpoint: Path) -> dict[str, Any]:
    """The description of a checkpoint's graphs, once the files in it are found to be its own.

    Raises UnusableGraphs where there is none, where it is of another version, and where the
    checkpoint or a graph is another file than was described.
    """
    file = description_file(checkpoint)
    if not file.is_file():
        raise UnusableGraphs(
            f"{checkpoint}: there are no ONNX graphs beside it; write them with captioner export"
        )
    try:
        about = json.loads(file.read_bytes())
        version = about["format_version"]
        checksums = {checkpoint: about["checkpoint"]["crc32"]}
        for name, graph in about["graphs"].items():
            checksums[graph_file(checkpoint, name)] = graph["crc32"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnusableGraphs(f"{file}: damaged ({error!r}); {AGAIN}") from error
    if version != FORMAT_VERSION:
        raise UnusableGraphs(
            f"{file}: graphs of format {version}, this captioner reads {FORMAT_VERSION}; {AGAIN}"
        )
    for part, expected in checksums.items():
        if checksum(part) != expected:
            raise UnusableGraphs(
                f"{part}: not the file that {file.name} was written for; "
                "graphs and checkpoint do not belong together, or one is damaged; " + AGAIN
            )
    return about


def checksum(file: Path) -> str:
    """The CRC-32 of a file, as eight hexadecimal digits; UnusableGraphs where it can't be read."""
    crc = 0
    try:
        with file.open("rb") as opened:
            while content := opened.read(2**20):  # not all of it in memory at once
                crc = zlib.crc32(content, crc)
    except OSError as error:
        raise UnusableGraphs(f"{file}: cannot be read ({error.strerror}); {AGAIN}") from error
    return f"{crc:08x}"
