"""What --help shows: the options in panels, where each default comes from, and examples."""

from typing import Any

import typer
from typer.core import TyperCommand

from captioner.errors import CaptionerError

ARGUMENTS = "Arguments"
PICTURES = "Pictures"
DATA = "Data"
DECODING = "Decoding"
TRAINING = "Training"
MODEL = "Model"
SCORES = "Scores"
SERVER = "Server"
CLUSTER = "Cluster"
OUTPUT = "Output"
OTHERS = "Options"
PANELS = (
    ARGUMENTS,
    PICTURES,
    DATA,
    DECODING,
    TRAINING,
    MODEL,
    SCORES,
    SERVER,
    CLUSTER,
    OUTPUT,
    OTHERS,
)

FROM_CHECKPOINT = "from the checkpoint"


class Command(TyperCommand):
    """A command whose help groups the options by their rich_help_panel.

    In plain text: Rich would double the time that --help takes, and its boxes leave too little of
    80 columns to the descriptions.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line after the command's name; arguments are called as in the list below."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return ["[OPTIONS]", *(param.metavar or param.name.upper() for param in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section of arguments and one of each panel's options."""
        panels: dict[str, list[tuple[str, str]]] = {title: [] for title in PANELS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            title = getattr(param, "rich_help_panel", None) or OTHERS
            if param.param_type_name == "argument":
                name, title = param.metavar or name, ARGUMENTS
            # Typer puts defaults that are described in words into parentheses of its own.
            if isinstance(described := getattr(param, "show_default", None), str):
                text = text.replace(f"({described})", _default(described, param.name), 1)
            panels[title].append((name, text))
        for title, records in panels.items():
            if not records:
                continue
            with formatter.section(title):
                formatter.write_dl(records)


def _default(described: str, name: str) -> str:
    """The words for a default; a checkpoint's own with the value of the bundled one."""
    if described != FROM_CHECKPOINT:
        return described
    from captioner.files import default_checkpoint
    from captioner.model.description import read_description

    try:
        value = read_description(default_checkpoint()).about["decoding"][name]
    except (CaptionerError, LookupError):  # help is given where no checkpoint is bundled, too
        return described
    return f"{described} ({value:g})"


def examples(*lines: str) -> str:
    """The end of a command's help: example calls, a line each."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def show_help_alone(context: typer.Context) -> None:
    """Print the help of a group of commands that is called without one."""
    if context.invoked_subcommand is None:
        print(context.get_help())
