"""The captions and questions that a training run learns from and is validated on."""

import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.data.caption_files import CaptionedPicture, read_captions
from captioner.data.caption_json import write_coco
from captioner.data.question_files import AskedQuestion, read_questions
from captioner.data.records import CaptionFile, CaptionRecord, first_three
from captioner.errors import CaptionerError, CaptionerWarning


@dataclass(frozen=True)
class Texts:
    """The captioned pictures and the questions of one split; one of the lists may be empty."""

    captions: list[CaptionedPicture]
    questions: list[AskedQuestion]

    def paths(self) -> list[Path]:
        """Every picture, once."""
        captioned = [item.path for item in self.captions]
        return list(dict.fromkeys([*captioned, *(item.path for item in self.questions)]))

    def caption_texts(self) -> list[str]:
        """Every caption."""
        return [caption for item in self.captions for caption in item.captions]

    def question_texts(self) -> list[str]:
        """Every question."""
        return [item.text for item in self.questions]

    def of(self, paths: set[Path]) -> "Texts":
        """The texts about these pictures."""
        return Texts(
            [item for item in self.captions if item.path in paths],
            [item for item in self.questions if item.path in paths],
        )


def read_data(run: RunConfig) -> tuple[Texts, Texts]:
    """Read the texts of both splits, training and validation.

    Raises CaptionerError where one of them is missing and for files that are wrong.
    """
    _check_settings(run)
    train = _read_split(run.data.train, run.data, "train")
    if run.data.val_share:
        train, val = _hold_out(train, run.data.val_share, run.training.seed)
    else:
        val = _read_split(run.data.val, run.data, "val")
        _warn_of_overlap(train, val)
    return train, _thin(val, run.training.validation_pictures)


def _check_settings(run: RunConfig) -> None:
    """Check, before anything is read, that the run has what it needs."""
    data, training = run.data, run.training
    if not data.train.captions and not data.train.questions:
        raise CaptionerError(
            "no train data: give at least one folder of pictures (--images), and a file of "
            "captions (--captions) or of questions (--questions, with their --answers)"
        )
    if not data.images:
        raise CaptionerError("no pictures: give the folder they are in with --images")
    for name, train, val in (
        ("captions", data.train.captions, data.val.captions),
        ("questions", data.train.questions, data.val.questions),
    ):
        if bool(train) != bool(val) and not (train and data.val_share):
            missing = f"--val-{name}" if train else f"--{name}"
            raise CaptionerError(
                f"no {missing}: give {name} to train on and others to validate on, or "
                "hold some of them out with --val-share 0.1"
            )
    if training.freeze_captioner and not training.start_from:
        raise CaptionerError(
            "freeze_captioner trains answers on a captioner that is there already; name its "
            "checkpoint with --start-from"
        )
    if training.freeze_captioner and (data.train.captions or training.fine_tune_from):
        raise CaptionerError(
            "freeze_captioner trains the answer head alone: give questions, no captions, and no "
            "fine_tune_from"
        )


def _read_split(files: SplitConfig, data: DataConfig, split: str) -> Texts:
    """Read all files of one split; a picture in two caption files gets the captions of both."""
    folders = [Path(folder) for folder in data.images]
    captioned: dict[Path, CaptionedPicture] = {}
    for file in files.captions:
        for item in read_captions(Path(file), folders, split, skip_missing=data.skip_missing):
            if item.path in captioned:
                first = captioned[item.path]
                item = dataclasses.replace(first, captions=first.captions + item.captions)
            captioned[item.path] = item
    questions: list[AskedQuestion] = []
    names = files.image_names or ("none",) * len(files.questions)
    for question_file, answer_file, name in zip(files.questions, files.answers, names, strict=True):
        image_names = None if name == "none" else Path(name)
        questions += read_questions(
            Path(question_file),
            Path(answer_file),
            folders,
            image_names,
            skip_missing=data.skip_missing,
        )
    return Texts(list(captioned.values()), questions)


def _hold_out(texts: Texts, share: float, seed: int) -> tuple[Texts, Texts]:
    """Split the texts by picture; the same pictures, by name, are held out for the same seed.

    Raises CaptionerError where the captions or the questions would all be on one side.
    """
    paths = texts.paths()
    count = round(share * len(paths))
    if not 0 < count < len(paths):
        raise CaptionerError(
            f"val_share {share} of {len(paths)} pictures is {count}; expected some for training "
            "and some for validation"
        )

    def order(path: Path) -> str:
        return hashlib.sha256(f"{seed} {path.parent.name}/{path.name}".encode()).hexdigest()

    held_out = set(sorted(paths, key=order)[:count])
    train, val = texts.of(set(paths) - held_out), texts.of(held_out)
    for name in ("captions", "questions"):
        if getattr(texts, name) and not (getattr(train, name) and getattr(val, name)):
            raise CaptionerError(
                f"val_share {share}: the {name} are of so few pictures that all or none of them "
                f"are held out; give files for validation with --val-{name}"
            )
    return train, val


def _warn_of_overlap(train: Texts, val: Texts) -> None:
    """Warn of validation pictures that are trained on, by their files."""
    resolved: dict[Path, Path] = {}  # of folders: resolving every file would take seconds

    def resolve(path: Path) -> Path:
        if path.parent not in resolved:
            resolved[path.parent] = path.parent.resolve()
        return resolved[path.parent] / path.name

    trained = set(map(resolve, train.paths()))
    validated = val.paths()
    shared = [path for path in validated if resolve(path) in trained]
    if shared:
        warnings.warn(
            f"{len(shared)} of {len(validated)} validation pictures are trained on too, which "
            f"makes their scores too good: {first_three([path.name for path in shared])}",
            CaptionerWarning,
            stacklevel=2,
        )


def write_held_out(pictures: Sequence[CaptionedPicture], folders: list[Path], file: Path) -> None:
    """Write the captioned pictures of validation in COCO's form, by their names in the folders."""
    records = []
    for number, item in enumerate(pictures, start=1):
        inside = [folder for folder in folders if item.path.is_relative_to(folder)]
        name = item.path.relative_to(inside[0]).as_posix() if inside else item.path.name
        records.append(CaptionRecord(name, number, item.captions))
    write_coco(CaptionFile(records), file)


def describe(data: DataConfig, train: Texts) -> dict[str, Any]:
    """What the checkpoint says of its training data."""
    about: dict[str, Any] = {
        "captions": [Path(file).name for file in data.train.captions],
        "pictures": len(train.paths()),
        "sentences": sum(len(item.captions) for item in train.captions),
    }
    if train.questions:
        about["question files"] = [Path(file).name for file in data.train.questions]
        about["questions"] = len(train.questions)
        about["questions made from captions"] = sum(item.made for item in train.questions)
    return about


def _thin(texts: Texts, most: int) -> Texts:
    """The texts of at most `most` pictures per task, evenly spread; 0: of all."""
    captioned = _spread([item.path for item in texts.captions], most)
    questioned = _spread([item.path for item in texts.questions], most)
    return Texts(
        [item for item in texts.captions if item.path in captioned],
        [item for item in texts.questions if item.path in questioned],
    )


def _spread(paths: list[Path], most: int) -> set[Path]:
    distinct = list(dict.fromkeys(paths))
    count = min(most or len(distinct), len(distinct))
    return {distinct[i * len(distinct) // count] for i in range(count)}
