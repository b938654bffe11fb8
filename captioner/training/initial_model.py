"""The model that a run starts from: new, or from a checkpoint with what a new task needs."""

import dataclasses
import re
from pathlib import Path

import torch
from torch import Tensor

from captioner.config.run import RunConfig
from captioner.config.settings import DROPOUTS, ModelConfig
from captioner.data.question_batches import common_answers
from captioner.data.vocabulary import VOCABULARIES, Vocabulary
from captioner.data.word_coverage import default_min_count
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
        head, _ = model.answer_parts()
        model.requires_grad_(False)
        model.encoder.freeze()
        for name, parameter in head.named_parameters():
            parameter.requires_grad_(not name.startswith("attention."))
    return model


def _extend(run: RunConfig, train: Texts, started: CaptioningModel) -> CaptioningModel:
    """The model of the checkpoint to start from, with what it needs for a task new to it."""
    file = Path(run.training.start_from)
    words, question_words = started.vocabulary, started.question_vocabulary
    if run.training.extend_vocabulary:
        captions = train.caption_texts()
        words = words and words.extended(captions, min_count=_min_count(run, captions))
        question_words = question_words and question_words.extended(
            train.question_texts(), min_count=run.training.question_min_count
        )
    model = CaptioningModel(
        _config_for_finetuning(started, run),
        words or _caption_words(run, train),
        question_words or _question_words(run, train),
        started.answer_texts or _answers(run, train),
    )
    known = checkpoint.named_tensors(started)
    if started.decoder is None:  # the shared attention is named after the first head that has it
        first = "decoder" if model.decoder is not None else "answers"
        known = {
            re.sub(r"^answers\.attention\.", f"{first}.attention.", name): value
            for name, value in known.items()
        }
    new = checkpoint.named_tensors(model)
    known = {
        name: _with_new_rows(value, new[name]) if name in _ROWS_OF_WORDS and name in new else value
        for name, value in known.items()
    }
    checkpoint.fill(model, new | known, file)
    if started.answers is None and model.answers is not None and model.config.tokens == "word":
        _copy_word_embeddings(model)
    return model


# The tensors with a row for each word of a vocabulary.
_ROWS_OF_WORDS = ("decoder.embedding.weight", "decoder.output_bias", "answers.embedding.weight")


def _with_new_rows(rows: Tensor, new: Tensor) -> Tensor:
    """Rows of known words, (V, ...), then one for each new word as in `new`, (V + new, ...).

    A new word begins with the mean bias: with none it would be the likeliest of all.
    """
    added = new[len(rows) :].detach().clone()
    if rows.dim() == 1:
        added[:] = rows.mean()
    return torch.cat([rows, added])


def _copy_word_embeddings(model: CaptioningModel) -> None:
    """Copy the word embeddings of the decoder to the same words of the questions."""
    decoder, vocabulary = model.caption_parts()
    head, question_vocabulary = model.answer_parts()
    indices = {word: index for index, word in enumerate(vocabulary.words)}
    with torch.no_grad():
        for index, word in enumerate(question_vocabulary.words):
            if word in indices:
                head.embedding.weight[index] = decoder.embedding.weight[indices[word]]


def _caption_words(run: RunConfig, train: Texts) -> Vocabulary | None:
    captions = train.caption_texts()
    if not captions:
        return None
    return VOCABULARIES[run.model.tokens].build(captions, min_count=_min_count(run, captions))


def _min_count(run: RunConfig, captions: list[str]) -> int:
    return run.training.min_count or default_min_count(len(captions))


def _question_words(run: RunConfig, train: Texts) -> Vocabulary | None:
    texts = train.question_texts()
    return Vocabulary.build(texts, min_count=run.training.question_min_count) if texts else None


def _answers(run: RunConfig, train: Texts) -> tuple[str, ...]:
    if not train.questions:
        return ()
    return common_answers(train.questions, run.training.answer_count)


def _config_for_finetuning(started: CaptioningModel, run: RunConfig) -> ModelConfig:
    """The settings of the started model, with the dropout of the run.

    The settings of the answer head can be chosen as long as the model has none. Raises
    CaptionerError where the run asks for another value of any other setting.
    """
    free = DROPOUTS if started.answers else (*DROPOUTS, "glimpses", "answer_size")
    config = dataclasses.replace(
        started.config, **{name: getattr(run.model, name) for name in free}
    )
    differences = {}
    for f in dataclasses.fields(config):
        wanted, own = getattr(run.model, f.name), getattr(config, f.name)
        if wanted != own and run.is_chosen("model", f.name):
            differences[f.name] = f"{f.name} {own}, not {wanted}"
    if differences:
        raise CaptionerError(
            f"{run.training.start_from} has {', '.join(differences.values())}; leave "
            f"{' and '.join(differences)} out, or train a new model without start_from"
        )
    return config
