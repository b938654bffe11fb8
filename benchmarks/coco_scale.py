"""What training on all of COCO costs before its first step and at the start of each epoch.

    python benchmarks/coco_scale.py CAPTIONS.json IMAGES [--pictures 118287]

Makes a stand-in for COCO's 118,287 training pictures and 591,435 captions: hard links to the
pictures of a caption file in COCO's form, with its captions dealt out to them again. Then takes,
in one process, what training does before its first step, in processor seconds, and the largest
memory so far. The pictures themselves are not decoded.
"""

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.data.caption_batches import CaptionBatches
from captioner.data.caption_files import read_captions
from captioner.data.picture_loading import PictureSource
from captioner.data.vocabulary import Vocabulary
from captioner.data.word_coverage import default_min_count
from captioner.training.data import read_data

Result = TypeVar("Result")
CAPTIONS = 5  # of each picture


class Unread(PictureSource):
    """A source whose pictures are never read."""

    def load(self, groups: Any, collate: Any) -> Iterator[Any]:
        del groups, collate
        return iter(())


def make_stand_in(captions: Path, images: Path, folder: Path, pictures: int) -> RunConfig:
    """Write the pictures and captions; returns the settings of a run on them."""
    found = read_captions(captions, [images])
    texts = [text for item in found for text in item.captions]
    copies = folder / "copies"
    copies.mkdir()
    files = [Path(shutil.copy(item.path, copies)) for item in found[:300]]
    (folder / "images").mkdir()
    records, annotations = [], []
    for number in range(pictures):
        name = f"COCO_train2014_{number:012d}.jpg"
        os.link(files[number % len(files)], folder / "images" / name)
        records.append({"id": number, "file_name": name})
        for place in range(CAPTIONS):
            caption = texts[(number * CAPTIONS + place) % len(texts)]
            annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
    for part, count in (("train", pictures), ("val", 100)):
        content = {"images": records[:count], "annotations": annotations[: count * CAPTIONS]}
        (folder / f"{part}.json").write_text(json.dumps(content))
    return RunConfig(
        data=DataConfig(
            images=(str(folder / "images"),),
            train=SplitConfig(captions=(str(folder / "train.json"),)),
            val=SplitConfig(captions=(str(folder / "val.json"),)),
        )
    )


def measure(name: str, work: Callable[[], Result]) -> Result:
    """Run a part and print its processor seconds and the largest memory so far."""
    start = time.process_time()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {name} | {time.process_time() - start:.1f} | {peak:.2f} |", flush=True)
    return result


def run(config: RunConfig) -> None:
    """Measure each part of a run's start."""
    print("| part | processor seconds | largest memory so far, GiB |\n| --- | --- | --- |")
    train, _ = measure("read captions, find pictures", lambda: read_data(config))
    texts: Sequence[str] = train.caption_texts()
    vocabulary = measure(
        "vocabulary", lambda: Vocabulary.build(texts, min_count=default_min_count(len(texts)))
    )
    source = Unread(train.paths(), config.training, image_size=225, cache=None)
    batches = measure(
        "captions as tokens",
        lambda: CaptionBatches(train.captions, vocabulary, config.training, source),
    )
    measure("start of an epoch", lambda: batches.epoch(0))


def main() -> None:
    """Make the stand-in in a temporary folder and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--pictures", type=int, default=118_287)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        config = make_stand_in(
            arguments.captions, arguments.images, Path(folder), arguments.pictures
        )
        run(config)


if __name__ == "__main__":
    main()
