"""The log of a run: log.jsonl, one JSON object per line, and a plot of the learning curve."""

import json
from pathlib import Path
from typing import Any

from captioner.data.records import read_text
from captioner.errors import CaptionerError
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
        """All records so far; a last line that was cut off by a crash is not one.

        Raises CaptionerError, naming the line, for one that is no record.
        """
        if not self.file.exists():
            return []
        lines = read_text(self.file).split("\n")
        return [self._record(number, line) for number, line in enumerate(lines[:-1], start=1)]

    def _record(self, number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
            if isinstance(record["step"], int) and isinstance(record.get("epoch", 0), int):
                return record
        except (ValueError, RecursionError, TypeError, LookupError, AttributeError):
            pass
        raise CaptionerError(
            f"{self.file}, line {number}: no record of a step; remove that line, or the file, "
            "which only people read"
        )

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
