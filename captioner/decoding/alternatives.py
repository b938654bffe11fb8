"""Find the most probable other words at each word of a caption, in one teacher-forced pass."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, PADDING, START, CharacterVocabulary
from captioner.decoding.outputs import Caption, Word
from captioner.decoding.step import next_log_probs
from captioner.model.captioning_model import CaptioningModel

Alternatives = tuple[tuple[Word, ...], ...]  # for each word of a caption, other words, best first


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
    """Find the `count` most probable alternatives to each word of each caption.

    features: (B, N, D); pictures: for each caption the index of its picture; decoding: how the
    captions were found, so that the same tokens are banned. An alternative may be more probable
    than the word itself and may be "<end>". Models that write characters have no alternatives.
    """
    decoder, vocabulary = model.caption_parts()
    if not captions or isinstance(vocabulary, CharacterVocabulary):
        return [tuple(() for _ in caption.words) for caption in captions]
    lines = [torch.tensor([START, *caption.tokens, END]) for caption in captions]
    forced = decoder(
        pad_sequence(lines, batch_first=True, padding_value=PADDING).to(features.device),
        [len(line) - 1 for line in lines],
        torch.tensor(pictures, device=features.device),
        features,
    )
    results = []
    for number, line in enumerate(lines):
        logits = forced.logits[forced.captions == number]  # (T + 1, V)
        written = line[1:].to(features.device)  # (T + 1,)
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
        results.append(tuple(alternatives))
    return results
