"""A machine that is busy with other work: how torch's threads are set, idle and with a load.

    python benchmarks/busy.py FOLDER

Captions the pictures of FOLDER, each time in a process of its own, start included, and takes
training steps on the coloured shapes, start not included; both with every setting in turn. The
load is one busy loop for each core. Seconds by the clock, medians of five rounds.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORES = str(os.cpu_count())
SETTINGS = {
    "as captioner sets them": {},
    "as torch sets them": {"GOMP_SPINCOUNT": "300000", "OMP_NUM_THREADS": CORES},
    "one": {"OMP_NUM_THREADS": "1"},
    "all, asleep at once": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": CORES},
}
WARM_UP, STEPS = 2, 8


def run(arguments: list[str], setting: dict[str, str]) -> str:
    """What a process of these arguments prints, with one of SETTINGS and no other."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment | setting, capture_output=True, check=True
    )
    return done.stdout.decode()


def folder_seconds(folder: Path, setting: dict[str, str]) -> float:
    begun = time.perf_counter()
    run(["-m", "captioner", "caption", "--runtime", "torch", str(folder)], setting)
    return time.perf_counter() - begun


def step_seconds(shapes: Path, setting: dict[str, str]) -> float:
    return float(run([__file__, "--steps", str(shapes)], setting))


def print_step_seconds(shapes: Path) -> None:
    """Take training steps on the set in `shapes`, which also holds its feature caches."""
    import torch
    from quiet import Quiet

    from captioner.config.toml_file import read_stages
    from captioner.training.optimizer import make_optimizer
    from captioner.training.setup import prepare
    from captioner.training.step import train_step

    task = prepare(
        read_stages(shapes / "training.toml")[""],
        output=shapes,
        caches=shapes / "cache",
        device=torch.device("cpu"),
        reporter=Quiet(),
    )
    optimizer = make_optimizer(task.model, task.run.training)
    assert task.captions is not None
    assert task.questions is not None
    batches = zip(task.captions.epoch(0), task.questions.epoch(0), strict=False)
    begun = 0.0
    for step, (captions, questions) in zip(range(WARM_UP + STEPS), batches, strict=False):
        if step == WARM_UP:
            begun = time.perf_counter()
        train_step(task, optimizer, [captions], [questions], step)
    print((time.perf_counter() - begun) / STEPS)


@contextlib.contextmanager
def load(loops: int) -> Iterator[None]:
    """So many busy loops, each a process, which ends with this one at the latest."""
    loop = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def table(folder: Path, rounds: int) -> str:
    """A line for each load and setting: seconds and the ratio to the first setting's."""
    with tempfile.TemporaryDirectory() as to:
        shapes = Path(to) / "shapes"
        run(["-m", "captioner", "data", "shapes", str(shapes), "--images", "600"], {})
        step_seconds(shapes, {})  # makes the feature caches
        tasks: dict[str, Callable[[dict[str, str]], float]] = {
            "folder": lambda setting: folder_seconds(folder, setting),
            "step": lambda setting: step_seconds(shapes, setting),
        }
        lines = [
            "| busy loops | threads | a folder, s | to the first | training step, ms "
            "| to the first |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for loops in (0, int(CORES)):
            with load(loops):
                taken = [
                    {
                        name: {kind: task(setting) for kind, task in tasks.items()}
                        for name, setting in SETTINGS.items()
                    }
                    for _ in range(rounds)
                ]
            lines += [row(loops, name, taken) for name in SETTINGS]
    return "\n".join(lines)


def row(loops: int, name: str, taken: list[dict[str, dict[str, float]]]) -> str:
    first, cells = next(iter(SETTINGS)), [str(loops), name]
    for kind, unit in (("folder", 1), ("step", 1000)):
        seconds = statistics.median(each[name][kind] for each in taken)
        ratios = sorted(each[name][kind] / each[first][kind] for each in taken)
        cells.append(f"{unit * seconds:.1f}")
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    if sys.argv[1] == "--steps":
        print_step_seconds(Path(sys.argv[2]))
    else:
        print(table(Path(sys.argv[1]), rounds=5))
