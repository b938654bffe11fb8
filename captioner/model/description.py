"""What a checkpoint says about itself, read in a moment: without its weights, without torch."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.errors import CaptionerError
from captioner.files import best_of_run

FORMAT = "captioner"
_MAX_HEADER_BYTES = 100 * 2**20  # as much as safetensors itself reads
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Description:
    """The file, what it says about itself, and how many trainable values its tensors hold."""

    file: Path
    about: dict[str, Any]
    parameters: int


def read_description(file: Path) -> Description:
    """Read the header of a checkpoint, or of the best one in the folder of a run.

    Its checksum is not verified: only `checkpoint.load` reads the whole file. Raises CaptionerError
    for a file that is absent or no captioner checkpoint.
    """
    if file.is_dir():
        file = best_of_run(file)
    if not file.is_file():
        raise CaptionerError(f"{file}: no such checkpoint file")
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            tensors = json.loads(opened.read(length))
        about = json.loads(tensors.pop("__metadata__", {}).get(FORMAT, "null"))
        sizes = {name: math.prod(tensor["shape"]) for name, tensor in tensors.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CaptionerError(f"{file}: not a readable .safetensors checkpoint ({error})") from error
    if not isinstance(about, dict):
        raise CaptionerError(f"{file}: holds tensors but is not a captioner checkpoint")
    learned = [size for name, size in sizes.items() if not name.endswith(_STATISTICS)]
    return Description(file, about, sum(learned))
