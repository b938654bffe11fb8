"""Measure training and captioning on a GPU, and compare its captions with the processor's.

    python benchmarks/gpu.py [--json FILE]

Needs an NVIDIA GPU of at least 24 GB and takes less than six minutes: what has not begun after
five is left out. `--tiny` runs everything at a size that proves nothing but that it works, in a
minute, with or without a GPU. The model is the bundled one, with its vocabulary; its weights are
trained on random features, as only time counts. FLOPs are those of torch's counter, 2 per
multiply-add; the peak is that of a large product measured here.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_parts import (
    PRECISIONS,
    Row,
    caption_rows,
    captioning_row,
    measure_peaks,
    training_row,
)

ROOT = Path(__file__).parents[1]
SECONDS = 300  # after which nothing more is begun


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    captioned: int
    training: tuple[int, ...]
    self_critical: tuple[int, ...]
    decoding: tuple[int, ...]
    product: int
    rounds: int


FULL = Sizes(200, (24, 128, 256), (24, 128), (1, 8, 32, 128, 512), 8192, 10)
TINY = Sizes(4, (2,), (2,), (1, 2), 256, 1)


def run_gpu_tests() -> Row:
    """The last line of what pytest says of the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {"status": done.returncode, "said": done.stdout.strip().splitlines()[-1]}


def table(rows: list[Row]) -> str:
    """Rows as a table in Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Report:
    """Prints each part as soon as it is measured and keeps it; begins none after SECONDS."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.parts: dict[str, list[Row]] = {}

    def add(self, title: str, rows: Iterator[Row]) -> None:
        kept = self.parts[title] = []
        while time.perf_counter() - self.started < SECONDS:
            row = next(rows, None)
            if row is None:
                break
            kept.append(row)
        done = f"{time.perf_counter() - self.started:.0f} s"
        print(f"\n## {title} ({done})\n\n{table(kept) if kept else 'left out'}", flush=True)


def measure_all(report: Report, device: torch.device, sizes: Sizes) -> None:
    """Measure every part, the most important first."""
    rounds = sizes.rounds
    peaks = measure_peaks(device, sizes.product, rounds)
    report.add("Peak, TFLOP/s", iter([dict(peaks)]))
    report.add("Tests that need a GPU", (run_gpu_tests() for _ in range(1)))
    report.add(
        "Training",
        (
            training_row(n, kind, device, peaks[kind], rounds, critic=False)
            for n in sizes.training
            for kind in PRECISIONS
        ),
    )
    report.add(
        "Captioning",
        (
            captioning_row(n, kind, device, peaks[kind], rounds)
            for n in sizes.decoding
            for kind in PRECISIONS[1:]
        ),
    )
    report.add(
        "Self-critical training",
        (
            training_row(n, "bfloat16", device, peaks["bfloat16"], min(rounds, 3), critic=True)
            for n in sizes.self_critical
        ),
    )
    report.add("Captions", caption_rows(device, sizes.captioned))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="prove that it works, in a minute")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    there = torch.cuda.is_available()
    if not (there or arguments.tiny):
        sys.exit("benchmarks/gpu.py: there is no GPU; --tiny runs without one")
    name = torch.cuda.get_device_name() if there else "a processor, which proves nothing"
    print(f"torch {torch.__version__} on {name}")
    report = Report()
    device = torch.device("cuda", 0) if there else torch.device("cpu")
    measure_all(report, device, TINY if arguments.tiny else FULL)
    if arguments.json:
        about = {"device": name, "torch": torch.__version__, "parts": report.parts}
        arguments.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
