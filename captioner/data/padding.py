"""Token lists of different lengths to one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.data.vocabulary import PADDING, START


def pad_captions(captions: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
    """Token lists, each ending with END, to tokens (C, 1 + longest) after START, and lengths."""
    lengths = [len(caption) for caption in captions]
    tokens = torch.full((len(captions), 1 + max(lengths, default=0)), PADDING)
    tokens[:, 0] = START
    for row, caption in enumerate(captions):
        tokens[row, 1 : 1 + len(caption)] = torch.tensor(caption)
    return tokens, lengths


def pad_questions(questions: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
    """Word ids of R questions to words (R, Q), padded, and the length of each."""
    lengths = [len(question) for question in questions]
    words = torch.full((len(questions), max(lengths, default=0)), PADDING)
    for row, question in enumerate(questions):
        words[row, : len(question)] = torch.tensor(question)
    return words, lengths
