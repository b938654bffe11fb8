"""Token lists of different lengths to one array, or one tensor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from captioner.data.vocabulary import PADDING, START

if TYPE_CHECKING:
    from torch import Tensor


def pad(lists: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Lists of R ids, filled up to the longest: (R, longest)."""
    padded = np.full((len(lists), max(map(len, lists), default=0)), PADDING)
    for row, ids in enumerate(lists):
        padded[row, : len(ids)] = ids
    return padded


def pad_captions(captions: Sequence[Sequence[int]]) -> "tuple[Tensor, list[int]]":
    """Token lists, each ending with END, to tokens (C, 1 + longest) after START, and lengths."""
    import torch  # here, so that ONNX Runtime does without

    tokens = np.hstack([np.full((len(captions), 1), START), pad(captions)])
    return torch.from_numpy(tokens), [len(caption) for caption in captions]


def pad_questions(questions: Sequence[Sequence[int]]) -> "tuple[Tensor, list[int]]":
    """Word ids of R questions to words (R, Q), padded, and the length of each."""
    import torch

    return torch.from_numpy(pad(questions)), [len(question) for question in questions]
