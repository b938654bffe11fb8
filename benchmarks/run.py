"""Every measurement of speed, one table after the other.

    OMP_NUM_THREADS=1 python benchmarks/run.py

Takes about ten minutes on one idle processor. What the figures mean: benchmarks/README.md.
"""

import decoding
import startup
import torch


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n\n## Start-up\n")
    print(startup.table(rounds=7), flush=True)
    print("\n## Training step\n")
    print(decoding.training_table(rounds=5), flush=True)
    print("\n## Memory that training steps add\n")
    print(decoding.memory_table(), flush=True)
    print("\n## Beam search\n")
    print(decoding.beam_table(rounds=5), flush=True)


if __name__ == "__main__":
    main()
