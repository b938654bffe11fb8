"""The log of a run: log.jsonl, a plot of the learning curve, and the same for TensorBoard."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.data.records import read_text
from captioner.errors import CaptionerError
from captioner.files import atomic_write

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# The panels of the learning curve, each with axes of its own.
PANELS = {
    "losses": ("loss", "validation loss", "validation answer loss"),
    "scores from 0 to 1": ("BLEU-4", "accuracy"),
    "CIDEr": ("CIDEr",),  # does not end at 1, so that it would flatten the others
}


class TrainingLog:
    """A JSON Lines file of records, each with its "step".

    events: what writes the numbers of each record for TensorBoard too, if anything.
    """

    def __init__(self, file: Path, events: "TensorBoardEvents | None" = None) -> None:
        self.file = file
        self.events = events

    def cut(self, step: int, epoch: int) -> None:
        """Drop records after this step and scores after this epoch, which a resumed run repeats."""
        kept = [
            record
            for record in self.records()
            if record["step"] <= step and record.get("epoch", 0) <= epoch
        ]
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        atomic_write(self.file, lambda partial: partial.write_text(lines, encoding="utf-8"))
        if self.events is not None:
            self.events.cut(step)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(record) + "\n")
        if self.events is not None:
            self.events.write(record)

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
        """Plot the losses, the scores and CIDEr over the step, the best epoch marked, as a PNG.

        The best epoch is that of best.safetensors, the last whose record says "best".
        """
        from matplotlib.figure import Figure

        records = self.records()
        best = _best_epoch(records)
        panels = [(title, _curves(records, names)) for title, names in PANELS.items()]
        panels = [(title, curves) for title, curves in panels if curves]
        columns = max(1, len(panels))
        figure = Figure(figsize=(4.5 * columns, 3.5), layout="constrained")
        grid = figure.subplots(1, columns, sharex=True, squeeze=False)
        for axes, (title, curves) in zip(grid[0], panels, strict=False):  # before any record: none
            for name, points in curves.items():
                axes.plot(*zip(*points, strict=True), label=name, marker=".")
            if best is not None:
                label = f"best epoch, {best['epoch']}" if best["epoch"] else "best: the start"
                axes.axvline(best["step"], color="grey", linestyle="--", zorder=0, label=label)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.grid(alpha=0.3)
            axes.legend()
        atomic_write(file, lambda partial: figure.savefig(partial, format="png", dpi=100))


class TensorBoardEvents:
    """The numbers of the log's records under the same names, in a folder for TensorBoard.

    Raises CaptionerError where the package tensorboard is missing.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise CaptionerError(
                "--tensorboard needs the extra tensorboard: pip install '.[tensorboard]'"
            )
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def cut(self, step: int) -> None:
        """Hide what was written after this step, which a resumed run repeats."""
        self._open(step + 1)

    def write(self, record: dict[str, Any]) -> None:
        """Write each number of a record, at its step."""
        writer = self._writer or self._open(None)
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool):
                writer.add_scalar(name, value, record["step"])
        writer.flush()  # what is written stays, however the process ends

    def _open(self, purge_step: int | None) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder), purge_step=purge_step)
        return self._writer


def _curves(
    records: list[dict[str, Any]], names: tuple[str, ...]
) -> dict[str, list[tuple[int, float]]]:
    """The points (step, value) of each of these names that was recorded."""
    found = {
        name: [(record["step"], record[name]) for record in records if name in record]
        for name in names
    }
    return {name: points for name, points in found.items() if points}


def _best_epoch(records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The record of the epoch that best.safetensors holds, None before the first epoch's end."""
    return next((record for record in reversed(records) if record.get("best")), None)
