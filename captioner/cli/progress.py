"""Progress on stderr: a bar on a terminal, elsewhere a line every few seconds.

Both show how much is done, how much of it per second, and the time left.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

SECONDS_BETWEEN_LINES = 8.0
BAR_WIDTH = 16
MEGABYTE = 1_000_000

Item = TypeVar("Item")


class Rate:
    """How much of one task is finished per second, over all the time that was spent on it.

    Batches that finish together come in bursts: over a shorter time the rate would be theirs.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.finished = 0
        self.done = 0
        self.time: float | None = None

    def resume(self) -> None:
        """Leave out the time since the last update, which went into another task."""
        self.time = None

    def update(self, done: int, now: float) -> None:
        """Count what is done by now; less than before is the task begun again."""
        if done < self.done:
            self.seconds, self.finished, self.time = 0.0, 0, None
        if self.time is not None:
            self.seconds += now - self.time
            self.finished += done - self.done
        self.done, self.time = done, now

    def per_second(self) -> float:
        """0 while nothing is known."""
        return self.finished / self.seconds if self.finished and self.seconds > 0 else 0.0


class Progress:
    """Shows one task at a time, the latest; to be used in a with statement."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.rates: dict[str, Rate] = {}
        self.task: str | None = None
        self.line = ""
        self.printed = ""
        self.bar: Any = None
        self.ended = threading.Event()
        self.printer = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            self.bar = _make_bar()
            self.bar.start()
        else:
            self.printer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            return
        self.ended.set()
        self.printer.join()
        if self.printed:  # a run of a few seconds says nothing
            self._print()

    def update(self, task: str, done: int, total: int, *, unit: str = "", detail: str = "") -> None:
        """Show that `done` of `total` are finished; called with 0 when the task begins.

        unit: of what; "bytes" are shown as megabytes.
        """
        rate = self.rates.setdefault(task, Rate())
        if task != self.task:
            rate.resume()
        rate.update(done, self.clock())
        if self.bar is not None:
            self._draw(task, done, total, describe(rate, total, unit), detail)
        self.task = task
        self.line = f"{task} {describe(rate, total, unit)} {detail}".strip()

    def note(self, text: str) -> None:
        """Show a message of one line, which stays."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _draw(self, task: str, done: int, total: int, counts: str, detail: str) -> None:
        if task != self.task:
            for earlier in self.bar.task_ids:
                self.bar.remove_task(earlier)
            self.bar.add_task(task, total=total, counts=counts, detail=detail)
        [shown] = self.bar.task_ids
        self.bar.update(shown, completed=done, total=total, counts=counts, detail=detail)

    def _print_lines(self) -> None:
        while not self.ended.wait(SECONDS_BETWEEN_LINES):
            self._print(again=True)

    def _print(self, *, again: bool = False) -> None:
        """Print the latest line; `again` even where nothing has been finished since."""
        if self.line and (again or self.line != self.printed):
            self.printed = self.line
            print(self.line, file=sys.stderr, flush=True)


def describe(rate: Rate, total: int, unit: str) -> str:
    """What is done, the rate and the time left, such as 40/100 8.0 pictures/s 0:08 left."""
    speed = rate.per_second()
    left = clock_time((total - rate.done) / speed) if speed else "-:--"
    if unit == "bytes":
        megabytes = f"{speed / MEGABYTE:.1f}" if speed else "-"
        return f"{rate.done / MEGABYTE:.0f}/{total / MEGABYTE:.0f} MB {megabytes} MB/s {left} left"
    each = f"{speed:.{1 if speed >= 1 else 2}f}" if speed else "-"
    return f"{rate.done}/{total} {each}{f' {unit}' * bool(unit)}/s {left} left"


def clock_time(seconds: float) -> str:
    """Seconds as 0:08, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _make_bar() -> Any:
    """A bar of Rich; of its parts only the detail at its end is cut where it is too narrow."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    whole = Column(no_wrap=True)
    cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=whole),
        BarColumn(BAR_WIDTH),
        TextColumn("{task.fields[counts]}", markup=False, table_column=whole),
        TextColumn("{task.fields[detail]}", markup=False, table_column=cut),
        console=Console(stderr=True),
        expand=True,
        transient=True,
        redirect_stdout=False,  # Rich would wrap results and turn their tabs into spaces
    )


def show_progress(items: Iterable[Item], total: int, unit: str = "pictures") -> Iterator[Item]:
    """Pass items on and count them, if there are several."""
    if total < 2:
        yield from items
        return
    with Progress() as progress:
        progress.update("", 0, total, unit=unit)
        for done, item in enumerate(items, start=1):
            yield item
            progress.update("", done, total, unit=unit)
