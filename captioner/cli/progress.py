"""A progress bar on stderr: pictures done, pictures a second, time left."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")


class SpeedColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} pictures/s")


def show_progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Pass items on and count them on stderr, if that is a terminal and there are several."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=total < 2 or not sys.stderr.isatty(),
        redirect_stdout=False,  # Rich would wrap results and turn their tabs into spaces
    ) as progress:
        task = progress.add_task("pictures", total=total)
        for item in items:
            yield item
            progress.advance(task)
