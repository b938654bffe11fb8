"""What a training run learns from and is validated on: captions, questions, or both."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.config import DataConfig, RunConfig, TrainingConfig
from captioner.datasets import CaptionedPicture, read_captions
from captioner.datasets.questions import AskedQuestion, read_questions
from captioner.errors import CaptionerError


@dataclass(frozen=True)
class Texts:
    """What is learned from, or validated on: captions, questions or both."""

    captions: list[CaptionedPicture]
    questions: list[AskedQuestion]

    def paths(self) -> list[Path]:
        """Every picture, once."""
        captioned = [item.path for item in self.captions]
        return list(dict.fromkeys([*captioned, *(item.path for item in self.questions)]))


def read_data(run: RunConfig) -> tuple[Texts, Texts]:
    """The texts to learn from and those to validate on, of each task that the run has data for.

    Raises CaptionerError where there are none, or none held out, and for files that are wrong.
    """
    data = run.data
    if not data.captions and not data.questions:
        raise CaptionerError(
            "no train data: give at least one folder of pictures (--images), and a file of "
            "captions (--captions) or of questions (--questions, with their --answers)"
        )
    parts = []
    for prefix, split in (("", "train"), ("val_", "val")):
        files = getattr(data, f"{prefix}captions")
        captions = list(_joined(files, data.images, split))
        questions = list(_asked(data, prefix))
        if split == "val":
            captions = _thin(captions, run.training)
        parts.append(Texts(captions, questions))
    train, held_out = parts
    for name, learned, held in (
        ("captions", train.captions, held_out.captions),
        ("questions", train.questions, held_out.questions),
    ):
        if bool(learned) != bool(held):
            missing = f"--val-{name}" if learned else f"--{name}"
            raise CaptionerError(f"no {missing}: {name} to learn from need held-out ones, and back")
    if run.training.freeze_captioner and not run.training.start_from:
        raise CaptionerError(
            "freeze_captioner trains answers on a captioner that is there already; name its "
            "checkpoint with --start-from"
        )
    if run.training.freeze_captioner and (train.captions or run.training.fine_tune_from):
        raise CaptionerError(
            "freeze_captioner trains the answer head alone: give questions, no captions, and no "
            "fine_tune_from"
        )
    return train, held_out


def _joined(files: Sequence[str], images: Sequence[str], split: str) -> Iterator[CaptionedPicture]:
    """The pictures of several caption files; one that stands in two of them gets all captions."""
    folders = _folders(images)
    joined: dict[Path, CaptionedPicture] = {}
    for file in files:
        for item in read_captions(Path(file), folders, split):
            if item.path in joined:
                captions = joined[item.path].captions + item.captions
                item = dataclasses.replace(joined[item.path], captions=captions)
            joined[item.path] = item
    yield from joined.values()


def _asked(data: DataConfig, prefix: str) -> Iterator[AskedQuestion]:
    """The questions of several pairs of files."""
    questions = getattr(data, f"{prefix}questions")
    names = getattr(data, f"{prefix}image_names") or ("none",) * len(questions)
    answers = getattr(data, f"{prefix}answers")
    for asked, answered, named in zip(questions, answers, names, strict=True):
        image_names = None if named == "none" else Path(named)
        yield from read_questions(Path(asked), Path(answered), _folders(data.images), image_names)


def _folders(images: Sequence[str]) -> list[Path]:
    if not images:
        raise CaptionerError("no pictures: give the folder they are in with --images")
    return [Path(folder) for folder in images]


def describe(data: DataConfig, train: Texts) -> dict[str, Any]:
    """What the checkpoint says of its training data."""
    about: dict[str, Any] = {
        "captions": [Path(file).name for file in data.captions],
        "pictures": len(train.paths()),
        "sentences": sum(len(item.captions) for item in train.captions),
    }
    if train.questions:
        about["question files"] = [Path(file).name for file in data.questions]
        about["questions"] = len(train.questions)
        about["questions made from captions"] = sum(item.made for item in train.questions)
    return about


def _thin(pictures: list[CaptionedPicture], config: TrainingConfig) -> list[CaptionedPicture]:
    """At most validation_pictures of them, evenly spread."""
    wanted = config.validation_pictures or len(pictures)
    count = min(wanted, len(pictures))
    return [pictures[i * len(pictures) // count] for i in range(count)]
