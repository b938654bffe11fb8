"""Losses and scores on held-out pictures during training."""

from collections import defaultdict
from pathlib import Path

import torch

from captioner.config.settings import DecodingConfig
from captioner.data.caption_batches import CaptionBatches
from captioner.data.question_batches import QuestionBatches
from captioner.decoding.beam_search import decode
from captioner.decoding.step import limits_in_tokens
from captioner.metrics.bleu import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.metrics.vqa_accuracy import vqa_accuracy
from captioner.model.captioning_model import CaptioningModel
from captioner.training import distributed
from captioner.training.losses import answer_loss, caption_loss
from captioner.training.selection import Validation
from captioner.training.setup import Interrupted, Reporter
from captioner.training.step import answer_batch, frozen_maps


@torch.no_grad()
def evaluate_captions(
    model: CaptioningModel,
    batches: CaptionBatches,
    decoding: DecodingConfig,
    *,
    autocast: bool,
    reporter: Reporter,
) -> Validation:
    """Loss on the held-out captions, and scores of the captions that the model writes.

    The loss is in nats per token; BLEU-4 and CIDEr (the variant CIDEr-D) equal the official code,
    as fractions; "different words" is the number of different words in all captions together.
    Each process does its parts of the batches, and all get the scores of the whole set.
    """
    model.eval()
    decoder, vocabulary = model.caption_parts()
    device = model.encoder.positions.device
    limits = limits_in_tokens(decoding, vocabulary)
    loss, words, done = 0.0, 0, 0
    captions: list[list[tuple[int, list[str]]]] = []  # of each batch, with the picture's index
    for batch in batches.epoch(0):
        done += batch.part.pictures
        if not batch.indices:
            captions.append([])
            continue
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            features = model.encoder.head(frozen_maps(model.encoder, batch.views))  # (B, N, D)
            forced = decoder(
                batch.tokens.to(device), batch.lengths, batch.rows.to(device), features
            )
            hypotheses = decode(decoder, features, limits)
        mean = caption_loss(forced, label_smoothing=0.0, attention_penalty=0.0)
        loss += float(mean) * sum(batch.lengths)
        words += sum(batch.lengths)
        texts = [vocabulary.decode(best.tokens) for best, *_ in hypotheses]
        captions.append([(i, tokenize(t)) for i, t in zip(batch.indices, texts, strict=True)])
        _progress(reporter, "validating captions", done, len(batches.pictures))
    loss, words = distributed.add_up(torch.tensor([loss, words], dtype=torch.float64)).tolist()
    # Batch by batch, as if there were one process: equal scores then have equal roundings.
    whole = [
        pair for parts in zip(*distributed.gather(captions), strict=True) for pair in sum(parts, [])
    ]
    candidates = [caption for _, caption in whole]
    references = [
        [tokenize(text) for text in batches.pictures[index].captions] for index, _ in whole
    ]
    consensus = cider_d(candidates, references)  # (P,)
    scores = {
        "validation loss": loss / words,
        "BLEU-4": float(bleu(candidates, references)[3]),
        "CIDEr": float(consensus.mean()),
        "different words": len({word for caption in candidates for word in caption}),
    }
    return Validation(scores, captions=[[value, 1.0] for value in consensus.tolist()])


@torch.no_grad()
def evaluate_answers(
    model: CaptioningModel, batches: QuestionBatches, *, autocast: bool, reporter: Reporter
) -> Validation:
    """Loss (nats per question) and accuracy (equal to the official code, a fraction) on questions.

    The loss is over the questions with an answer in the answer vocabulary, the accuracy over all
    questions of all sets. Each process does its parts of the batches.
    """
    model.eval()
    device = model.encoder.positions.device
    loss, known, done = 0.0, 0, 0
    accuracies: dict[int, float] = {}  # by the question's index
    for batch in batches.epoch(0):
        done += batch.part.texts
        if not batch.indices:
            continue
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            logits = answer_batch(model, batch).logits  # (R, answers)
        valid = batch.targets.sum(1) > 0  # (R,)
        if valid.any():
            mean = answer_loss(logits[valid], batch.targets[valid].to(device), label_smoothing=0.0)
            loss += float(mean) * int(valid.sum())
            known += int(valid.sum())
        for index, best in zip(batch.indices, logits.argmax(1).tolist(), strict=True):
            accuracies[index] = vqa_accuracy(
                batches.answers[best], batches.questions[index].answers
            )
        _progress(reporter, "validating answers", done, len(batches.questions))
    loss, known = distributed.add_up(torch.tensor([loss, known], dtype=torch.float64)).tolist()
    whole = {
        index: value for part in distributed.gather(accuracies) for index, value in part.items()
    }
    by_picture: defaultdict[Path, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for index, accuracy in sorted(whole.items()):
        sums = by_picture[batches.questions[index].path]
        sums[0] += accuracy
        sums[1] += 1
    scores = {
        "validation answer loss": loss / max(known, 1),
        "accuracy": sum(whole.values()) / len(whole),
    }
    return Validation(scores, answers=list(by_picture.values()))


def _progress(reporter: Reporter, task: str, done: int, total: int) -> None:
    reporter.progress(task, done, total, "")
    if reporter.interrupted():
        raise Interrupted
