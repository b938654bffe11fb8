"""What a training run learns from and is validated on: captions, questions, or both."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.config.settings import DataConfig, RunConfig
from captioner.data.caption_files import CaptionedPicture, read_captions
from captioner.data.question_files import AskedQuestion, read_questions
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
    _check_settings(run)
    train, held_out = (
        Texts(
            list(_joined(getattr(run.data, f"{prefix}captions"), run.data.images, split)),
            list(_asked(run.data, prefix)),
        )
        for prefix, split in (("", "train"), ("val_", "val"))
    )
    return train, _thin(held_out, run.training.validation_pictures)


def _check_settings(run: RunConfig) -> None:
    """Find out before anything is read whether the run has what it needs."""
    data, training = run.data, run.training
    if not data.captions and not data.questions:
        raise CaptionerError(
            "no train data: give at least one folder of pictures (--images), and a file of "
            "captions (--captions) or of questions (--questions, with their --answers)"
        )
    for name, learned, held in (
        ("captions", data.captions, data.val_captions),
        ("questions", data.questions, data.val_questions),
    ):
        if bool(learned) != bool(held):
            missing = f"--val-{name}" if learned else f"--{name}"
            raise CaptionerError(f"no {missing}: {name} to learn from need held-out ones, and back")
    if training.freeze_captioner and not training.start_from:
        raise CaptionerError(
            "freeze_captioner trains answers on a captioner that is there already; name its "
            "checkpoint with --start-from"
        )
    if training.freeze_captioner and (data.captions or training.fine_tune_from):
        raise CaptionerError(
            "freeze_captioner trains the answer head alone: give questions, no captions, and no "
            "fine_tune_from"
        )


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


def _thin(texts: Texts, most: int) -> Texts:
    """The texts of at most `most` pictures of each task, evenly spread; 0: of all."""
    captioned = _spread([item.path for item in texts.captions], most)
    asked = _spread([item.path for item in texts.questions], most)
    return Texts(
        [item for item in texts.captions if item.path in captioned],
        [item for item in texts.questions if item.path in asked],
    )


def _spread(paths: list[Path], most: int) -> set[Path]:
    different = list(dict.fromkeys(paths))
    count = min(most or len(different), len(different))
    return {different[i * len(different) // count] for i in range(count)}
