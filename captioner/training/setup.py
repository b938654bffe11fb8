"""Everything a training run works with, made from its settings: model, batches, caches, reward."""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from captioner.config.run import RunConfig
from captioner.config.settings import TrainingConfig
from captioner.data.answer_text import normalise_list
from captioner.data.caption_batches import CaptionBatches
from captioner.data.feature_cache import GIB, FeatureCache, MapSource, build_cache
from captioner.data.picture_loading import PictureSource
from captioner.data.question_batches import QuestionBatches
from captioner.data.question_files import AskedQuestion
from captioner.errors import CaptionerError
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.model.confidence import ConfidenceCurve
from captioner.model.encoder import Encoder
from captioner.runtime import check_precision, has_bfloat16
from captioner.training import distributed
from captioner.training.data import Texts, describe, read_data
from captioner.training.initial_model import build_model
from captioner.training.log import TensorBoardEvents, TrainingLog
from captioner.training.rewards import CaptionReward
from captioner.training.state import SavedState, restore_model
from captioner.training.word_checks import check_words


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; everything needed to resume it is on disk."""


class Reporter(Protocol):
    """Receives the progress of a run and can ask it to stop."""

    def note(self, text: str) -> None:
        """Show a message of one line."""

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        """Show that `done` of `total` parts of a task are finished; also 0, when it begins."""

    def interrupted(self) -> bool:
        """Whether the run should save its state and stop."""


@dataclass(frozen=True)
class Task:
    """What stays the same throughout a run.

    The batches of captions are None where the run learns no captions, those of questions where it
    learns no answers. start: the checkpoint that it starts from, with the run's own model, where
    that has learned all tasks of the run. confidence_curve: that checkpoint's, where its captions
    stay as they are.
    """

    run: RunConfig
    output: Path
    model: CaptioningModel
    captions: CaptionBatches | None
    val_captions: CaptionBatches | None
    questions: QuestionBatches | None
    val_questions: QuestionBatches | None
    reward: CaptionReward | None
    device: torch.device
    reporter: Reporter
    log: TrainingLog
    data: dict[str, Any]
    start: Checkpoint | None
    confidence_curve: ConfidenceCurve | None

    @property
    def autocast(self) -> bool:
        """Whether layers compute in bfloat16."""
        return uses_bfloat16(self.run.training, self.device)

    @property
    def epoch_steps(self) -> int:
        """Steps per epoch: as many as the larger of the two sets has batches."""
        return max(len(part) for part in (self.captions, self.questions) if part is not None)

    @property
    def steps(self) -> int:
        """Steps of the whole run, if it is not stopped early."""
        return self.epoch_steps * self.run.training.epochs


def prepare(
    run: RunConfig,
    *,
    output: Path,
    caches: Path,
    device: torch.device,
    reporter: Reporter,
    state: SavedState | None = None,
) -> Task:
    """Read the data, build the model with its weights, and build or reopen the feature caches.

    output: where the run's log and checkpoints go; caches: the folder of the feature caches. state:
    that of the run to resume, whose weights the model gets, or None. Raises CaptionerError where
    files are missing or wrong, or do not fit each other.
    """
    config = run.training
    events = TensorBoardEvents(output / "tensorboard") if config.tensorboard else None
    train, held_out = read_data(run)
    started = (
        checkpoint.load(checkpoint.checkpoint_path(config.start_from))
        if config.start_from
        else None
    )
    model = build_model(run, train, started)
    train = Texts(train.captions, _answerable(train, model, config, reporter))
    check_words(train, model, config)
    if not config.freeze_captioner:
        _warn_of_the_other_task(model, train, reporter)
    run = dataclasses.replace(run, model=model.config)
    if state:
        restore_model(state, model)
    model.to(device)
    set_tf32(not config.full_precision)
    if config.autocast and device.type == "cpu" and not has_bfloat16():
        reporter.note(
            "this processor computes bfloat16 many times slower than float32: turn autocast off"
        )
    # Validation sees every picture as it is, with all its captions.
    plain = dataclasses.replace(
        config,
        accumulate=1,
        mirror=False,
        augment=False,
        cached_crops=0,
        self_critical=False,
        captions_per_picture=0,
        pair_weight=0.0,
    )
    captions, questions = _batches(train, model, config, caches, reporter, mirrored=config.mirror)
    val_captions, val_questions = _batches(held_out, model, plain, caches, reporter, mirrored=False)
    return Task(
        run=run,
        output=output,
        model=model,
        captions=captions,
        val_captions=val_captions,
        questions=questions,
        val_questions=val_questions,
        reward=_caption_reward(train, model, config),
        device=device,
        reporter=reporter,
        log=TrainingLog(output / "log.jsonl", events),
        data=describe(run.data, train) | ({"started from": started.data} if started else {}),
        start=(
            dataclasses.replace(started, model=model)
            if started is not None and _has_learned(started.model, train)
            else None
        ),
        confidence_curve=started.confidence_curve if started and config.freeze_captioner else None,
    )


def _has_learned(model: CaptioningModel, train: Texts) -> bool:
    """Whether a model has learned every task that the texts are for."""
    return (model.decoder is not None or not train.captions) and (
        model.answers is not None or not train.questions
    )


def uses_bfloat16(config: TrainingConfig, device: torch.device) -> bool:
    """Whether training on this device computes in bfloat16: as chosen, and on a GPU by default."""
    return config.autocast or (device.type == "cuda" and not config.full_precision)


def set_tf32(allowed: bool) -> None:
    """Let products of float32 on a GPU round their factors to TF32, which is many times faster."""
    precision = "tf32" if allowed else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]


def _caption_reward(
    train: Texts, model: CaptioningModel, config: TrainingConfig
) -> CaptionReward | None:
    """The reward of self-critical training; None for other training."""
    if not config.self_critical or not train.captions:
        return None
    _, vocabulary = model.caption_parts()
    return CaptionReward(
        [item.captions for item in train.captions],
        vocabulary,
        bleu_reward=config.bleu_reward,
        repeat_cost=config.repeat_cost,
    )


def _answerable(
    train: Texts, model: CaptioningModel, config: TrainingConfig, reporter: Reporter
) -> list[AskedQuestion]:
    """The questions with an answer that the model can give; CaptionerError if there are none."""
    known = set(model.answer_texts)
    asked = [q for q in train.questions if known.intersection(map(normalise_list, q.answers))]
    if train.questions and not asked:
        raise CaptionerError(
            f"no question has an answer that {config.start_from} can give, such as "
            f"{', '.join(model.answer_texts[:3])}; train anew without --start-from"
        )
    left_out = len(train.questions) - len(asked)
    if left_out:
        reporter.note(f"{left_out} questions have no answer among the {len(known)} known: left out")
    return asked


def _warn_of_the_other_task(model: CaptioningModel, train: Texts, reporter: Reporter) -> None:
    """Warn where a task that the checkpoint has learned is not trained: it will get worse.

    Both tasks share the encoder and the attention.
    """
    for head, texts, name, remedy in (
        (model.decoder, train.captions, "captions", " or use --freeze-captioner"),
        (model.answers, train.questions, "questions", ""),
    ):
        if head is not None and not texts:
            reporter.note(
                f"the checkpoint has learned {name} too, and will get worse at them unseen: "
                f"give --{name}{remedy}"
            )


def _batches(
    texts: Texts,
    model: CaptioningModel,
    config: TrainingConfig,
    caches: Path,
    reporter: Reporter,
    *,
    mirrored: bool,
) -> tuple[CaptionBatches | None, QuestionBatches | None]:
    """Batches of both tasks over the same pictures, cached once; mirrored: both ways round."""
    paths = texts.paths()
    if config.cached_crops and not model.encoder.frozen_count:
        raise CaptionerError(
            f"cached_crops is {config.cached_crops}, but the whole encoder is trained, so that "
            "there is nothing to cache; set it to 0, or fine_tune_from to a later stage"
        )
    cache = None
    if model.encoder.frozen_count and (config.cached_crops or not config.augment):
        cache = _cache(paths, model, config, caches, reporter, mirrored=mirrored)
    source = PictureSource(paths, config, image_size=model.config.image_size, cache=cache)
    parts = distributed.own_parts(config.accumulate)
    captions, questions = None, None
    if texts.captions:
        words = model.caption_parts()[1]
        captions = CaptionBatches(texts.captions, words, config, source, parts)
    if texts.questions:
        words = model.answer_parts()[1]
        questions = QuestionBatches(
            texts.questions, words, model.answer_texts, config, source, parts
        )
    return captions, questions


def _cache(
    paths: list[Path],
    model: CaptioningModel,
    config: TrainingConfig,
    caches: Path,
    reporter: Reporter,
    *,
    mirrored: bool,
) -> FeatureCache:
    device = model.encoder.positions.device
    check_precision(config.cache_precision, device)
    in_bfloat16 = config.cache_precision == "bf16" or uses_bfloat16(config, device)
    layers = make_map_source(model.encoder, autocast=in_bfloat16)
    size = layers.cache_size(len(paths), mirrored=mirrored, crops=config.cached_crops)
    reporter.note(f"feature cache of {len(paths)} pictures: {size / GIB:.2f} GiB in {caches}")

    reporter.progress("encoding pictures", 0, len(paths), "")

    def progress(done: int) -> None:
        reporter.progress("encoding pictures", done, len(paths), "")
        if reporter.interrupted():
            raise Interrupted

    with distributed.first_ahead():
        return build_cache(
            layers,
            paths,
            caches,
            mirrored=mirrored,
            crops=config.cached_crops,
            max_gib=config.max_cache_gib,
            progress=progress,
        )


def make_map_source(encoder: Encoder, *, autocast: bool) -> MapSource:
    """The frozen layers of an encoder, with batch norms folded, as a feature cache wants them."""
    folded = copy.deepcopy(encoder)
    folded.fold_batch_norms()
    size, device = encoder.image_size, encoder.positions.device

    def encode(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            return folded.trunk(pixels)

    return MapSource(
        encode=encode,
        fingerprint=f"{encoder.frozen_fingerprint()} {autocast}",
        image_size=size,
        map_shape=tuple(encode(torch.zeros(1, 3, size, size, device=device)).shape[1:]),
        device=device,
    )
