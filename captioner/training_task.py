"""Everything a training run works with, made from its settings: data, model, caches, reward."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from captioner import checkpoint
from captioner.batches import CaptionBatches
from captioner.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from captioner.datasets import CaptionedPicture, read_captions
from captioner.encoder import load_weights
from captioner.errors import CaptionerError
from captioner.features import GIB, FeatureCache, build_cache, cache_size
from captioner.model import CaptioningModel
from captioner.rewards import CaptionReward
from captioner.training_log import TrainingLog
from captioner.training_state import restore_model
from captioner.vocabulary import VOCABULARIES

DROPOUTS = ("feature_dropout", "embedding_dropout", "hidden_dropout")


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything needed to resume it is on disk."""


class Reporter(Protocol):
    """Who hears how a run gets on, and who can ask it to stop."""

    def note(self, text: str) -> None:
        """One line of news."""

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        """So much of a task is done."""

    def interrupted(self) -> bool:
        """Whether the run should save its state and stop."""


@dataclass(frozen=True)
class Task:
    """What stays the same throughout a run."""

    run: RunConfig
    output: Path
    model: CaptioningModel
    train: CaptionBatches
    validation: CaptionBatches
    reward: CaptionReward | None
    device: torch.device
    reporter: Reporter
    log: TrainingLog
    data: dict[str, Any]


def prepare(
    run: RunConfig, output: Path, device: torch.device, reporter: Reporter, state: Path | None
) -> Task:
    """Read the data, build the model with its weights, and build or reopen the feature caches.

    state: that of the run to resume, whose weights the model gets, or None. Raises CaptionerError
    where files are missing or wrong, or do not fit each other.
    """
    config = run.training
    train = read_pictures(run.data, run.data.captions, "train")
    held_out = _thin(read_pictures(run.data, run.data.val_captions, "val"), config)
    model = _model(run, train)
    data = {
        "captions": [Path(file).name for file in run.data.captions],
        "pictures": len(train),
        "sentences": sum(len(item.captions) for item in train),
    }
    run = dataclasses.replace(run, model=model.config)
    if state:
        restore_model(state, model)
    model.to(device)
    plain = dataclasses.replace(config, mirror=False, augment=False, captions_per_picture=1000)
    return Task(
        run=run,
        output=output,
        model=model,
        train=_batches(train, model, config, output, reporter),
        validation=_batches(held_out, model, plain, output, reporter),
        reward=CaptionReward(
            [item.captions for item in train], model.vocabulary, bleu_reward=config.bleu_reward
        )
        if config.self_critical
        else None,
        device=device,
        reporter=reporter,
        log=TrainingLog(output / "log.jsonl"),
        data=data,
    )


def read_pictures(data: DataConfig, files: tuple[str, ...], split: str) -> list[CaptionedPicture]:
    """The pictures of several caption files; one that stands in two of them gets all captions."""
    if not data.images or not files:
        raise CaptionerError(
            f"no {split} data: give at least one folder of pictures (--images) and one file of "
            f"captions (--{'val-' if split == 'val' else ''}captions)"
        )
    folders = [Path(folder) for folder in data.images]
    joined: dict[Path, CaptionedPicture] = {}
    for file in files:
        for item in read_captions(Path(file), folders, split):
            if item.path in joined:
                captions = joined[item.path].captions + item.captions
                item = dataclasses.replace(joined[item.path], captions=captions)
            joined[item.path] = item
    return list(joined.values())


def _thin(pictures: list[CaptionedPicture], config: TrainingConfig) -> list[CaptionedPicture]:
    """At most validation_pictures of them, evenly spread."""
    wanted = config.validation_pictures or len(pictures)
    count = min(wanted, len(pictures))
    return [pictures[i * len(pictures) // count] for i in range(count)]


def _model(run: RunConfig, pictures: list[CaptionedPicture]) -> CaptioningModel:
    config = run.training
    if config.start_from:
        started = checkpoint.load(Path(config.start_from)).model
        model = CaptioningModel(_changed(started.config, run.model, config), started.vocabulary)
        named = checkpoint.named_tensors(started)
        checkpoint.fill(model, named, Path(config.start_from))
    else:
        captions = [caption for item in pictures for caption in item.captions]
        vocabulary = VOCABULARIES[run.model.tokens].build(captions, min_count=config.min_count)
        model = CaptioningModel(run.model, vocabulary)
        shipped = config.encoder_weights == "shipped"
        load_weights(
            model.encoder,
            str(checkpoint.default_checkpoint()) if shipped else config.encoder_weights,
        )
    if config.fine_tune_from:
        model.encoder.fine_tune(config.fine_tune_from, update_batch_norm=config.update_batch_norm)
    return model


def _changed(old: ModelConfig, new: ModelConfig, config: TrainingConfig) -> ModelConfig:
    """The settings of a model that is trained further: its own, with the dropout asked for."""
    dropouts = {name: getattr(new, name) for name in DROPOUTS}
    changed = dataclasses.replace(old, **dropouts)
    differing = [
        f.name
        for f in dataclasses.fields(new)
        if getattr(new, f.name) not in (f.default, getattr(changed, f.name))
    ]
    if differing:
        raise CaptionerError(
            f"{config.start_from} was made with another {', '.join(differing)}; only dropout can "
            "change when training goes on from a checkpoint: leave the others out"
        )
    return changed


def _batches(
    pictures: list[CaptionedPicture],
    model: CaptioningModel,
    config: TrainingConfig,
    output: Path,
    reporter: Reporter,
) -> CaptionBatches:
    cache = None
    if model.encoder.frozen_stages and not config.augment:
        cache = _cache(pictures, model, config, output, reporter)
    return CaptionBatches(
        pictures,
        model.vocabulary,
        config,
        image_size=model.config.image_size,
        cache=cache,
    )


def _cache(
    pictures: list[CaptionedPicture],
    model: CaptioningModel,
    config: TrainingConfig,
    output: Path,
    reporter: Reporter,
) -> FeatureCache:
    size = cache_size(model.encoder, len(pictures), mirrored=config.mirror)
    reporter.note(
        f"feature cache of {len(pictures)} pictures: {size / GIB:.2f} GiB in {output / 'cache'}"
    )

    def progress(done: int) -> None:
        reporter.progress("encoding pictures", done, len(pictures), "")
        if reporter.interrupted():
            raise Interrupted

    return build_cache(
        model.encoder,
        [item.path for item in pictures],
        output / "cache",
        mirrored=config.mirror,
        max_gib=config.max_cache_gib,
        autocast=config.autocast,
        progress=progress,
    )
