"""captioner settings: every setting of a training run, with its default and range."""

from difflib import get_close_matches
from typing import Annotated

import typer

from captioner.cli.help_pages import OUTPUT, examples
from captioner.config.settings_page import TABLES, Setting, list_settings, to_markdown
from captioner.errors import CaptionerError

EXAMPLES = examples(
    "captioner settings",
    "captioner settings decoding",
    "captioner settings training.label_smoothing",
)


def settings(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A table, a setting, or table.setting.", show_default="all"
        ),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Print the page docs/settings.md.", rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """List every setting with its default and range.

    A TOML file of captioner train --config has them in its tables; --set TABLE.KEY=VALUE sets one.
    """
    if markdown:
        if name is not None:
            raise CaptionerError(f"--markdown prints the whole page; leave {name!r} out")
        print(to_markdown(), end="")
        return
    found = list_settings() if name is None else find_settings(name)
    widths = [max(len(one.name) for one in found), max(len(one.default) for one in found)]
    for table, about in TABLES.items():
        chosen = [one for one in found if one.table == table]
        if chosen:
            print(f"[{table}]  {about}")
        for one in chosen:
            print(f"  {one.name:<{widths[0]}}  {one.default:<{widths[1]}}  {one.values}")
            print(f"  {'':<{widths[0]}}  {one.description}")


def find_settings(name: str) -> list[Setting]:
    """The settings of a table, of a name with or without the table before it, or of part of one.

    Raises CaptionerError where there is none.
    """
    every = list_settings()
    wanted = name.replace("-", "_").strip("[]")
    found = [one for one in every if wanted in (one.table, one.name, f"{one.table}.{one.name}")]
    if not found and wanted:
        found = [one for one in every if wanted in one.name]
    if not found:
        known = [*TABLES, *(one.name for one in every)]
        [nearest] = get_close_matches(wanted.rpartition(".")[2], known, n=1) or [""]
        raise CaptionerError(
            f"there is no setting {name!r}{f' (did you mean {nearest}?)' * bool(nearest)}; "
            "captioner settings lists them all"
        )
    return found
