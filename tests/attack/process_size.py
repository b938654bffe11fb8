"""How much a process holds, as Linux's /proc says."""

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Size:
    """memory: resident, in bytes; descriptors: open."""

    memory: int
    descriptors: int

    def growth(self, later: "Size", *, memory: int, descriptors: int) -> list[str]:
        """A line for each of the two that is larger later by more than this."""
        lines = []
        if later.memory > self.memory + memory:
            lines.append(f"memory grew from {self.memory} to {later.memory} bytes")
        if later.descriptors > self.descriptors + descriptors:
            lines.append(f"descriptors grew from {self.descriptors} to {later.descriptors}")
        return lines


def size_of(process: int | None = None) -> Size:
    """The size of a process; without a number, of this one."""
    folder = Path(f"/proc/{process or os.getpid()}")
    lines = (folder / "status").read_text().splitlines()
    (resident,) = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return Size(int(resident) * 1024, len(list((folder / "fd").iterdir())))
