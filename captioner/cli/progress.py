"""A progress bar on stderr: pictures done, pictures a second, time left."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def show_progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Pass items on and count them on stderr, if that is a terminal and there are several."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} pictures/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # Rich would wrap results and turn their tabs into spaces
    ) as progress:
        task = progress.add_task("pictures", total=total, speed=0.0)
        for item in items:
            yield item
            progress.update(task, advance=1, speed=progress.tasks[task].speed or 0.0)
