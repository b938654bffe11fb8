"""How many captions say what no other of their picture names or what those rule out; people's too.

    captioner evaluate captions --images DIR --annotations FILE.json --results RESULTS.json
    python benchmarks/faults.py --annotations FILE.json RESULTS.json [RESULTS.json ...]

Every caption is held against four others of its picture, drawn at random: a person's against those
of four other people. What counts as a fault is told in captioner/datasets/caption_faults.py.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from captioner.datasets import read_caption_file
from captioner.datasets.caption_facts import PictureFacts
from captioner.datasets.caption_faults import find_faults
from captioner.datasets.caption_phrases import Caption
from captioner.metrics.results import read_results

OTHERS = 4


KINDS = ("thing", "person", "place", "action", "number")


def count(pairs: Iterable[tuple[str, list[str]]]) -> str:
    """A table's row of captions, each with the others of its picture."""
    captions, faulty, kinds = 0, 0, Counter[str]()
    for text, others in pairs:
        found = find_faults(Caption(text), PictureFacts(others))
        captions, faulty = captions + 1, faulty + bool(found)
        kinds.update(kind for kind, _ in found)
    return f"{captions} | {faulty / captions:.3f} | {' | '.join(str(kinds[k]) for k in KINDS)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("results", type=Path, nargs="*")
    arguments = parser.parse_args()
    drawn = random.Random(1)
    five = {
        record.image_id: drawn.sample(record.captions, OTHERS + 1)
        for record in read_caption_file(arguments.annotations).records
        if len(record.captions) > OTHERS
    }
    if not five:
        sys.exit(f"{arguments.annotations}: no picture has {OTHERS + 1} captions")
    print(f"| captions of | number | with a fault | {' | '.join(KINDS)} |")
    print("| --- " * (3 + len(KINDS)) + "|")
    print("| people |", count((texts[0], texts[1:]) for texts in five.values()))
    for file in arguments.results:
        said = read_results(file)
        print(f"| {file} |", count((said[key], five[key][1:]) for key in five if key in said))


if __name__ == "__main__":
    main()
