"""A progress bar on stderr: pictures done, pictures a second, time left."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.text import Text

Item = TypeVar("Item")


class SpeedColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} pictures/s")


def show_progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Pass items on and count them on stderr, if that is a terminal and there are several."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeLeftColumn(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=total < 2 or not console.is_terminal,
        # On a terminal, what is printed meanwhile has to go above the bar; elsewhere, untouched.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        task = progress.add_task("pictures", total=total)
        for item in items:
            yield item
            progress.advance(task)
