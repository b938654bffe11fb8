"""What ONNX Runtime saves over torch on a processor: the start, memory, the server, a folder.

    OMP_NUM_THREADS=1 python benchmarks/without_torch.py [FOLDER] [ROUNDS]

Whole processes with the bundled model, which take turns, with one thread, the folder with two; and
the search of twelve pictures, one by one. Medians, least to most in brackets. A server is measured
up to its first reply. On a busy machine, compare the processor times.

In shares of `import torch`, importing NumPy, Pillow and onnxruntime takes 0.14, loading the graphs
0.03, the caption 0.03, the command line 0.10, half of which is pydantic, which typer 0.29 imports
(0.26 did not). ONNX Runtime takes 15 to 21 ms of the processor for the encoder's pass over a
picture where torch takes 33, and gets one picture at a time: in batches of 16 a picture took 24 ms.
All captions of 2,017 validation pictures are those of torch, without a tie to count; their log
probabilities differ by 2.9e-5 at most, the maps' weights by 8.5e-6. One search for both runtimes,
over arrays, takes torch's batches of 32 pictures 1.03 times as long as its own search did.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "data" / "samples"
MAIN = [sys.executable, "-c", "from captioner.cli import main; main()"]
PICTURES = 192

Measured = tuple[float, float, float]  # seconds by the clock, of the processor; largest MiB


def environment(threads: int) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    return {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"} | own


def to_end(command: list[str], threads: int = 1) -> Measured:
    """A process from its start to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(threads)
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert not status, command
    wall = time.perf_counter() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def to_first_reply(runtime: str) -> Measured:
    """A server from its start to the first reply."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*MAIN, "serve", "--port", "0", "--runtime", runtime],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(1),
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/about").close()
                break
            except OSError:
                time.sleep(0.005)
        wall = time.perf_counter() - start
        status = Path(f"/proc/{process.pid}/status").read_text()
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        largest = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        return wall, seconds, largest
    finally:
        process.kill()
        process.wait()


def table(tasks: dict[str, Callable[[], Measured]], rounds: int, base: str) -> str:
    """A row per task; how many times `base` it takes, by the clock and of the processor."""
    measured: dict[str, list[Measured]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            result = task()
            if number:  # the first round warms up
                measured[name].append(result)
    lines = [
        "| | s | processor s | times the first | of the processor | MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, results in measured.items():
        cells = [name]
        for clock in (0, 1):
            values = [one[clock] for one in results]
            cells.append(
                f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            )
        for clock in (0, 1):
            ratios = [
                one[clock] / first[clock]
                for one, first in zip(results, measured[base], strict=True)
            ]
            cells.append(f"{statistics.median(ratios):.2f}")
        cells.append(f"{statistics.median(one[2] for one in results):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def search_table(pictures: list[Path], rounds: int) -> str:
    """The search of one picture, without its encoder: milliseconds of the processor."""
    sys.path.insert(0, str(ROOT))
    from captioner import Captioner

    models = {name: Captioner.load(device="cpu", runtime=name) for name in ("torch", "onnx")}
    encoded = {name: [model.encode([p]) for p in pictures] for name, model in models.items()}
    lines = ["| | torch, ms | onnx, ms | share |", "| --- | --- | --- | --- |"]
    for beams in (1, 3, 5):
        taken: dict[str, list[float]] = {name: [] for name in models}
        for number in range(rounds + 1):
            for name, model in models.items():
                decoding = replace(model.decoding, beam_size=beams)
                start = time.process_time()
                for features in encoded[name]:
                    model.caption_features(features, decoding)
                if number:  # the first round warms up
                    taken[name].append(1000 * (time.process_time() - start) / len(pictures))
        cells = [
            f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            for values in taken.values()
        ]
        shares = [onnx / torch for torch, onnx in zip(taken["torch"], taken["onnx"], strict=True)]
        lines.append(f"| beam of {beams} | {' | '.join(cells)} | {statistics.median(shares):.2f} |")
    return "\n".join(lines)


def main(folder: Path, rounds: int) -> None:
    picture = str(SAMPLES / "camera.jpg")
    caption = "from captioner import Captioner; print(Captioner.load(runtime='onnx').caption({!r}))"
    start: dict[str, Callable[[], Measured]] = {
        "`import torch`": lambda: to_end([sys.executable, "-c", "import torch"]),
        "caption with torch": lambda: to_end([*MAIN, "caption", picture, "--runtime", "torch"]),
        "caption with onnx": lambda: to_end([*MAIN, "caption", picture, "--runtime", "onnx"]),
        "the same from Python": lambda: to_end([sys.executable, "-c", caption.format(picture)]),
        "serve with torch": lambda: to_first_reply("torch"),
        "serve with onnx": lambda: to_first_reply("onnx"),
    }
    print(table(start, rounds, "`import torch`"), flush=True)
    with tempfile.TemporaryDirectory() as linked:
        for number, file in enumerate(islice(cycle(sorted(folder.glob("*.jpg"))), PICTURES)):
            (Path(linked) / f"{number:03}.jpg").symlink_to(file.resolve())
        runs = {
            f"{PICTURES} pictures with {runtime}": lambda runtime=runtime: to_end(
                [*MAIN, "caption", linked, "--runtime", runtime], threads=2
            )
            for runtime in ("torch", "onnx")
        }
        print(f"\n{table(runs, rounds, f'{PICTURES} pictures with torch')}", flush=True)
    pictures = list(islice(cycle(sorted(folder.glob("*.jpg"))), 12))
    print(f"\n{search_table(pictures, rounds)}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else SAMPLES, int(given[1]) if len(given) > 1 else 7)
