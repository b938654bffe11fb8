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
from collections.abc import Iterable, Sequence
from pathlib import Path

from captioner.datasets import read_caption_file
from captioner.datasets.caption_facts import PictureFacts
from captioner.datasets.caption_faults import find_faults
from captioner.datasets.caption_phrases import Caption
from captioner.errors import CaptionerError
from captioner.metrics.results import matched_pictures, read_results

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


def table(annotations: Path, results: Sequence[Path]) -> list[str]:
    """Markdown: people's captions in a row, and those of each file of results."""
    references = {r.image_id: r.captions for r in read_caption_file(annotations).records}
    drawn = random.Random(1)
    five = {
        picture: drawn.sample(captions, OTHERS + 1)
        for picture, captions in references.items()
        if len(captions) > OTHERS
    }
    if not five:
        raise CaptionerError(f"{annotations}: no picture has {OTHERS + 1} captions")
    lines = [
        f"| captions of | captions | with a fault | {' | '.join(KINDS)} |",
        "| --- " * (3 + len(KINDS)) + "|",
        f"| people | {count((texts[0], texts[1:]) for texts in five.values())}",
    ]
    for file in results:
        said = read_results(file)
        matched_pictures(said, references)
        row = count((said[picture], texts[1:]) for picture, texts in five.items())
        lines.append(f"| {file} | {row}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("results", type=Path, nargs="*")
    arguments = parser.parse_args()
    try:
        print("\n".join(table(arguments.annotations, arguments.results)))
    except CaptionerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
