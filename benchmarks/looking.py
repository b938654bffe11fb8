"""Compare answer heads with attention, with the mean feature, and without the picture.

    python benchmarks/looking.py --config RECIPE.toml --work DIR

RECIPE.toml holds settings of `captioner train` with freeze_captioner and with files under [data],
such as the settings.toml of a run. All heads get the same batches in the same order. Accuracies are
on the validation questions, per set and, for made questions, per kind. Each run appends its results
to DIR/results.jsonl; run the command again to continue.
"""

import argparse
import copy
import dataclasses
import json
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from quiet import Quiet

from captioner.config.run import RunConfig
from captioner.config.toml_file import read_stages
from captioner.data.question_files import AskedQuestion
from captioner.metrics.vqa_accuracy import vqa_accuracy
from captioner.model.attention import FixedContext
from captioner.model.captioning_model import CaptioningModel
from captioner.training.loop import train_one_epoch
from captioner.training.optimizer import make_optimizer
from captioner.training.setup import Task, prepare
from captioner.training.state import Position
from captioner.training.step import answer_batch

GLIMPSES = {"attention": 2, "mean feature": 1, "blind": 0}


def train(run: RunConfig, head: str, seed: int, work: Path) -> dict[str, Any]:
    """Train one head and return its accuracy on each set."""
    run = dataclasses.replace(
        run,
        model=dataclasses.replace(run.model, glimpses=GLIMPSES[head]),
        training=dataclasses.replace(run.training, seed=seed, save_steps=10**9),
    )
    torch.manual_seed(seed)
    task = prepare(
        run, output=work, caches=work / "cache", device=torch.device("cpu"), reporter=Quiet()
    )
    if head == "mean feature":
        task.model.answer_parts()[0].attention = FixedContext()
    task.log.cut(0, 0)
    average = copy.deepcopy(task.model).requires_grad_(False)
    optimizer, position = make_optimizer(task.model, run.training), Position()
    while position.epoch < run.training.epochs:
        train_one_epoch(task, average, optimizer, position)
        position.epoch, position.batch = position.epoch + 1, 0
    return {"head": head, "seed": seed, "accuracy": score(task, average)}


@torch.no_grad()
def score(task: Task, model: CaptioningModel) -> dict[str, float]:
    """Accuracy per set (the folder of the pictures) and, for made questions, per kind."""
    assert task.val_questions is not None
    batches = task.val_questions
    model.eval()
    accuracies: dict[str, list[float]] = defaultdict(list)
    for batch in batches.epoch(0):
        logits = answer_batch(model, batch).logits
        for index, best in zip(batch.indices, logits.argmax(1).tolist(), strict=True):
            question = batches.questions[index]
            accuracy = vqa_accuracy(batches.answers[best], question.answers)
            accuracies[set_name(question)].append(accuracy)
    return {name: statistics.mean(values) for name, values in sorted(accuracies.items())}


def set_name(question: AskedQuestion) -> str:
    """The row of the table to which a question belongs."""
    if not question.made:
        return question.path.parent.parent.name
    kind = question.answer_type
    if kind == "other":
        kind = "colour" if re.search("colou?r", question.text.lower()) else "object"
    return f"made: {kind}"


def table(results: list[dict[str, Any]]) -> list[str]:
    """A Markdown table, a row per set and a column per head: mean over seeds (min to max)."""
    heads = [head for head in GLIMPSES if any(result["head"] == head for result in results)]
    lines = [f"| questions | {' | '.join(heads)} |", "| --- " * (1 + len(heads)) + "|"]
    for name in results[0]["accuracy"]:
        cells = []
        for head in heads:
            values = [result["accuracy"][name] for result in results if result["head"] == head]
            spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--heads", nargs="+", choices=list(GLIMPSES), default=list(GLIMPSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    run = read_stages(arguments.config)[""]
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    results = [json.loads(line) for line in lines]
    for seed in arguments.seeds:
        for head in arguments.heads:
            if not any((result["head"], result["seed"]) == (head, seed) for result in results):
                results.append(train(run, head, seed, arguments.work))
                with file.open("a") as opened:
                    opened.write(json.dumps(results[-1]) + "\n")
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
