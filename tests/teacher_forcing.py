"""What every decoder owes: forward() over captions is step() repeated."""

import torch
from torch import Tensor

from captioner.batches import pad
from captioner.decoder import CaptionDecoder
from captioner.vocabulary import END

CAPTIONS = [[4, 5, 6, 7, END], [8, 9, END], [10, END]]
PICTURES = torch.tensor([0, 1, 1])  # which of two each of them describes


def assert_forward_repeats_step(decoder: CaptionDecoder, features: Tensor) -> None:
    """The same logits and weights; and the loss's gradient reaches every parameter.

    features (2, N, D): of the two pictures.
    """
    tokens, lengths = pad(CAPTIONS)
    whole = decoder(tokens, lengths, PICTURES, features)
    for row, caption in enumerate(CAPTIONS):
        own = features[PICTURES[row]].unsqueeze(0)
        keys, state = decoder.attention.project(own), decoder.start(own)
        for position in range(len(caption)):
            logits, state, weights = decoder.step(tokens[row, position][None], state, own, keys)
            torch.testing.assert_close(whole.logits[whole.captions == row][position], logits[0])
            torch.testing.assert_close(whole.weights[whole.captions == row][position], weights[0])
    whole.logits.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
