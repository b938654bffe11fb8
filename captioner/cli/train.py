"""captioner train: train on captions, on questions or on both, or go on training."""

from __future__ import annotations

import signal
import sys
import tomllib
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captioner.config.settings import CELLS
from captioner.errors import CaptionerError, LostWorker

if TYPE_CHECKING:
    from captioner.config.settings import RunConfig

# The options that set one setting each, by its table; --set reaches all the others.
FLAGS = {
    "data": (
        "images",
        "captions",
        "val_captions",
        "questions",
        "answers",
        "image_names",
        "val_questions",
        "val_answers",
        "val_image_names",
        "val_share",
        "skip_missing",
    ),
    "model": ("encoder", "cell", "layers", "attention", "tokens", "glimpses"),
    "training": (
        "epochs",
        "pictures_per_batch",
        "learning_rate",
        "seed",
        "encoder_weights",
        "fine_tune_from",
        "truncate_steps",
        "start_from",
        "extend_vocabulary",
        "freeze_captioner",
    ),
    "decoding": (),
}

# What can change while a run goes on: how fast and how steadily it learns, not what or from what.
CHANGEABLE = (
    "learning_rate",
    "encoder_learning_rate",
    "warm_up_steps",
    "clip_norm",
    "autocast",
    "patience",
    "save_steps",
    "workers",
    "max_cache_gib",
)


def train(
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, log and cache.")],
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of pictures; may be given several times.")
    ] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option(help="Any file that data/README.md shows; several are joined."),
    ] = None,
    val_captions: Annotated[
        list[Path] | None, typer.Option(help="Held-out captions; several are joined.")
    ] = None,
    questions: Annotated[
        list[Path] | None, typer.Option(help="Questions in VQA's form; several are joined.")
    ] = None,
    answers: Annotated[
        list[Path] | None, typer.Option(help="Their annotations, one file for each of --questions.")
    ] = None,
    image_names: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="JSON map from image id to file name, one for each of --questions, or none; "
            "needed where pictures are not named as COCO's.",
        ),
    ] = None,
    val_questions: Annotated[
        list[Path] | None, typer.Option(help="Held-out questions; several are joined.")
    ] = None,
    val_answers: Annotated[list[Path] | None, typer.Option(help="Their annotations.")] = None,
    val_image_names: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="As --image-names.")
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(help="Hold out this share of the pictures, such as 0.1, for validation."),
    ] = None,
    skip_missing: Annotated[
        bool | None,
        typer.Option(
            "--skip-missing", help="Leave out pictures that are not there, up to a tenth."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with every setting, or stages; options override it in all."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pictures.")] = None,
    pictures_per_batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, order and dropout.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="A torchvision backbone, as resnet50, or efficientnet_lite0 to 4."),
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(help="torchvision (download), shipped, none, or a file of weights."),
    ] = None,
    cell: Annotated[
        str | None, typer.Option(help=f"The recurrent cell: {', '.join(CELLS)}.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Cells on top of each other.")] = None,
    attention: Annotated[
        str | None, typer.Option(help="dot, additive, or none: the mean feature for every word.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="What is written one at a time: word or character.")
    ] = None,
    glimpses: Annotated[
        int | None, typer.Option(help="Looks at the picture for an answer; 0: a blind baseline.")
    ] = None,
    truncate_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Cut the gradient through time after so many tokens."),
    ] = None,
    fine_tune_from: Annotated[
        str | None, typer.Option(help="Train the encoder from this stage on; default: frozen.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to fine-tune; shipped: the bundled one."),
    ] = None,
    extend_vocabulary: Annotated[
        bool | None,
        typer.Option("--extend-vocabulary", help="With --start-from: learn new words, too."),
    ] = None,
    freeze_captioner: Annotated[
        bool | None,
        typer.Option("--freeze-captioner", help="With --start-from: train the answers alone."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Any setting of the TOML file, such as training.label_smoothing=0.05; may be "
            "given several times.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the best.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where the run in --output stopped, perhaps with another --learning-rate.",
        ),
    ] = False,
) -> None:
    """Train on captions, on questions with answers, or on both at once.

    Stop with Ctrl-C at any time and go on with --resume.
    """
    given = {name: value for name, value in locals().items() if value is not None}

    from captioner.runtime import choose_device
    from captioner.training.setup import Interrupted
    from captioner.training.stages import fit_stages

    stages = choose_settings(output, given, resume=resume)
    with _Screen() as screen:
        try:
            last = fit_stages(
                stages, output, device=choose_device(device), resume=resume, reporter=screen
            )
        except Interrupted:
            screen.note(f"stopped; go on with: captioner train --output {output} --resume")
            raise typer.Exit(130) from None
        except LostWorker as error:
            screen.note(
                f"captioner: error: {error}; the state is saved: go on with: "
                f"captioner train --output {output} --resume"
            )
            raise typer.Exit(1) from None
    print(last / "best.safetensors")


def choose_settings(output: Path, given: dict[str, Any], *, resume: bool) -> dict[str, RunConfig]:
    """The settings of each stage: those of the file, with the options given in their place.

    given: the command's options by name. Raises CaptionerError for options that do not go
    together, a folder that holds another run or none to resume, and wrong settings.
    """
    from captioner.config.settings import ModelConfig, RunConfig
    from captioner.config.toml_file import read_saved_stages, read_stages

    changes = changed_settings(given)
    config: Path | None = given.get("config")
    file = output / "settings.toml" if resume else config
    other = [name for table in changes.values() for name in table if name not in CHANGEABLE]
    if resume and (config or other):
        raise CaptionerError(
            f"--resume takes its settings from {file}; with it only these can be changed: "
            f"{', '.join(CHANGEABLE)}"
        )
    if resume and not (output / "settings.toml").exists():
        raise CaptionerError(f"{output}: no run to resume; start it without --resume")
    if not resume and _holds_a_run(output):
        raise CaptionerError(
            f"{output} already holds a run; go on with --resume or choose another --output"
        )
    read = read_saved_stages if resume else read_stages
    stages = read(file) if file else {"": RunConfig()}
    if "start_from" in changes["training"] and len(stages) > 1:
        raise CaptionerError(
            f"{config} has {len(stages)} stages, each of which goes on from the one before; write "
            "start_from into the [stages.training] of the first instead of giving --start-from"
        )
    for name in [_current(stages, output)] if resume else list(stages):
        changed = changes
        if changes["model"].get("attention") == "dot" and stages[name].model.attention != "dot":
            # The file's one head is for its other attention.
            changed = changes | {
                "model": {"attention_heads": ModelConfig.attention_heads} | changes["model"]
            }
        stages[name] = stages[name].changed(changed, "options")
    return stages


def changed_settings(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the options change, by table; --set comes last.

    Raises CaptionerError for a --set that names no table and setting.
    """
    changes: dict[str, dict[str, Any]] = {
        table: {name: _plain(given[name]) for name in names if name in given}
        for table, names in FLAGS.items()
    }
    for text in given.get("settings", []):
        key, equals, value = text.partition("=")
        table, dot, name = key.strip().partition(".")
        if not (equals and dot and name) or table not in changes:
            raise CaptionerError(
                f"--set {text}: expected TABLE.KEY=VALUE, with one of the tables "
                f"{', '.join(changes)}, as in training.label_smoothing=0.05"
            )
        changes[table][name] = _toml_value(value.strip())
    if changes["model"].get("attention") in ("additive", "none"):
        changes["model"].setdefault("attention_heads", 1)  # whatever the file says for dot
    return changes


def _plain(value: Any) -> Any:
    """An option's value as a setting: paths become texts."""
    if isinstance(value, list):
        return [str(path) for path in value]
    return str(value) if isinstance(value, Path) else value


def _toml_value(text: str) -> Any:
    """A value as a TOML file has it; a text needs no quotes here."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a plain ValueError: too many digits
        return text


def _current(stages: dict[str, RunConfig], output: Path) -> str:
    """The stage that a run to be resumed is in."""
    started = [name for name in stages if (output / name / "settings.toml").exists()]
    return started[-1] if started else next(iter(stages))


def _holds_a_run(output: Path) -> bool:
    """Whether a run, or a stage of one, has left a state here."""
    return any(list(output.glob(f"{stage}state*.safetensors")) for stage in ("", "*/"))


class _Screen:
    """Progress on standard error: a bar on a terminal, else a line every hundredth of the way.

    The first Ctrl-C asks training to save and stop; the second ends it at once.
    """

    def __enter__(self) -> _Screen:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.terminal = console.is_terminal
        self.task: Any = None
        self.name = ""
        self.hundredth = -1
        self.stopping = False
        self.previous = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        self.note("stopping after this step; press Ctrl-C again to stop at once")

    def interrupted(self) -> bool:
        return self.stopping

    def note(self, text: str) -> None:
        if self.terminal:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        if task != self.name:
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(task, total=total, detail=detail)
            self.name, self.hundredth = task, -1
        self.bar.update(self.task, completed=done, total=total, detail=detail)
        if not self.terminal and done * 100 // total > self.hundredth:
            self.hundredth = done * 100 // total
            print(f"{task} {done}/{total} {detail}".rstrip(), file=sys.stderr, flush=True)
