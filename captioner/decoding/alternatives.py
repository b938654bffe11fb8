"""Which other words each word of a caption could have been: one teacher-forced pass over it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, PADDING, START, CharacterVocabulary
from captioner.decoding.outputs import Caption, Word
from captioner.decoding.step import next_log_probs
from captioner.model.captioning_model import CaptioningModel

Alternatives = tuple[tuple[Word, ...], ...]  # for each word of a caption, others, best first


@torch.no_grad()
def find_alternatives(
    model: CaptioningModel,
    features: Tensor,
    captions: Sequence[Caption],
    pictures: Sequence[int],
    decoding: DecodingConfig,
    *,
    count: int = 4,
) -> list[Alternatives]:
    """The `count` most probable other words in place of each word of each caption.

    features (B, N, D): of the pictures; pictures: which of them each caption describes; decoding:
    how the captions were found, whose bans hold here too. An alternative may be more probable than
    the word that was written, and "<end>" may be one. A model that writes characters has none,
    since its letters are not words.
    """
    decoder, vocabulary = model.writer()
    if not captions or isinstance(vocabulary, CharacterVocabulary):
        return [tuple(() for _ in caption.words) for caption in captions]
    lines = [torch.tensor([START, *caption.tokens, END]) for caption in captions]
    forced = decoder(
        pad_sequence(lines, batch_first=True, padding_value=PADDING).to(features.device),
        [len(line) - 1 for line in lines],
        torch.tensor(pictures, device=features.device),
        features,
    )
    found = []
    for number, line in enumerate(lines):
        logits = forced.logits[forced.captions == number]  # (T + 1, V)
        written = line[1:].to(features.device)
        alternatives = []
        for index, token in enumerate(line[1:-1].tolist()):
            log_probs = next_log_probs(
                logits[index : index + 1],
                written[None, :index],
                decoding.max_words,
                decoding.block_ngrams,
            )[0]  # (V,)
            log_probs[token] = float("-inf")
            best = log_probs.exp().topk(min(count, len(log_probs)))
            alternatives.append(
                tuple(
                    Word(vocabulary.words[other], prob)
                    for prob, other in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                    if prob > 0
                )
            )
        found.append(tuple(alternatives))
    return found
