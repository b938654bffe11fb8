"""Captioning a folder of pictures and the feature cache, compared with the encoder's rate.

    python benchmarks/pictures.py [FOLDER]

Uses the bundled checkpoint on the pictures of the folder, or on the samples repeatedly. The tasks
alternate in one process; medians of three rounds, in wall-clock and processor seconds. With two
threads each has a batch of its own, and on a busy machine they wait for each other. With
`--precision bf16` the encoder takes 11.9 ms per picture instead of 27.8 in batches, 16.3 instead of
29.9 for one; float32 is the default, since captions differ.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioner import Captioner
from captioner.data.feature_cache import GIB, FeatureCache, build_cache
from captioner.data.images import open_picture, to_tensor
from captioner.decoding.beam_search import decode
from captioner.decoding.step import limits_in_tokens
from captioner.model.checkpoint import default_checkpoint
from captioner.model.checkpoint import load as load_checkpoint
from captioner.model.encoder import Encoder
from captioner.training.setup import make_map_source

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
PICTURES, BATCH = 64, 16
COCO = 118_287

Seconds = dict[str, list[tuple[float, float]]]  # task -> (wall-clock, processor) of each round


def choose_pictures(folder: Path, count: int) -> list[Path]:
    return list(islice(cycle(sorted(folder.glob("*.jpg"))), count))


def copy_pictures(folder: Path, count: int, to: Path) -> list[Path]:
    """The same as files of their own, as the cache encodes each file once."""
    chosen = enumerate(choose_pictures(folder, count))
    return [Path(shutil.copy(path, to / f"{number}.jpg")) for number, path in chosen]


def measure(tasks: dict[str, Callable[[], object]], rounds: int) -> Seconds:
    """Wall-clock and processor seconds of each task in every round; the tasks alternate."""
    seconds: Seconds = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def lines(seconds: Seconds, pictures: int, encoder: str) -> list[str]:
    """Pictures per second and the share of the encoder's rate, by wall clock and by processor."""
    rows = []
    for name, rounds in seconds.items():
        cells = [name]
        for clock in (0, 1):
            rates = [pictures / times[clock] for times in rounds]
            shares = [
                encoder_times[clock] / times[clock]
                for encoder_times, times in zip(seconds[encoder], rounds, strict=True)
            ]
            cells.append(
                f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"
                f" | {statistics.median(shares):.0%}"
            )
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def head(title: str) -> list[str]:
    return [
        f"| {title} | pictures/s by the clock | of the encoder's | pictures/s of the processor "
        "| of the encoder's |",
        "| --- | --- | --- | --- | --- |",
    ]


def folder_table(folder: Path, rounds: int, threads: int) -> str:
    """Time `captioner caption FOLDER` and each of its parts."""
    torch.set_num_threads(threads)
    model, paths = Captioner.load(), choose_pictures(folder, PICTURES)
    size = model.config.image_size
    ready = torch.stack([to_tensor(open_picture(path), size) for path in paths]).split(BATCH)
    decoder, vocabulary = model.model.caption_parts()
    limits = limits_in_tokens(model.decoding, vocabulary)

    @torch.no_grad()
    def encode() -> list[torch.Tensor]:
        return [model.model.encoder(batch) for batch in ready]

    features = encode()
    each = model.caption_each
    tasks: dict[str, Callable[[], object]] = {
        "encoder alone": encode,
        "reading alone": lambda: [to_tensor(open_picture(path), size) for path in paths],
        "words alone": lambda: [decode(decoder, f, limits) for f in features],
        "captions, all of it": lambda: list(each(paths, decoding=model.decoding, batch_size=BATCH)),
    }
    seconds = measure(tasks, rounds)
    title = f"{threads} thread{'s' * (threads > 1)}, beam {model.decoding.beam_size}"
    return "\n".join(head(title) + lines(seconds, PICTURES, "encoder alone"))


def cache_table(folder: Path, rounds: int) -> str:
    """Time building the feature cache and the frozen stages on pictures already read."""
    torch.set_num_threads(1)
    encoder = load_checkpoint(default_checkpoint()).model.encoder
    folded = load_checkpoint(default_checkpoint()).model.encoder
    folded.fold_batch_norms()
    with tempfile.TemporaryDirectory() as copies:
        paths = copy_pictures(folder, PICTURES, Path(copies))
        read = torch.stack([to_tensor(open_picture(path), encoder.image_size) for path in paths])

        def build() -> None:
            with tempfile.TemporaryDirectory() as cache:
                make_cache(encoder, paths, Path(cache), mirrored=False)

        tasks: dict[str, Callable[[], object]] = {
            "frozen stages alone": lambda: [folded.trunk(batch) for batch in read.split(BATCH)],
            "building the cache": build,
        }
        seconds = measure(tasks, rounds)
    return "\n".join(head("1 thread") + lines(seconds, PICTURES, "frozen stages alone"))


def make_cache(
    encoder: Encoder, paths: list[Path], folder: Path, *, mirrored: bool
) -> FeatureCache:
    return build_cache(
        make_map_source(encoder, autocast=False),
        paths,
        folder,
        mirrored=mirrored,
        crops=0,
        max_gib=9,
        progress=lambda done: None,
    )


def reading_table(folder: Path, rounds: int) -> str:
    """Time random access to a cache and copies of as many bytes in memory; and its size on disk."""
    encoder = load_checkpoint(default_checkpoint()).model.encoder
    with tempfile.TemporaryDirectory() as to:
        paths = copy_pictures(folder, PICTURES, Path(to))
        cache = make_cache(encoder, paths, Path(to), mirrored=True)
        order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0)).tolist()
        memory = [cache.read(index, 0, False) for index in range(len(paths))]
        tasks: dict[str, Callable[[], object]] = {
            "a copy in memory": lambda: [memory[index].clone() for index in order],
            "FeatureCache.read": lambda: [cache.read(index, 0, False) for index in order],
        }
        rows = ["| random access | GB/s of the processor | maps/s |", "| --- | --- | --- |"]
        for name, times in measure(tasks, rounds).items():
            per_map = statistics.median(cpu for _, cpu in times) / len(paths)
            size = cache.maps[0].nbytes
            rows.append(f"| {name} | {size / per_map / 1e9:.2f} | {1 / per_map:.0f} |")
    for mirrored in (False, True):
        size = make_map_source(encoder, autocast=False).cache_size(COCO, mirrored=mirrored, crops=0)
        rows.append(
            f"\n{COCO:,} pictures {'with' if mirrored else 'without'} mirror images: "
            f"{COCO:,} x {size // COCO:,} bytes = {size / 1e9:.1f} GB ({size / GIB:.1f} GiB)"
        )
    return "\n".join(rows)


def print_tables(folder: Path, rounds: int) -> None:
    cores = os.cpu_count() or 1
    print(folder_table(folder, rounds, 1), end="\n\n", flush=True)
    # With other work, threads wait for each other: see the load.
    print(folder_table(folder, rounds, cores), end="\n\n", flush=True)
    print(cache_table(folder, rounds), end="\n\n", flush=True)
    print(reading_table(folder, rounds), flush=True)


if __name__ == "__main__":
    print_tables(Path(sys.argv[1]) if sys.argv[1:] else SAMPLES, rounds=3)
