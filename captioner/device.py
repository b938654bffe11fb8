"""Where a model computes: on the processor or on a GPU."""

import torch

from captioner.errors import CaptionerError


def choose_device(name: str | None) -> torch.device:
    """The device of this name, or without one the GPU if there is one; CaptionerError if not."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but none that can be read
    except (RuntimeError, AssertionError, ImportError) as error:
        there = ["cpu"] + [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise CaptionerError(
            f"device {name!r} is not there; this machine has {', '.join(there)}"
        ) from error
    return device
