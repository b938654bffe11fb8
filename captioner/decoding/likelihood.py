"""How probable given captions are, as a decoder that would write them word by word sees it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.data.padding import pad_captions
from captioner.data.word_coverage import word_coverage
from captioner.decoding.outputs import CaptionFit
from captioner.errors import CaptionerError, UnknownWords
from captioner.model.captioning_model import CaptioningModel
from captioner.model.decoder import CaptionDecoder


def match_captions(
    model: CaptioningModel, features: Tensor, captions: Sequence[str]
) -> list[CaptionFit]:
    """How well each of the captions fits a picture, in their order.

    features (2, N, D): of the picture, and of an empty grey one. Raises CaptionerError for no
    captions, and UnknownWords for a caption without any word that the model knows.
    """
    decoder, vocabulary = model.caption_parts()
    if isinstance(captions, str) or not captions:
        raise CaptionerError("match compares captions: give a list of one or more texts")
    coverage = []
    for caption in captions:
        if not isinstance(caption, str):
            raise CaptionerError(f"a caption is {caption!r}; expected a text")
        coverage.append(word_coverage([caption], vocabulary))
        if coverage[-1].texts_without_known:
            raise UnknownWords(f"no word of the caption {caption!r} is known to the model")
    tokens = [vocabulary.encode(caption) for caption in captions]
    means, unseen = (mean_log_probabilities(decoder, row[None], tokens) for row in features)
    # By how much the picture makes each caption likelier: short and usual ones do not win.
    shares = torch.softmax(means - unseen, 0)  # (C,)
    return [
        CaptionFit(caption, mean, share, found.commonest_unknown)
        for caption, mean, share, found in zip(
            captions, means.tolist(), shares.tolist(), coverage, strict=True
        )
    ]


@torch.no_grad()
def mean_log_probabilities(
    decoder: CaptionDecoder, features: Tensor, captions: Sequence[Sequence[int]]
) -> Tensor:
    """The mean log probability per token of each of C captions of one picture, (C,).

    features (1, N, D); captions: token ids with END. Each token is predicted from the picture and
    the tokens before it, as in training (teacher forcing).
    """
    tokens, lengths = pad_captions(captions)  # (C, 1 + T)
    device = features.device
    rows = torch.zeros(len(lengths), dtype=torch.long, device=device)  # (C,)
    forced = decoder(tokens.to(device), lengths, rows, features)
    log_probs = torch.log_softmax(forced.logits.float(), dim=-1)  # (M, V)
    chosen = log_probs.gather(1, forced.targets.unsqueeze(1)).squeeze(1)  # (M,)
    sums = torch.zeros(len(lengths), device=device).index_add(0, forced.captions, chosen)  # (C,)
    return sums / torch.tensor(lengths, device=device)
