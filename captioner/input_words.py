"""What training lets the decoder read in place of the words of the reference."""

import torch
from torch import Tensor

from captioner.decoder import TeacherForced
from captioner.vocabulary import END, NEVER_WRITTEN, START, UNKNOWN


def drop_words(inputs: Tensor, probability: float) -> Tensor:
    """Each word of inputs (captions, T) becomes unknown with this probability; START never does.

    Word dropout (Bowman et al. 2016, section 3.1): what is left to go by is the picture. Draws
    from torch's global random state, as dropout does.
    """
    dropped = torch.rand(inputs.shape, device=inputs.device) < probability
    return inputs.masked_fill(dropped & (inputs != START), UNKNOWN)


def mix_words(inputs: Tensor, predicted: TeacherForced, probability: float) -> Tensor:
    """Each word of inputs (captions, T) with this probability becomes one that the model drew.

    Scheduled sampling (Bengio et al. 2015, section 2.4) in two passes (Mihaylova and Martins 2019):
    predicted is teacher forcing over the same captions, and in a word's place comes one drawn from
    its distribution given the reference before it. As in decoding, nothing that is never written is
    drawn, and no END, after which there is nothing to read. Draws from torch's global random state.
    """
    drawn = torch.rand(predicted.targets.shape, device=inputs.device) < probability
    drawn &= predicted.targets != END  # which no word is predicted from
    logits = predicted.logits[drawn].float()
    logits[:, [*NEVER_WRITTEN, END]] = float("-inf")
    words = torch.multinomial(torch.softmax(logits, dim=-1), 1).squeeze(1)
    mixed = inputs.clone()
    mixed[predicted.captions[drawn], predicted.positions[drawn] + 1] = words
    return mixed
