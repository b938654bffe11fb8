"""Measure the time to the first caption in whole processes, compared with importing torch.

    python benchmarks/startup.py

Times are from the start to the end of a process; the processes alternate, with one thread and all
files in the file cache. On a busy machine, compare the processor times.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from captioner.cli import main; main()"]
PROCESSES = {
    'python -c "import torch"': [sys.executable, "-c", "import torch"],
    'python -c "import torchvision"': [sys.executable, "-c", "import torchvision"],
    "captioner caption camera.jpg": [*COMMAND, "caption", str(ROOT / "data/samples/camera.jpg")],
    "captioner --help": [*COMMAND, "--help"],
    "captioner caption --beam-size x": [*COMMAND, "caption", "--beam-size", "x"],
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def table(rounds: int) -> str:
    """A table row per process: medians, and the median of its ratios to `import torch`."""
    for command in PROCESSES.values():
        seconds(command)
    times = [{name: seconds(command) for name, command in PROCESSES.items()} for _ in range(rounds)]
    lines = [
        "| | s | range | processor s | times `import torch` | by processor time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in PROCESSES:
        walls, processor = zip(*(measured[name] for measured in times), strict=True)
        first = next(iter(PROCESSES))
        by_clock, by_processor = (
            statistics.median(measured[name][clock] / measured[first][clock] for measured in times)
            for clock in (0, 1)
        )
        lines.append(
            f"| `{name}` | {statistics.median(walls):.2f} | {min(walls):.2f} to {max(walls):.2f} "
            f"| {statistics.median(processor):.2f} | {by_clock:.2f} | {by_processor:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(rounds=7))
