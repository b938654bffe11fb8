"""The long run: kills, power cuts, damaged inputs, thousands of requests and pictures.

Not part of the suite. All of it takes less than an hour on two cores; --parts chooses some of it:

    sudo python tests/attack/long.py --pictures FOLDER
    python tests/attack/long.py --parts kills texts --share 0.1
    sudo python tests/attack/long.py --parts cuts --mount-options noauto_da_alloc

--share runs that share of the tries of each part. Power cuts need root and mkfs.ext4; requests and
captions need Linux. Captions and batches take photographs from --pictures, any folder of them.
--without-sync shows what power cuts do if nothing waits for the disk: with noauto_da_alloc, files
that are empty. Prints a table, and on stderr a line for each loss; ends with status 1 if there
is one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' helpers
from many_captions import caption_in_batches, caption_many
from mutated_inputs import damaged_checkpoints, damaged_pictures, damaged_texts
from mutated_requests import requests
from power_cuts import cut_often
from repeated_training import kill_often, train_with_workers

# How often each part is tried.
TRIES = {
    "kills": 30,
    "cuts": 10,
    "pictures": 10_000,
    "checkpoints": 1000,
    "texts": 2000,
    "requests": 5000,
    "captions": 3000,
    "batches": 10,
    "workers": 8,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=TRIES, default=list(TRIES))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--mount-options", default="defaults")
    parser.add_argument("--without-sync", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if not asked.pictures and {"captions", "batches"} & set(asked.parts):
        parser.error("captions and batches need --pictures FOLDER")
    print(
        "| part | tries | survived | lost | seconds |\n| --- | --- | --- | --- | --- |", flush=True
    )
    failed = False
    for part in asked.parts:
        tries = max(2, round(TRIES[part] * asked.share))
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            lost = parts(Path(folder), asked)[part](tries)
        seconds = time.monotonic() - started
        print(*lost, sep="\n", end="\n" if lost else "", file=sys.stderr)
        survived = max(0, tries - len(lost))
        print(f"| {part} | {tries} | {survived} | {len(lost)} | {seconds:.0f} |", flush=True)
        failed = failed or bool(lost)
    sys.exit(failed)


def parts(folder: Path, asked: argparse.Namespace) -> dict[str, Callable[[int], list[str]]]:
    """Each part as a function of the number of tries, which gives a line for each loss."""
    return {
        "kills": partial(kill_often, folder=folder, seed=asked.seed),
        "cuts": partial(
            cut_often,
            folder=folder,
            seed=asked.seed,
            mount_options=asked.mount_options,
            without_sync=asked.without_sync,
        ),
        "pictures": partial(damaged_pictures, seed=asked.seed),
        "checkpoints": partial(damaged_checkpoints, seed=asked.seed),
        "texts": partial(damaged_texts, seed=asked.seed),
        "requests": partial(requests, seed=asked.seed),
        "captions": partial(caption_many, pictures=asked.pictures),
        "batches": partial(caption_in_batches, pictures=asked.pictures),
        "workers": partial(train_with_workers, folder=folder),
    }


if __name__ == "__main__":
    main()
