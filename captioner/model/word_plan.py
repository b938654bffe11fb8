"""What teacher forcing computes at which word, found on the host from the lengths alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class ActiveRows:
    """The rows of a word: of how many captions, of how many pictures, and how large a group is."""

    captions: int
    pictures: int
    group: int


@dataclass(frozen=True)
class Words:
    """The words of teacher forcing: the rows of each position, and indices on the device.

    truncate_steps: after so many words no gradient flows to the word before; 0: never.
    """

    rows: Sequence[ActiveRows]
    indices: Sequence[Tensor]
    truncate_steps: int

    @property
    def captions(self) -> list[int]:
        """How many captions each position has."""
        return [rows.captions for rows in self.rows]

    def cut_before(self, position: int) -> bool:
        """Whether no gradient flows from this word to the one before."""
        return bool(self.truncate_steps and position and position % self.truncate_steps == 0)


class Plan:
    """What teacher forcing computes at which word: everything that follows from the lengths alone.

    It is computed on the host, so that a GPU need not be waited for. The longest captions come
    first. rows: of every word. indices: the words that are read (M,); the picture that each caption
    describes (captions,); the different pictures; targets, captions and positions as in
    TeacherForced, (M,) each. slots: of the captions of every word.

    Captions of the same picture form a group, so that attention reads its keys once for them. A
    caption's slot is its picture's rank, by first appearance, times the size of a group, plus its
    index among the picture's captions. The slots of captions that have ended are computed in vain,
    which costs less than a copy of the keys for each caption.
    """

    def __init__(self, tokens: Tensor, lengths: list[int], pictures: Tensor) -> None:
        order = np.argsort(-np.array(lengths), kind="stable")
        written, described = tokens.cpu().numpy()[order], pictures.cpu().numpy()[order]
        ranks: dict[int, int] = {}
        counts: Counter[int] = Counter()
        rank, index = np.empty_like(order), np.empty_like(order)
        for row, picture in enumerate(described.tolist()):
            rank[row] = ranks.setdefault(picture, len(ranks))
            index[row] = counts[picture]
            counts[picture] += 1
        active = [sum(n > position for n in lengths) for position in range(max(lengths))]
        groups, last = np.maximum.accumulate(index) + 1, np.maximum.accumulate(rank) + 1
        self.rows = [ActiveRows(n, int(last[n - 1]), int(groups[n - 1])) for n in active]
        self.slots = [
            rank[: rows.captions] * rows.group + index[: rows.captions] for rows in self.rows
        ]
        self.indices = (
            np.concatenate([written[:n, position] for position, n in enumerate(active)]),
            described,
            np.array(list(ranks)),
            np.concatenate([written[:n, position + 1] for position, n in enumerate(active)]),
            np.concatenate([order[:n] for n in active]),
            np.repeat(np.arange(len(active)), active),
        )


def head_indices(
    rows: Sequence[ActiveRows], slots: Sequence[NDArray[Any]], heads: int
) -> list[NDArray[Any]]:
    """The indices that `AllWords` needs; slots: those of the captions at each position.

    The first two say for each word (M,) which slot of all it has: counted one position after the
    other, and among the L of its picture. The others are those of all positions in a row: to the
    slots, head by head (b, heads, G), the parts of captions (count, heads); and back. Slots without
    a caption get a part of the first one, in vain.
    """
    numbers, length = np.arange(heads), sum(position.group for position in rows)
    in_all, in_picture, there, back = [], [], [], []
    before = groups = 0
    for position, slot in zip(rows, slots, strict=True):
        picture, index = np.divmod(slot, position.group)
        captions = np.zeros(position.pictures * position.group, np.int64)
        captions[slot] = np.arange(position.captions)
        parts = captions.reshape(-1, 1, position.group) * heads + numbers[:, None]
        there.append(parts.reshape(-1))
        head = picture[:, None] * heads + numbers  # (count, heads)
        back.append((head * position.group + index[:, None]).reshape(-1))
        in_all.append(before + slot)
        in_picture.append(picture * length + groups + index)
        before, groups = before + len(captions), groups + position.group
    return [np.concatenate(parts) for parts in (in_all, in_picture, there, back)]
