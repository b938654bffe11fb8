"""Everything a training run works with, made from its settings: model, batches, caches, reward."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from captioner import checkpoint
from captioner.batches import CaptionBatches
from captioner.checkpoint import Checkpoint
from captioner.config import DROPOUTS, ModelConfig, RunConfig, TrainingConfig
from captioner.datasets.questions import AskedQuestion
from captioner.encoder_weights import load_weights
from captioner.errors import CaptionerError
from captioner.features import GIB, FeatureCache, build_cache, cache_size
from captioner.metrics.answer_normalisation import normalise_list
from captioner.model import CaptioningModel
from captioner.picture_loading import PictureSource
from captioner.question_batches import QuestionBatches, common_answers
from captioner.rewards import CaptionReward
from captioner.training_data import Texts, describe, read_data
from captioner.training_log import TrainingLog
from captioner.training_state import restore_model
from captioner.vocabulary import VOCABULARIES, Vocabulary


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
    """What stays the same throughout a run.

    The batches of captions are None where the run learns no captions, those of questions where it
    learns no answers.
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

    @property
    def epoch_steps(self) -> int:
        """Steps an epoch: as many as the larger of the two sets has batches."""
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
    state: Path | None = None,
) -> Task:
    """Read the data, build the model with its weights, and build or reopen the feature caches.

    output: where the run's log and checkpoints go; caches: the folder of the feature caches. state:
    that of the run to resume, whose weights the model gets, or None. Raises CaptionerError where
    files are missing or wrong, or do not fit each other.
    """
    config = run.training
    train, held_out = read_data(run)
    started = checkpoint.load(checkpoint.named(config.start_from)) if config.start_from else None
    model = _model(run, train, started)
    train = Texts(train.captions, _answerable(train, model, config, reporter))
    if not config.freeze_captioner:
        _warn_of_the_other_task(model, train, reporter)
    run = dataclasses.replace(run, model=model.config)
    if state:
        restore_model(state, model)
    model.to(device)
    if config.autocast and device.type == "cpu" and not _has_bfloat16():
        reporter.note(
            "this processor computes bfloat16 many times slower than float32: turn autocast off"
        )
    plain = dataclasses.replace(
        config, mirror=False, augment=False, captions_per_picture=1000, pair_weight=0.0
    )
    captions, questions = _batches(train, model, config, caches, reporter, mirrored=config.mirror)
    val_captions, val_questions = _batches(held_out, model, plain, caches, reporter, mirrored=False)
    reward = None
    if config.self_critical and captions is not None:
        _, vocabulary = model.writer()
        texts = [item.captions for item in train.captions]
        reward = CaptionReward(
            texts,
            vocabulary,
            bleu_reward=config.bleu_reward,
            repeat_cost=config.repeat_cost,
        )
    return Task(
        run=run,
        output=output,
        model=model,
        captions=captions,
        val_captions=val_captions,
        questions=questions,
        val_questions=val_questions,
        reward=reward,
        device=device,
        reporter=reporter,
        log=TrainingLog(output / "log.jsonl"),
        data=describe(run.data, train) | ({"started from": started.data} if started else {}),
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
    """What is learned changes the encoder and the attention that the other task uses too."""
    for head, texts, name, remedy in (
        (model.decoder, train.captions, "captions", " or use --freeze-captioner"),
        (model.answers, train.questions, "questions", ""),
    ):
        if head is not None and not texts:
            reporter.note(
                f"the checkpoint has learned {name} too, and will get worse at them unseen: "
                f"give --{name}{remedy}"
            )


def _has_bfloat16() -> bool:
    """Whether matrix products in bfloat16 use the processor's own instructions."""
    there = torch.backends.mkldnn.is_available()
    return there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _model(run: RunConfig, train: Texts, started: Checkpoint | None) -> CaptioningModel:
    config = run.training
    if started is not None:
        model = _extended(run, train, started.model)
    else:
        words, asked = _caption_words(run, train), _question_words(run, train)
        model = CaptioningModel(run.model, words, asked, _answers(run, train))
        shipped = config.encoder_weights == "shipped"
        load_weights(
            model.encoder,
            str(checkpoint.default_checkpoint()) if shipped else config.encoder_weights,
        )
    if config.fine_tune_from:
        model.encoder.fine_tune(config.fine_tune_from, update_batch_norm=config.update_batch_norm)
    if config.half_precision:
        model.encoder.halve_frozen()
    if config.freeze_captioner:
        # Everything but the answer head's own weights; the attention is the captioner's too.
        head, _ = model.answerer()
        model.requires_grad_(False)
        model.encoder.freeze()
        for name, parameter in head.named_parameters():
            parameter.requires_grad_(not name.startswith("attention."))
    return model


def _extended(run: RunConfig, train: Texts, started: CaptioningModel) -> CaptioningModel:
    """The model of the checkpoint to start from, with what it needs for a task new to it."""
    file = Path(run.training.start_from)
    model = CaptioningModel(
        _changed(started, run.model, run.training),
        started.vocabulary or _caption_words(run, train),
        started.question_vocabulary or _question_words(run, train),
        started.answer_texts or _answers(run, train),
    )
    known = checkpoint.named_tensors(started)
    if started.decoder is None:  # the attention has the name of the first that it belongs to
        first = "decoder" if model.decoder is not None else "answers"
        known = {
            re.sub(r"^answers\.attention\.", f"{first}.attention.", name): value
            for name, value in known.items()
        }
    checkpoint.fill(model, checkpoint.named_tensors(model) | known, file)
    if started.answers is None and model.answers is not None and model.config.tokens == "word":
        _lend_words(model)
    return model


def _lend_words(model: CaptioningModel) -> None:
    """Start the vectors of a question's words from those that the captions have taught."""
    decoder, vocabulary = model.writer()
    head, question_vocabulary = model.answerer()
    places = {word: place for place, word in enumerate(vocabulary.words)}
    with torch.no_grad():
        for number, word in enumerate(question_vocabulary.words):
            if word in places:
                head.embedding.weight[number] = decoder.embedding.weight[places[word]]


def _caption_words(run: RunConfig, train: Texts) -> Vocabulary | None:
    captions = [caption for item in train.captions for caption in item.captions]
    if not captions:
        return None
    return VOCABULARIES[run.model.tokens].build(captions, min_count=run.training.min_count)


def _question_words(run: RunConfig, train: Texts) -> Vocabulary | None:
    texts = [item.text for item in train.questions]
    return Vocabulary.build(texts, min_count=run.training.question_min_count) if texts else None


def _answers(run: RunConfig, train: Texts) -> tuple[str, ...]:
    if not train.questions:
        return ()
    return common_answers(train.questions, run.training.answer_count)


def _changed(started: CaptioningModel, new: ModelConfig, config: TrainingConfig) -> ModelConfig:
    """The settings of a model that is trained further: its own, with the dropout asked for.

    What only the answer head has can be chosen as long as there is none.
    """
    free = DROPOUTS if started.answers else (*DROPOUTS, "glimpses", "answer_size")
    changed = dataclasses.replace(started.config, **{name: getattr(new, name) for name in free})
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
    cache = None
    if model.encoder.frozen_layers and not config.augment:
        cache = _cache(paths, model, config, caches, reporter, mirrored=mirrored)
    source = PictureSource(paths, config, image_size=model.config.image_size, cache=cache)
    captions, questions = None, None
    if texts.captions:
        captions = CaptionBatches(texts.captions, model.writer()[1], config, source)
    if texts.questions:
        vocabulary = model.answerer()[1]
        questions = QuestionBatches(texts.questions, vocabulary, model.answer_texts, config, source)
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
    size = cache_size(model.encoder, len(paths), mirrored=mirrored)
    reporter.note(f"feature cache of {len(paths)} pictures: {size / GIB:.2f} GiB in {caches}")

    def progress(done: int) -> None:
        reporter.progress("encoding pictures", done, len(paths), "")
        if reporter.interrupted():
            raise Interrupted

    return build_cache(
        model.encoder,
        paths,
        caches,
        mirrored=mirrored,
        max_gib=config.max_cache_gib,
        autocast=config.autocast,
        progress=progress,
    )
