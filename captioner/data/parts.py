"""The parts of a batch: one for each process, or several that are computed one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Where a part lies in its whole batch.

    pictures, texts, words: of the whole batch, words with END. first_picture, first_text: how many
    of the whole batch's come before this part.
    """

    pictures: int
    texts: int
    words: int
    first_picture: int
    first_text: int


@dataclass(frozen=True)
class Parts:
    """Each batch is divided into `count` parts, of which this process has those of `own`."""

    count: int = 1
    own: range = range(1)

    def divide(
        self, items: Sequence[Item], lengths: Sequence[Sequence[int]]
    ) -> list[tuple[Sequence[Item], Part]]:
        """This process's parts, which differ by one picture at most and may be empty.

        items: one for each picture of the whole batch; lengths: the words of each of its texts.
        """
        ends = [len(items) * index // self.count for index in range(self.count + 1)]
        words, texts = sum(map(sum, lengths)), list(map(len, lengths))
        return [
            (
                items[ends[index] : ends[index + 1]],
                Part(len(items), sum(texts), words, ends[index], sum(texts[: ends[index]])),
            )
            for index in self.own
        ]


WHOLE = Parts()
