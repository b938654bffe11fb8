"""Scoring captions side by side with pycocoevalcap and its Java tokenizer.

    python benchmarks/scoring.py ANNOTATIONS.json --pictures 5000 --runs 5

Both tokenize, then score BLEU-1..4, ROUGE-L and CIDEr, each in a fresh process, turn and turn
about. Five pictures come first, unmeasured: imports are not in the scoring time, but in the whole.
The candidates are made: every second picture gets another picture's first caption, the rest their
own without its fourth word. Needs Java and `pip install 'captioner[official]'`.
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")


def read(file: Path, pictures: int) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Make candidates and take five references a picture."""
    references: dict[int, list[str]] = {}
    for record in json.loads(file.read_text())["annotations"]:
        references.setdefault(record["image_id"], []).append(record["caption"])
    references = {picture: texts[:5] for picture, texts in references.items() if len(texts) >= 5}
    references = dict(list(references.items())[:pictures])
    if len(references) < pictures:
        sys.exit(f"{file} has {len(references)} pictures with five captions, not {pictures}")
    candidates, previous = {}, list(references)[-1]
    for number, (picture, texts) in enumerate(references.items()):
        words = texts[0].split()
        candidates[picture] = (
            references[previous][0] if number % 2 else " ".join(words[:3] + words[4:])
        )
        previous = picture
    return candidates, references


def score_ours(candidates: dict[int, str], references: dict[int, list[str]]) -> dict[str, float]:
    from captioner.metrics import score_captions

    return score_captions(candidates, references).values


def score_official(
    candidates: dict[int, str], references: dict[int, list[str]]
) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    said = tokenizer.tokenize({key: [{"caption": text}] for key, text in candidates.items()})
    wanted = tokenizer.tokenize(
        {key: [{"caption": text} for text in texts] for key, texts in references.items()}
    )
    values = [*Bleu(4).compute_score(wanted, said)[0]]
    values += [Rouge().compute_score(wanted, said)[0], Cider().compute_score(wanted, said)[0]]
    return dict(zip(NAMES, map(float, values), strict=True))


def run_one(tool: str, file: Path, pictures: int) -> None:
    """Score once in this process; print seconds, MiB (with Java's) and the scores."""
    begun = time.perf_counter()
    candidates, references = read(file, pictures)
    score = {"captioner": score_ours, "pycocoevalcap": score_official}[tool]
    with contextlib.redirect_stdout(io.StringIO()):
        score(*(dict(list(part.items())[:5]) for part in (candidates, references)))
        start = time.perf_counter()
        values = score(candidates, references)
        seconds = time.perf_counter() - start
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024
    whole = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "whole": whole, "MiB": memory, "scores": values}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tool", choices=("captioner", "pycocoevalcap"), help="one run of one")
    arguments = parser.parse_args()
    if arguments.tool:
        run_one(arguments.tool, arguments.annotations, arguments.pictures)
        return
    runs: dict[str, list[dict]] = {"captioner": [], "pycocoevalcap": []}
    for _ in range(arguments.runs):
        for tool, done in runs.items():
            command = [sys.executable, *sys.argv, "--tool", tool]
            done.append(json.loads(subprocess.check_output(command, text=True)))
    print(
        "| | scoring, s (least to most) | with imports and reading, s | peak MiB, Python + Java |"
    )
    print("| --- | --- | --- | --- |")
    for tool, done in runs.items():
        seconds = [run["seconds"] for run in done]
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        whole, memory = (statistics.median(run[key] for run in done) for key in ("whole", "MiB"))
        print(f"| {tool} | {spread} | {whole:.2f} | {memory:.0f} |")
    ours, theirs = runs["captioner"][0]["scores"], runs["pycocoevalcap"][0]["scores"]
    ratio = statistics.median(
        slow["seconds"] / fast["seconds"]
        for fast, slow in zip(runs["captioner"], runs["pycocoevalcap"], strict=True)
    )
    print(f"\n{ratio:.1f} times as fast (median of the runs' ratios).")
    print(f"Largest difference of a score: {max(abs(ours[n] - theirs[n]) for n in NAMES):.1e}.")


if __name__ == "__main__":
    main()
