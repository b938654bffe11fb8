"""What --help shows, for every command that there is."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from captioner import cli
from captioner.cli import help_pages
from captioner.config.settings import TrainingConfig
from captioner.errors import CaptionerError
from captioner.files import default_checkpoint
from captioner.model.description import read_description

Run = Callable[..., tuple[int, str, str]]


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


ALL = list(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_examples_and_no_python_types(command: Run, path: tuple[str, ...]):
    status, page, _ = command(*path, "-h")
    assert (status, page) == (0, command(*path, "--help")[1])
    assert not re.search(r"<\w+( \w+)?>|\bTEXT\.\.\.|int range|list\[", page)
    examples = page.partition("Examples:")[2]
    assert 2 <= examples.count(f"  captioner {' '.join(path)} ") <= 3 or path == ("serve",)
    assert max(map(len, page.partition("Examples:")[0].splitlines())) <= 80
    assert page.rstrip().count("\n  --help") == 0  # -h stands beside it


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_examples_have_only_options_that_exist(command: Run, path: tuple[str, ...]):
    page, _, examples = command(*path, "--help")[1].partition("Examples:")
    used = set(re.findall(r" (--[a-z-]+)", examples))
    assert used <= set(re.findall(r"(--[a-z-]+)", page)), used


@pytest.mark.parametrize("group", [[], ["evaluate"], ["score"], ["data"]], ids=" ".join)
def test_no_description_of_a_command_is_cut(command: Run, group: list[str]):
    assert "..." not in command(*group, "--help")[1].partition("Commands:")[2]


@pytest.mark.parametrize("group", ["evaluate", "score", "data"])
def test_a_group_alone_shows_its_help(command: Run, group: str):
    status, page, errors = command(group)
    assert (status, errors) == (0, "")
    assert page == command(group, "--help")[1]


def test_defaults_of_decoding_are_those_of_the_bundled_checkpoint(command: Run, monkeypatch):
    stored = read_description(default_checkpoint()).about["decoding"]
    page = " ".join(command("caption", "--help")[1].split())
    for name in ("beam_size", "max_words", "block_ngrams"):
        shown = page.partition(f"--{name.replace('_', '-')} ")[2].partition("]")[0]
        assert f"[default: from the checkpoint ({stored[name]});" in shown

    def absent() -> None:
        raise CaptionerError("none is bundled")

    monkeypatch.setattr("captioner.files.default_checkpoint", absent)
    page = " ".join(command("caption", "--help")[1].split())
    assert "[default: from the checkpoint; x>=1]" in page


def test_defaults_of_training_are_those_of_the_settings(command: Run):
    page = " ".join(command("train", "--help")[1].split())
    shown = page.partition("--epochs N")[2].partition("]")[0]
    assert shown.endswith(f"[default: {TrainingConfig().epochs}")


def test_options_stand_in_panels(command: Run):
    titles = re.findall(r"^(\w+):$", command("caption", "--help")[1], flags=re.MULTILINE)
    assert titles == ["Arguments", "Pictures", "Decoding", "Model", "Output", "Options"]
    assert [title for title in help_pages.PANELS if title in titles] == titles


def test_completion_offers_commands_and_options(monkeypatch, capsys):
    """As a shell asks for it: the words so far in the environment."""
    for words, offered in (
        ("captioner ca", "caption"),
        ("captioner caption --beam", "--beam-size"),
    ):
        monkeypatch.setenv("_CAPTIONER_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        with pytest.raises(SystemExit) as end:
            cli.run([])
        assert end.value.code == 0
        assert offered in capsys.readouterr().out.split()
