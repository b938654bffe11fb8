"""Compare captioner's scorer with pycocoevalcap and its Java tokenizer.

    python benchmarks/scoring.py ANNOTATIONS.json --pictures 5000 --runs 5

Both tokenize and score BLEU-1..4, ROUGE-L and CIDEr, alternating, each in a new process. Measured
are the scoring alone, and the whole process, which includes imports, reading and, in captioner, the
bootstrap intervals. On a busy machine, compare the processor times.

The candidates are made up: every second picture gets the first caption of another picture, the rest
their own without its fourth word. Needs Java and `pip install '.[official]'`.

In this benchmark nltk takes 0.9 of captioner's 2.3 processor seconds: 0.15 to import and 0.75 to
count the n-grams of BLEU, one caption and order at a time. If scipy is installed, nltk imports it,
which neither scorer needs and which takes most of another second.
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
CAPTIONER = "from captioner.cli import main; main()"


def write_files(annotations: Path, pictures: int, folder: Path) -> tuple[Path, Path]:
    """Write candidates and five references per picture."""
    references: dict[int, list[str]] = {}
    for record in json.loads(annotations.read_text())["annotations"]:
        references.setdefault(record["image_id"], []).append(record["caption"])
    references = {picture: texts[:5] for picture, texts in references.items() if len(texts) >= 5}
    references = dict(list(references.items())[:pictures])
    if len(references) < pictures:
        sys.exit(f"{annotations} has {len(references)} pictures with five captions, not {pictures}")
    candidates, previous = [], list(references)[-1]
    for number, (picture, texts) in enumerate(references.items()):
        words = texts[0].split()
        text = references[previous][0] if number % 2 else " ".join(words[:3] + words[4:])
        candidates.append({"image_id": picture, "caption": text})
        previous = picture
    records = [{"image_id": key, "caption": text} for key in references for text in references[key]]
    files = folder / "results.json", folder / "annotations.json"
    files[0].write_text(json.dumps(candidates))
    files[1].write_text(json.dumps({"annotations": records}))
    return files


def score_official(results: Path, annotations: Path) -> None:
    """Score with pycocoevalcap and print the scores as JSON, like the command."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    start = time.perf_counter()
    candidates = {record["image_id"]: [record] for record in json.loads(results.read_text())}
    references: dict[int, list[dict]] = {}
    for record in json.loads(annotations.read_text())["annotations"]:
        references.setdefault(record["image_id"], []).append(record)
    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        texts, results_by_id = tokenizer.tokenize(references), tokenizer.tokenize(candidates)
        metrics = (Bleu(4), Rouge(), Cider())
        bleu, rouge, cider = (metric.compute_score(texts, results_by_id)[0] for metric in metrics)
    scores = dict(zip(NAMES, map(float, (*bleu, rouge, cider)), strict=True))
    print(json.dumps({"scores": scores, "scoring": time.perf_counter() - start}))


def score_captioner(results: Path, annotations: Path) -> None:
    """Score with captioner.metrics and print the same; the time includes reading, not imports."""
    import nltk.translate.bleu_score  # noqa: F401  (timed with the process, not with the scoring)

    from captioner.metrics import score_captions
    from captioner.metrics.caption_results import read_references, read_results

    start = time.perf_counter()
    scores = score_captions(read_results(results), read_references(annotations)).values
    print(json.dumps({"scores": scores, "scoring": time.perf_counter() - start}))


def run(command: list[str]) -> dict:
    """Run a command: its scores, seconds, processor seconds (with children) and peak MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed")
    measured = {"wall": seconds, "cpu": usage.ru_utime + usage.ru_stime}
    return json.loads(output) | measured | {"MiB": usage.ru_maxrss / 1024}


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
        score_captioner(arguments.ours, arguments.annotations)
        return
    measured: dict[str, list[dict]] = {"captioner": [], "pycocoevalcap": []}
    scoring: list[float] = []  # of captioner, without the rest of its process
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(arguments.annotations, arguments.pictures, Path(folder))
        results, annotations = map(str, files)
        command = ["score", "captions", results, annotations, "--json"]
        script = [sys.executable, __file__, annotations]
        for _ in range(arguments.runs):
            measured["captioner"].append(run([sys.executable, "-c", CAPTIONER, *command]))
            scoring.append(run([*script, "--ours", results])["scoring"])
            measured["pycocoevalcap"].append(run([*script, "--official", results]))
    print("| | s (range) | processor s | largest process, MiB |\n| --- | --- | --- | --- |")
    for tool, runs in measured.items():
        wall, cpu, memory = ([values[key] for values in runs] for key in ("wall", "cpu", "MiB"))
        spread = f"{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})"
        print(f"| {tool} | {spread} | {statistics.median(cpu):.2f} | {max(memory):.0f} |")
    pairs = list(zip(measured["captioner"], measured["pycocoevalcap"], strict=True))
    wall, cpu = (statistics.median(b[key] / a[key] for a, b in pairs) for key in ("wall", "cpu"))
    official = [values["scoring"] for values in measured["pycocoevalcap"]]
    ratios = [second / first for first, second in zip(scoring, official, strict=True)]
    for name, values in (
        ("Scoring alone, captioner, s", scoring),
        ("Scoring alone, pycocoevalcap, s", official),
        ("Times as fast", ratios),
    ):
        print(f"{name}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    gaps = [abs(a["scores"][name] - b["scores"][name]) for a, b in pairs for name in NAMES]
    print(f"\nThe process: {wall:.1f} times as fast, {cpu:.1f} by processor time (medians).")
    print(f"Largest difference of a score: {max(gaps):.1e}.")


if __name__ == "__main__":
    main()
