"""Our scorer side by side with pycocoevalcap and its Java tokenizer.

    python benchmarks/scoring.py ANNOTATIONS.json --pictures 5000 --runs 5

Tokenizing and scoring BLEU-1..4, ROUGE-L and CIDEr, turn and turn about, each in a fresh process:
the scoring alone, and the process from its start to its end, which adds imports and reading and, in
our command, the bootstrap intervals. On a busy machine the processor time is what compares.

The candidates are made: every second picture gets another picture's first caption, the rest their
own without its fourth word. Needs Java and `pip install 'captioner[official]'`.

Measured so, nltk takes 0.9 of our 2.3 processor seconds: 0.15 to import and 0.75 to count BLEU's
n-grams, one caption and order at a time. Where scipy is installed, nltk imports it, which neither
scorer needs and costs ours most of another second.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
OURS = "from captioner.cli import main; main()"


def write_files(annotations: Path, pictures: int, folder: Path) -> tuple[Path, Path]:
    """Write candidates and five references a picture."""
    references: dict[int, list[str]] = {}
    for record in json.loads(annotations.read_text())["annotations"]:
        references.setdefault(record["image_id"], []).append(record["caption"])
    references = {picture: texts[:5] for picture, texts in references.items() if len(texts) >= 5}
    references = dict(list(references.items())[:pictures])
    if len(references) < pictures:
        sys.exit(f"{annotations} has {len(references)} pictures with five captions, not {pictures}")
    said, previous = [], list(references)[-1]
    for number, (picture, texts) in enumerate(references.items()):
        words = texts[0].split()
        text = references[previous][0] if number % 2 else " ".join(words[:3] + words[4:])
        said.append({"image_id": picture, "caption": text})
        previous = picture
    wanted = [{"image_id": key, "caption": text} for key in references for text in references[key]]
    files = folder / "results.json", folder / "annotations.json"
    files[0].write_text(json.dumps(said))
    files[1].write_text(json.dumps({"annotations": wanted}))
    return files


def score_official(results: Path, annotations: Path) -> None:
    """Score with pycocoevalcap and print what the command prints with --json."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    begun = time.perf_counter()
    candidates = {record["image_id"]: [record] for record in json.loads(results.read_text())}
    references: dict[int, list[dict]] = {}
    for record in json.loads(annotations.read_text())["annotations"]:
        references.setdefault(record["image_id"], []).append(record)
    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        said, wanted = tokenizer.tokenize(candidates), tokenizer.tokenize(references)
        values = [*Bleu(4).compute_score(wanted, said)[0]]
        values += [Rouge().compute_score(wanted, said)[0], Cider().compute_score(wanted, said)[0]]
    scores = dict(zip(NAMES, map(float, values), strict=True))
    print(json.dumps({"scores": scores, "scoring": time.perf_counter() - begun}))


def score_ours(results: Path, annotations: Path) -> None:
    """Score with captioner.metrics and print the same, without imports but with the reading."""
    import nltk.translate.bleu_score  # noqa: F401  (timed with the process, not with the scoring)

    from captioner.metrics import score_captions
    from captioner.metrics.caption_results import read_references, read_results

    begun = time.perf_counter()
    scores = score_captions(read_results(results), read_references(annotations)).values
    print(json.dumps({"scores": scores, "scoring": time.perf_counter() - begun}))


def run(command: list[str]) -> dict:
    """Run a command; give its scores, seconds, processor seconds (children's too) and peak MiB."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        sys.exit(f"{' '.join(command)} failed")
    processor = usage.ru_utime + usage.ru_stime
    memory = usage.ru_maxrss / 1024
    return json.loads(output) | {"wall": seconds, "cpu": processor, "MiB": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--official", type=Path, metavar="RESULTS", help="score this; no benchmark")
    parser.add_argument("--ours", type=Path, metavar="RESULTS", help="score this; no benchmark")
    arguments = parser.parse_args()
    if arguments.official:
        score_official(arguments.official, arguments.annotations)
        return
    if arguments.ours:
        score_ours(arguments.ours, arguments.annotations)
        return
    done: dict[str, list[dict]] = {"captioner": [], "pycocoevalcap": []}
    alone: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(arguments.annotations, arguments.pictures, Path(folder))
        results, annotations = map(str, files)
        ours = [sys.executable, "-c", OURS, "score", "captions", results, annotations, "--json"]
        theirs = [sys.executable, __file__, annotations, "--official", results]
        for _ in range(arguments.runs):
            done["captioner"].append(run(ours))
            alone.append(run([sys.executable, __file__, annotations, "--ours", results])["scoring"])
            done["pycocoevalcap"].append(run(theirs))
    print("| | s (least to most) | processor s | largest process, MiB |\n| --- | --- | --- | --- |")
    for tool, runs in done.items():
        wall, cpu, memory = ([each[key] for each in runs] for key in ("wall", "cpu", "MiB"))
        spread = f"{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})"
        print(f"| {tool} | {spread} | {statistics.median(cpu):.2f} | {max(memory):.0f} |")
    pairs = list(zip(done["captioner"], done["pycocoevalcap"], strict=True))
    wall, cpu = (statistics.median(b[key] / a[key] for a, b in pairs) for key in ("wall", "cpu"))
    scoring = [each["scoring"] for each in done["pycocoevalcap"]]
    ratios = [theirs / ours for ours, theirs in zip(alone, scoring, strict=True)]
    print(
        f"\nScoring alone: {statistics.median(alone):.2f} s ({min(alone):.2f} to {max(alone):.2f})"
    )
    print(f"against {statistics.median(scoring):.2f} ({min(scoring):.2f} to {max(scoring):.2f}):")
    print(
        f"{statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})."
    )
    gaps = [abs(a["scores"][name] - b["scores"][name]) for a, b in pairs for name in NAMES]
    print(f"\nThe process: {wall:.1f} times as fast, {cpu:.1f} by processor time (medians).")
    print(f"Largest difference of a score: {max(gaps):.1e}.")


if __name__ == "__main__":
    main()
