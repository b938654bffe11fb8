"""The model that a run starts from: new, or from a checkpoint with what a new task needs."""

import dataclasses
import re
from pathlib import Path

import torch

from captioner.config.settings import DROPOUTS, ModelConfig, RunConfig, TrainingConfig
from captioner.data.question_batches import common_answers
from captioner.data.vocabulary import VOCABULARIES, Vocabulary
from captioner.errors import CaptionerError
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.model.pretrained import load_weights
from captioner.training.data import Texts


def build_model(run: RunConfig, train: Texts, started: Checkpoint | None) -> CaptioningModel:
    """Build the model that training starts from; `started`: the checkpoint in start_from, if any.

    Raises CaptionerError where settings or weights do not fit.
    """
    config = run.training
    if started is not None:
        model = _extend(run, train, started.model)
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


def _extend(run: RunConfig, train: Texts, started: CaptioningModel) -> CaptioningModel:
    """The model of the checkpoint to start from, with what it needs for a task new to it."""
    file = Path(run.training.start_from)
    model = CaptioningModel(
        _config_for_finetuning(started, run.model, run.training),
        started.vocabulary or _caption_words(run, train),
        started.question_vocabulary or _question_words(run, train),
        started.answer_texts or _answers(run, train),
    )
    known = checkpoint.named_tensors(started)
    if started.decoder is None:  # the shared attention is named after the first head that has it
        first = "decoder" if model.decoder is not None else "answers"
        known = {
            re.sub(r"^answers\.attention\.", f"{first}.attention.", name): value
            for name, value in known.items()
        }
    checkpoint.fill(model, checkpoint.named_tensors(model) | known, file)
    if started.answers is None and model.answers is not None and model.config.tokens == "word":
        _copy_word_embeddings(model)
    return model


def _copy_word_embeddings(model: CaptioningModel) -> None:
    """Copy the word embeddings of the decoder to the same words of the questions."""
    decoder, vocabulary = model.writer()
    head, question_vocabulary = model.answerer()
    indices = {word: index for index, word in enumerate(vocabulary.words)}
    with torch.no_grad():
        for index, word in enumerate(question_vocabulary.words):
            if word in indices:
                head.embedding.weight[index] = decoder.embedding.weight[indices[word]]


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


def _config_for_finetuning(
    started: CaptioningModel, new: ModelConfig, config: TrainingConfig
) -> ModelConfig:
    """The settings of the started model, with the dropout of the new settings.

    The settings of the answer head can be chosen as long as the model has none. Raises
    CaptionerError where another setting differs.
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
