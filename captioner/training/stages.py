"""Train in several stages, each of which continues from the one before it."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from captioner.config.run import CACHE_FOLDER, RunConfig
from captioner.errors import CaptionerError
from captioner.files import exclusive_lock
from captioner.model import averaging, checkpoint
from captioner.training import distributed
from captioner.training.data import read_data
from captioner.training.fine_tuning import for_fine_tuning
from captioner.training.loop import fit, keep_settings, make_folder
from captioner.training.setup import Reporter
from captioner.training.state import is_saved


def fit_stages(
    stages: dict[str, RunConfig],
    output: Path,
    *,
    device: torch.device,
    resume: bool,
    reporter: Reporter,
) -> Path:
    """Fit one stage after the other, each in a folder of its name; returns the last folder.

    Stages that freeze the same weights share a feature cache. A stage starts from the best
    checkpoint of the one before, unless it sets start_from or average_of. One that starts from a
    checkpoint which no earlier stage makes has the settings that suit fine-tuning, and keeps that
    model as its best until an epoch's is better. All texts and such checkpoints are read before
    training begins. A resumed run continues in its current stage. A run without stages has one
    stage named "", which trains in `output` itself. Raises what `fit` raises, and CaptionerError if
    another run is using `output` or a batch cannot be divided.
    """
    stages, finished = settle(stages, output)
    runs = _with_starts(stages, output)
    names = list(runs)
    for run in runs.values():
        _check_parts(run)
    if not resume and names != [""]:
        _check_inputs(runs, finished)
    with _held(output):
        started = [name for name in names if is_saved(output / name)]
        if names != [""] and distributed.is_first():
            keep_settings(stages, output)
        # All stages before the last started one are finished.
        for name in names[names.index(started[-1]) if started else 0 :]:
            if name:
                reporter.note(f"stage {name}")
            averaged = stages[name].training.average_of
            if averaged and name not in started and distributed.is_first():
                _save_average(averaged, name, output)
            fit(
                runs[name],
                output / name,
                device=device,
                resume=resume,
                reporter=reporter,
                caches=output / CACHE_FOLDER,
                keep_start=name in finished,
            )
    return output / names[-1]


def settle(stages: dict[str, RunConfig], output: Path) -> tuple[dict[str, RunConfig], set[str]]:
    """The settings of each stage as it is trained, and which stages fine-tune a finished model.

    Those start from a checkpoint which no earlier stage makes.
    """
    finished = _finished_starts(stages, output)
    return {
        name: for_fine_tuning(run) if name in finished else run for name, run in stages.items()
    }, finished


def _finished_starts(stages: dict[str, RunConfig], output: Path) -> set[str]:
    made: set[Path] = set()
    found = set()
    for name, run in stages.items():
        start = run.training.start_from
        if start and Path(start).resolve() not in made:
            found.add(name)
        made |= {(output / f"{file}.safetensors").resolve() for file in _checkpoints_of([name])}
    return found


@contextmanager
def _held(output: Path) -> Iterator[None]:
    """Keep other runs out of the folder; of several processes, the first one does so for all."""
    if not distributed.is_first():
        yield
        return
    make_folder(output)
    with exclusive_lock(output / ".lock", wait=False):
        yield


def _check_parts(run: RunConfig) -> None:
    """Raise CaptionerError where a batch cannot be divided among processes and parts."""
    config, processes = run.training, distributed.size()
    for texts, name in (
        (run.data.train.captions, "pictures_per_batch"),
        (run.data.train.questions, "questions_per_batch"),
    ):
        count = getattr(config, name)
        if texts and count % config.accumulate:
            raise CaptionerError(
                f"accumulate is {config.accumulate}, which does not divide {name} {count}; "
                "choose one that does"
            )
        if texts and count < processes * config.accumulate:
            raise CaptionerError(
                f"{name} is {count}, of all processes together, fewer than {processes} processes "
                f"times accumulate {config.accumulate}: raise it or start fewer processes"
            )


def _with_starts(stages: dict[str, RunConfig], output: Path) -> dict[str, RunConfig]:
    """The settings of each stage, with start_from set to the checkpoint that it starts from."""
    runs: dict[str, RunConfig] = {}
    previous: Path | None = None
    for name, run in stages.items():
        if run.training.average_of:
            _require_checkpoints(name, run.training.average_of, list(runs))
            run = _continue_from(run, output / name / "start.safetensors")
        elif previous is not None and not run.training.start_from:
            run = _continue_from(run, previous / "best.safetensors")
        runs[name], previous = run, output / name
    return runs


def _check_inputs(runs: dict[str, RunConfig], finished: set[str]) -> None:
    """Read all texts, and the checkpoints from which the `finished` stages start.

    Raises CaptionerError if a file is missing or wrong.
    """
    for name, run in runs.items():
        read_data(run)
        if name in finished:
            checkpoint.load(checkpoint.checkpoint_path(run.training.start_from))


def _save_average(averaged: Sequence[str], stage: str, output: Path) -> None:
    """Save the mean weights of these checkpoints, from which a stage starts."""
    files = [output / f"{name}.safetensors" for name in averaged]
    if len(files) == 1:  # the mean of one is itself
        mean = dataclasses.replace(checkpoint.load(files[0]), scores=[])
    else:
        mean = averaging.average(files)
    mean = dataclasses.replace(mean, data=mean.data | {"average of": list(averaged)})
    make_folder(output / stage)
    checkpoint.save(mean, output / stage / "start.safetensors", half=False)


def _continue_from(run: RunConfig, start: Path) -> RunConfig:
    """The settings of a stage, but starting from this checkpoint."""
    training = dataclasses.replace(run.training, start_from=str(start), average_of=())
    return dataclasses.replace(run, training=training)


def _checkpoints_of(stages: Sequence[str]) -> list[str]:
    """The checkpoints that these stages make, named as in average_of."""
    return [f"{name}/{kind}" for name in stages for kind in ("best", "last")]


def _require_checkpoints(stage: str, names: Sequence[str], earlier: Sequence[str]) -> None:
    """Raise CaptionerError unless these are checkpoints of earlier stages."""
    known = _checkpoints_of(earlier)
    if not set(names) <= set(known):
        raise CaptionerError(
            f"average_of is {', '.join(names)}{f' in the stage {stage}' * bool(stage)}; expected "
            f"checkpoints of earlier stages: {', '.join(known) or 'there is none'}"
        )
