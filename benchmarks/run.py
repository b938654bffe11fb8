"""Run all speed benchmarks and print their tables.

    OMP_NUM_THREADS=1 python benchmarks/run.py [FOLDER]

FOLDER has pictures to caption; without it the samples are used repeatedly. It takes about 15
minutes on an idle processor. benchmarks/README.md explains the figures.
"""

import os
import platform
import sys
from pathlib import Path

import decoding
import growth
import pictures
import startup
import torch


def begin(name: str) -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n## {name}\n\nLoad: {load}\n", flush=True)


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else pictures.SAMPLES
    torch.set_num_threads(1)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}; one thread"
    )
    print("Everything runs on the processor; nothing is measured on a GPU.")
    begin("Start-up")
    print(startup.table(rounds=5), flush=True)
    for name, bundled in (("plain decoder", False), ("bundled model", True)):
        begin(f"Training step, arrangement of the {name}")
        print(decoding.training_table(rounds=5, bundled=bundled), flush=True)
    if torch.cpu._is_avx512_bf16_supported():
        begin("Training step, arrangement of the bundled model, captioner in bfloat16")
        print(decoding.training_table(rounds=5, bundled=True, autocast=True), flush=True)
    else:
        print("\nThis processor has no bfloat16 instructions: bfloat16 is not measured.")
    begin("Memory that training steps add")
    print(decoding.memory_table(), flush=True)
    begin("Beam search")
    print(decoding.beam_table(rounds=5), flush=True)
    begin("Pictures")
    pictures.print_tables(folder, rounds=5)
    begin("Growth")
    print(growth.table(folder, growth.HERE / "growth.png"), flush=True)


if __name__ == "__main__":
    main()
