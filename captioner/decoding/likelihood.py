"""How probable given captions are, as a decoder that would write them word by word sees it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.data.padding import pad_captions
from captioner.model.decoder import CaptionDecoder


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
