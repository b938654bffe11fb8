"""Run all speed benchmarks and print their tables.

    OMP_NUM_THREADS=1 python benchmarks/run.py [FOLDER]

FOLDER has pictures to caption; without it the samples are used repeatedly. It takes about five
minutes of one processor. benchmarks/README.md explains the figures.
"""

import os
import platform
import sys
import time
from pathlib import Path

import decoding
import growth
import pictures
import startup
import torch


class Section:
    """A heading, and below the tables how long they took and how busy the machine was."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.begun = time.perf_counter()
        print(f"\n## {self.name}\n", flush=True)

    def __exit__(self, *error: object) -> None:
        seconds = time.perf_counter() - self.begun
        load, cores = os.getloadavg()[0], os.cpu_count()
        print(f"\nLoad {load:.1f} on {cores} cores; {seconds:.0f} s by the clock.", flush=True)


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else pictures.SAMPLES
    torch.set_num_threads(1)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}; one thread, no GPU"
    )
    with Section("Start-up"):
        print(startup.table(rounds=3))
    with Section("Training step"):
        print(decoding.training_table(rounds=3))
    with Section("Memory that training steps add"):
        print(decoding.memory_table())
    with Section("Beam search"):
        print(decoding.beam_table(rounds=3))
    with Section("Pictures"):
        pictures.print_tables(folder, rounds=3)
    with Section("Growth"):
        print(growth.table(folder, growth.HERE / "growth.png"))


if __name__ == "__main__":
    main()
