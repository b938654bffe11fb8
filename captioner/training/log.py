"""The log of a run: log.jsonl, one JSON object per line, and a plot of the learning curve."""

import json
from pathlib import Path
from typing import Any

from captioner.files import atomic_write


class TrainingLog:
    """A JSON Lines file of records, each with its "step"."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def cut(self, step: int, epoch: int) -> None:
        """Drop records after this step and scores after this epoch, which a resumed run repeats."""
        kept = [
            record
            for record in self.records()
            if record["step"] <= step and record.get("epoch", 0) <= epoch
        ]
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        atomic_write(self.file, lambda partial: partial.write_text(lines, encoding="utf-8"))

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All records so far, except for a last line cut off by a crash."""
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def draw(self, file: Path) -> None:
        """Plot training and validation loss and the scores over the step, as a PNG."""
        from matplotlib.figure import Figure

        records = self.records()
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        losses, scores = figure.subplots(1, 2)
        for axes, names in (
            (losses, ("loss", "validation loss", "validation answer loss")),
            (scores, ("BLEU-4", "CIDEr", "accuracy")),
        ):
            for name in names:
                points = [(record["step"], record[name]) for record in records if name in record]
                if points:
                    axes.plot(*zip(*points, strict=True), label=name, marker=".")
            axes.set_xlabel("step")
            axes.legend()
        atomic_write(file, lambda partial: figure.savefig(partial, format="png", dpi=100))
