"""What an archive costs: the rates of each part of the work, one and two workers, and a model.

    python benchmarks/bulk_scale.py FOLDER [--rounds 5]      measures; needs the extra cluster
    python benchmarks/bulk_scale.py --model                  the tables from the rates below alone

FOLDER: pictures; they are made as large as COCO's (640 x 480) and packed into tar shards. The
processor seconds of a stage are those of one thread with the bundled model. Workers are Ray's, on
this machine; of each run the first `len(workers)` parts, in which the models load, are left out.
The model of a run is that of `run_hours`; `simulate` checks it part by part, with parts that
differ, workers that end, and a last part that everything waits for.
"""

import argparse
import heapq
import io
import logging
import os
import random
import statistics
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioner import Captioner
from captioner.bulk.engines import Cluster
from captioner.bulk.run import Archive, caption_archive
from captioner.data.images import open_picture, to_tensor
from captioner.data.tar_files import pictures_of_tar

PICTURES_PER_SHARD, SHARDS, BATCH = 64, 6, 32

# Processor seconds per picture, as measured; and what a run is taken to be made of.
READ, DECODE, ENCODE, WORDS = 0.0001, 0.0028, 0.0292, 0.0057
START_SECONDS = 30.0  # of a worker: its process, torch, the model
PARTS_OF = 10_000  # pictures in a shard
SPREAD = 0.2  # standard deviation of the logarithm of a part's time
ENDS_PER_HOUR = 0.02  # of a worker, as machines taken at a lower price do
PICTURE_BYTES = 160_000
CORE_DOLLARS, GPU_DOLLARS = 0.04, 0.80  # per hour; a GPU with 8 cores


@dataclass(frozen=True)
class Kind:
    """A kind of worker: pictures a second, and dollars an hour."""

    name: str
    rate: float
    dollars: float


def run_hours(pictures: float, kind: Kind, workers: int) -> float:
    """Start, an even share of the parts with the lost ones again, and half a part at the end."""
    part = PARTS_OF / kind.rate  # seconds
    again = 1 + ENDS_PER_HOUR / 3600 * (part / 2 + START_SECONDS)
    parts = -(-pictures // PARTS_OF)
    return (START_SECONDS + parts * part * again / workers + part / 2) / 3600


def simulate(pictures: int, kind: Kind, workers: int, seed: int = 0) -> float:
    """The hours of a run, part by part: each goes to the worker that is free first."""
    draws = random.Random(seed)
    mean = PARTS_OF / kind.rate
    free = [START_SECONDS] * workers
    for _ in range(-(-pictures // PARTS_OF)):
        start = heapq.heappop(free)
        while True:
            seconds = mean * draws.lognormvariate(-(SPREAD**2) / 2, SPREAD)
            ends = draws.expovariate(ENDS_PER_HOUR / 3600)
            if ends > seconds:
                break
            start += ends + START_SECONDS  # the part is begun again by a new worker
        heapq.heappush(free, start + seconds)
    return max(free) / 3600


def measure_stages(shard: Path, rounds: int) -> None:
    """Print the processor seconds per picture of each stage."""
    model = Captioner.load(device="cpu")
    size = model.model.encoder.image_size
    contents = [content for _, content in pictures_of_tar(shard)]
    pixels = [to_tensor(open_picture(content), size) for content in contents]
    features = [
        model._encode(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)
    ]
    stages = {
        "read the shard": lambda: list(pictures_of_tar(shard)),
        "decode and resize": lambda: [to_tensor(open_picture(one), size) for one in contents],
        "encoder": lambda: [
            model._encode(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)
        ],
        "words": lambda: [model.caption_features(some, model.decoding) for some in features],
    }
    print(
        "| stage | ms of the processor per picture | least to most | pictures/s |\n"
        + "| --- " * 4
        + "|"
    )
    taken: dict[str, list[float]] = {name: [] for name in stages}
    for number in range(rounds + 1):
        for name, work in stages.items():
            start = time.process_time()
            work()
            if number:
                taken[name].append((time.process_time() - start) / len(contents))
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        span = f"{1000 * min(seconds):.2f} to {1000 * max(seconds):.2f}"
        print(f"| {name} | {1000 * middle:.2f} | {span} | {1 / middle:.0f} |")


def measure_workers(folder: Path, rounds: int) -> None:
    """Print pictures a second and processor seconds per picture of one and of two workers."""
    import ray

    ray.init(
        num_cpus=2,
        object_store_memory=128 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    model = Captioner.load(device="cpu")
    rates: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in rates:
            rates[workers].append(_run(folder, f"out-{number}-{workers}", model, workers))
            print(workers, "workers:", *rates[workers][-1], file=sys.stderr, flush=True)
    ray.shutdown()
    print("| workers | pictures/s by the clock | least to most | ms of the processor per picture |")
    print("| --- " * 4 + "|")
    for workers, found in rates.items():
        speeds, costs = zip(*found, strict=True)
        span = f"{min(speeds):.1f} to {max(speeds):.1f}"
        low, middle, high = (f"{1000 * f(costs):.1f}" for f in (min, statistics.median, max))
        speed = f"{statistics.median(speeds):.1f}"
        print(f"| {workers} | {speed} | {span} | {middle} ({low} to {high}) |")


def _run(folder: Path, output: str, model: Captioner, workers: int) -> tuple[float, float]:
    """Pictures a second and processor seconds per picture, once every worker has begun."""
    statuses = caption_archive(
        Archive(str(folder / "*.tar"), str(folder / output)),
        model,
        model.decoding,
        checkpoint=None,
        batch_size=BATCH,
        device=None,
        cluster=Cluster(workers=workers),
    )
    pictures, begun = 0, None
    for status in statuses:
        if begun is not None and status.outcome is not None:
            pictures += status.outcome.pictures
        if status.done == workers:
            begun = time.perf_counter(), _processor_seconds()
        if status.done == status.parts and begun is not None:
            seconds = time.perf_counter() - begun[0]
            cost = (_processor_seconds() - begun[1]) / pictures
    return pictures / seconds, cost


def _processor_seconds() -> float:
    """What Ray's workers have taken so far; only on Linux."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if name.startswith("ray::_Actor"):
                total += sum(map(int, rest.split()[11:13]))
        except OSError:  # it has ended
            continue
    return total / os.sysconf("SC_CLK_TCK")


def make_shards(source: Path, folder: Path) -> None:
    """Pack pictures of the size of COCO's, over and over, into shards."""
    contents = []
    for file in sorted(source.glob("*.jpg"))[:PICTURES_PER_SHARD]:
        with io.BytesIO() as content:
            picture = open_picture(file).resize((640, 480), Image.Resampling.BICUBIC)
            picture.save(content, "JPEG", quality=92)
            contents.append(content.getvalue())
    for number in range(SHARDS):
        with tarfile.open(folder / f"{number:03}.tar", "w") as tar:
            for index, content in enumerate(islice(cycle(contents), PICTURES_PER_SHARD)):
                member = tarfile.TarInfo(f"{index:06}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def print_model() -> None:
    """Print hours and dollars by the model, and how far the simulation is from it."""
    core = Kind("cores", 1 / (READ + DECODE + ENCODE + WORDS), CORE_DOLLARS)
    # With the encoder and the words on a GPU, its 8 cores have the rest: it cannot be faster.
    gpu = Kind("GPUs with 8 cores", 8 / (READ + DECODE), GPU_DOLLARS)
    print("| pictures | workers | pictures/s | hours | dollars | Gbit/s | simulated / model |")
    print("| --- " * 7 + "|")
    for power, kind, workers in (
        (7, core, 64),
        (7, gpu, 4),
        (9, core, 2048),
        (9, gpu, 64),
        (11, core, 65536),
        (11, gpu, 2048),
    ):
        pictures = 10**power
        hours = run_hours(pictures, kind, workers)
        speed = pictures / hours / 3600
        dollars, network = hours * workers * kind.dollars, speed * PICTURE_BYTES * 8 / 1e9
        ratio = f"{simulate(pictures, kind, workers) / hours:.3f}" if power < 10 else "-"
        print(
            f"| 10^{power} | {workers:,} {kind.name} | {speed:,.0f} | {hours:.1f} | "
            f"{dollars:,.0f} | {network:.1f} | {ratio} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", action="store_true")
    arguments = parser.parse_args()
    if arguments.folder:
        with tempfile.TemporaryDirectory() as folder:
            make_shards(arguments.folder, Path(folder))
            measure_stages(Path(folder, "000.tar"), arguments.rounds)
            measure_workers(Path(folder), arguments.rounds)
    if arguments.model:
        print_model()


if __name__ == "__main__":
    main()
