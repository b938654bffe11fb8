"""captioner train: train on captions, on questions or on both, or go on training."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captioner.cli.help_pages import DATA, MODEL, OUTPUT, TRAINING, examples
from captioner.cli.printable import print_summary, printable
from captioner.cli.progress import Progress
from captioner.cli.train_settings import choose_settings, is_own_run
from captioner.config.run import FINE_TUNING, RunConfig
from captioner.config.settings import CELLS
from captioner.errors import CaptionerWarning, LostWorker
from captioner.model.description import read_description

if TYPE_CHECKING:
    import torch

# For --help; a file of --config has its own.
DEFAULTS = {
    table: {name: str(value) for name, value in settings.items()}
    for table, settings in RunConfig().tables().items()
}
for name, tuned in FINE_TUNING.items():
    DEFAULTS["training"][name] += f"; fine-tuning: {tuned}"

EXAMPLES = examples(
    "captioner train --config shapes/training.toml --output runs/shapes",
    "captioner train --images photos --captions captions.csv --val-share 0.2 \\",
    "    --start-from shipped --output runs/tuned",
    "captioner train --output runs/tuned --resume",
)


def train(
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for checkpoints, log and cache.", metavar="DIR", rich_help_panel=OUTPUT
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of pictures; may be given several times.",
            metavar="DIR",
            rich_help_panel=DATA,
        ),
    ] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Any file that data/README.md shows; several are joined.",
            metavar="FILE",
            rich_help_panel=DATA,
        ),
    ] = None,
    val_captions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Held-out captions; several are joined.", metavar="FILE", rich_help_panel=DATA
        ),
    ] = None,
    questions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Questions in VQA's form; several are joined.",
            metavar="FILE",
            rich_help_panel=DATA,
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            help="Their annotations, one file for each of --questions.",
            metavar="FILE",
            rich_help_panel=DATA,
        ),
    ] = None,
    image_names: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="JSON map from image id to file name, one for each of --questions, or none; "
            "needed where pictures are not named as COCO's.",
            rich_help_panel=DATA,
        ),
    ] = None,
    val_questions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Held-out questions; several are joined.", metavar="FILE", rich_help_panel=DATA
        ),
    ] = None,
    val_answers: Annotated[
        list[Path] | None,
        typer.Option(help="Their annotations.", metavar="FILE", rich_help_panel=DATA),
    ] = None,
    val_image_names: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="As --image-names.", rich_help_panel=DATA),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            help="Hold out this share of the pictures, such as 0.1, for validation.",
            metavar="SHARE",
            rich_help_panel=DATA,
            show_default="none",
        ),
    ] = None,
    skip_missing: Annotated[
        bool | None,
        typer.Option(
            "--skip-missing",
            help="Leave out pictures that are not there, up to a tenth.",
            rich_help_panel=DATA,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with every setting, or stages; options override it in all.",
            metavar="FILE",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the pictures.",
            metavar="N",
            show_default=DEFAULTS["training"]["epochs"],
            rich_help_panel=TRAINING,
        ),
    ] = None,
    pictures_per_batch: Annotated[
        int | None,
        typer.Option(
            help="Pictures a step.",
            metavar="N",
            show_default=DEFAULTS["training"]["pictures_per_batch"],
            rich_help_panel=TRAINING,
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Compute each step in N parts, one after the other: less memory, same result.",
            metavar="N",
            show_default=DEFAULTS["training"]["accumulate"],
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate.",
            metavar="RATE",
            show_default=DEFAULTS["training"]["learning_rate"],
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Decides weights, order and dropout.",
            metavar="N",
            show_default=DEFAULTS["training"]["seed"],
            rich_help_panel=TRAINING,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A torchvision backbone, as resnet50, or efficientnet_lite0 to 4.",
            metavar="NAME",
            show_default=DEFAULTS["model"]["encoder"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            help="torchvision (download), shipped, none, or a file of weights.",
            metavar="NAME|FILE",
            show_default=DEFAULTS["training"]["encoder_weights"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            help=f"The recurrent cell: {', '.join(CELLS)}.",
            metavar="CELL",
            show_default=DEFAULTS["model"]["cell"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Cells on top of each other.",
            metavar="N",
            show_default=DEFAULTS["model"]["layers"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            help="dot, additive, or none: the mean feature for every word.",
            metavar="KIND",
            show_default=DEFAULTS["model"]["attention"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            help="What is written one at a time: word or character.",
            metavar="UNIT",
            show_default=DEFAULTS["model"]["tokens"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    glimpses: Annotated[
        int | None,
        typer.Option(
            help="Looks at the picture for an answer; 0: a blind baseline.",
            metavar="N",
            show_default=DEFAULTS["model"]["glimpses"],
            rich_help_panel=MODEL,
        ),
    ] = None,
    truncate_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cut the gradient through time after so many tokens.",
            metavar="N",
            show_default="never",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    fine_tune_from: Annotated[
        str | None,
        typer.Option(
            help="Train the encoder from this stage on.",
            metavar="STAGE",
            show_default="frozen",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint to fine-tune; shipped: the bundled one.",
            metavar="FILE",
            show_default="new weights",
            rich_help_panel=MODEL,
        ),
    ] = None,
    extend_vocabulary: Annotated[
        bool | None,
        typer.Option(
            "--extend-vocabulary",
            help="With --start-from: learn new words, too.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    freeze_captioner: Annotated[
        bool | None,
        typer.Option(
            "--freeze-captioner",
            help="With --start-from: train the answers alone.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    tensorboard: Annotated[
        bool | None,
        typer.Option(
            "--tensorboard",
            help="Write the log for TensorBoard too, in the run's folder (extra `tensorboard`).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Any setting of the TOML file, such as training.label_smoothing=0.05; may be "
            "given several times.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda, cuda:1, mps ...",
            metavar="DEVICE",
            rich_help_panel=TRAINING,
            show_default="a GPU where there is one",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where the run in --output stopped, perhaps with another --learning-rate.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
) -> None:
    """Train on captions, on questions with answers, or on both.

    Stop with Ctrl-C at any time and go on with --resume. For several processes or GPUs, start it
    with torchrun.
    """
    given = {name: value for name, value in locals().items() if value is not None}

    from captioner.training import distributed

    try:
        with distributed.joined(device) as own_device:
            best = _train(output, given, own_device, resume=resume)
            if distributed.is_first():
                print(printable(best))
                _summarize(best)
    except distributed.SaidElsewhere:
        raise typer.Exit(2) from None


def _train(output: Path, given: dict[str, Any], device: torch.device, *, resume: bool) -> Path:
    """Train to the end; returns the best checkpoint."""
    from captioner.training import distributed
    from captioner.training.setup import Interrupted
    from captioner.training.stages import fit_stages

    if not resume and distributed.is_restarted() and is_own_run(output, given):
        resume, given = True, {}
    stages = choose_settings(output, given, resume=resume)
    if not distributed.is_first():
        warnings.simplefilter("ignore", CaptionerWarning)
    with _Screen(silent=not distributed.is_first()) as screen:
        try:
            last = fit_stages(stages, output, device=device, resume=resume, reporter=screen)
        except (Interrupted, distributed.LostProcess):
            if not screen.stopping:
                raise
            screen.note(f"stopped; go on with: captioner train --output {output} --resume")
            raise typer.Exit(130) from None
        except LostWorker as error:
            if screen.silent:
                raise
            screen.note(
                f"captioner: error: {error}; the state is saved: go on with: "
                f"captioner train --output {output} --resume"
            )
            raise typer.Exit(1) from None
    return last / "best.safetensors"


def _summarize(best: Path) -> None:
    """Say how good the best checkpoint is and how to use it."""
    about = read_description(best).about
    [score, *_] = about["scores"]
    values = ", ".join(
        f"{name} {value}" if isinstance(value, int) else f"{name} {value:.3f}"
        for name, value in score["values"].items()
    )
    command = (
        "captioner caption photo.jpg" if about["vocabulary"] else "captioner ask photo.jpg ..."
    )
    print_summary(
        f"wrote {best}: {values} ({score['set']}); next: {command} --checkpoint {quote(str(best))}"
    )


class _Screen(Progress):
    """Progress of a run, and what Ctrl-C does to it.

    The first Ctrl-C asks training to save and stop; the second ends it at once. silent: show
    nothing, since another process of the run shows the same.
    """

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.silent = silent

    def __enter__(self) -> _Screen:
        self.stopping = False
        self.previous = {
            number: signal.signal(number, self._interrupt)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        if not self.silent:
            super().__enter__()
            self.line = "reading captions and questions"  # until there is something to count
        return self

    def __exit__(self, *error: Any) -> None:
        if not self.silent:
            super().__exit__(*error)
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
        if not self.silent:
            super().note(printable(text))

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        if self.silent:
            return
        unit = "steps" if task == "training" else ""
        self.update(printable(task), done, total, unit=unit, detail=printable(detail))
