"""How good a model is on held-out pictures while it trains: loss, and scores of what it writes."""

import torch

from captioner.batches import CaptionBatches
from captioner.config import DecodingConfig
from captioner.losses import caption_loss
from captioner.metrics.bleu import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.tokenizer import tokenize
from captioner.model import CaptioningModel
from captioner.search import find_captions
from captioner.training_task import Interrupted, Reporter


@torch.no_grad()
def evaluate(
    model: CaptioningModel,
    batches: CaptionBatches,
    decoding: DecodingConfig,
    *,
    autocast: bool,
    reporter: Reporter,
) -> dict[str, float]:
    """Loss of the held-out captions, and scores of free-running decoding.

    The loss is in nats a token; BLEU-4 and CIDEr (the variant CIDEr-D) are the official code's, as
    fractions; different words counts those in all the captions written.
    """
    model.eval()
    device = model.encoder.positions.device
    limits = model.vocabulary.search_limits(decoding)
    loss, words, done = 0.0, 0, 0
    candidates: list[list[str]] = []
    references: list[list[list[str]]] = []
    for batch in batches.epoch(0):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            features = model.encoder.head(batch.maps(model.encoder))
            forced = model.decoder(
                batch.tokens.to(device), batch.lengths, batch.rows.to(device), features
            )
            found = find_captions(model.decoder, features, limits)
        mean = caption_loss(forced, label_smoothing=0.0, attention_penalty=0.0)
        loss += float(mean) * sum(batch.lengths)
        words += sum(batch.lengths)
        candidates += [tokenize(model.vocabulary.decode(best[0].tokens)) for best in found]
        texts = [batches.pictures[index].captions for index in batch.indices]
        references += [[tokenize(text) for text in captions] for captions in texts]
        done += len(found)
        reporter.progress("validating", done, len(batches.pictures), "")
        if reporter.interrupted():
            raise Interrupted
    return {
        "validation loss": loss / words,
        "BLEU-4": float(bleu(candidates, references)[3]),
        "CIDEr": float(cider_d(candidates, references).mean()),
        "different words": len({word for caption in candidates for word in caption}),
    }
