"""captioner settings: what it lists, and what it says of a name that does not exist."""

from collections.abc import Callable

import pytest

from captioner.config.run import RunConfig
from captioner.config.settings_page import to_markdown

Run = Callable[..., tuple[int, str, str]]


def test_all_settings_by_table(command: Run) -> None:
    status, out, errors = command("settings")
    assert (status, errors) == (0, "")
    tables: dict[str, list[str]] = {}
    for line in out.splitlines():
        if line.startswith("["):
            tables[line[1:].partition("]")[0]] = names = []
        elif line[2] != " ":
            names.append(line.split()[0])
    assert tables == {table: list(names) for table, names in RunConfig().tables().items()}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("label_smoothing", ["training", "  label_smoothing  0.1  0 to 0.99"]),
        ("training.label-smoothing", ["training", "  label_smoothing  0.1  0 to 0.99"]),
        ("decoding.seed", ["decoding", "  seed  0  0 to 4294967295"]),
        ("val_share", ["data", "  val_share  0.0  0 to 0.9"]),
    ],
)
def test_one_setting(command: Run, name: str, lines: list[str]) -> None:
    table, line = lines
    _, out, _ = command("settings", name)
    head, shown, description = out.splitlines()
    assert head.startswith(f"[{table}]") and shown == line and description.strip()


def test_a_name_in_two_tables_and_a_table(command: Run) -> None:
    assert command("settings", "seed")[1].count("random seed") == 2
    assert command("settings", "[model]")[1].startswith("[model]")


def test_an_unknown_name(command: Run) -> None:
    status, out, errors = command("settings", "training.epoch")
    assert (status, out) == (2, "")
    assert "no setting 'training.epoch' (did you mean epochs?)" in errors
    assert "did you mean" not in command("settings", "zzzz")[2]


def test_the_page(command: Run) -> None:
    assert command("settings", "--markdown") == (0, to_markdown(), "")
    assert command("settings", "seed", "--markdown")[0] == 2
