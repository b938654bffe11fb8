"""Batches: everything once an epoch, the same for the same seed, resumable, views as promised."""

import pytest
import torch
from PIL import Image

from captioner.config.settings import TrainingConfig
from captioner.data.caption_batches import Batch, CaptionBatches
from captioner.data.caption_files import CaptionedPicture
from captioner.data.images import open_picture, to_tensor
from captioner.data.padding import pad_captions
from captioner.data.picture_loading import PictureSource
from captioner.data.vocabulary import END, PADDING, START, Vocabulary

VOCABULARY = Vocabulary(["a", "dog", "left", "of", "tree"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedPicture]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(7):
        picture = Image.new("RGB", (40, 40), (number * 30, 99, 50))
        picture.paste((255, 255, 255), (0, 0, 20, 40))  # white on the left
        file = folder / f"{number}.png"
        picture.save(file)
        captions = ("a dog", "a tree", "dog left of a tree" if number == 3 else "dog a tree")
        found.append(CaptionedPicture(file, number, captions))
    return found


def make(pictures: list[CaptionedPicture], **changes: object) -> CaptionBatches:
    chosen: dict[str, object] = {"pictures_per_batch": 3, "captions_per_picture": 2, "workers": 0}
    config = TrainingConfig(**(chosen | changes))  # type: ignore[arg-type]
    source = PictureSource([item.path for item in pictures], config, image_size=40, cache=None)
    return CaptionBatches(pictures, VOCABULARY, config, source)


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.views.pictures, other.views.pictures)
        and torch.equal(one.tokens, other.tokens)
        and (one.lengths, one.indices) == (other.lengths, other.indices)
    )


def test_every_picture_once_with_captions_of_its_own(pictures: list[CaptionedPicture]) -> None:
    batches = list(make(pictures, mirror=False).epoch(0))
    assert [len(batch.indices) for batch in batches] == [3, 3, 1]
    assert len(make(pictures)) == 3
    assert sorted(index for batch in batches for index in batch.indices) == list(range(7))
    for batch in batches:
        for line, length, row in zip(batch.tokens.tolist(), batch.lengths, batch.rows, strict=True):
            assert line[0] == START and line[length] == END
            assert set(line[length + 1 :]) <= {PADDING}
            text = VOCABULARY.decode(line[1:])
            assert text in pictures[batch.indices[row]].captions
        plain = to_tensor(open_picture(pictures[batch.indices[0]].path), 40)
        assert torch.equal(batch.views.pictures[0], plain)
        assert batch.rows.bincount().tolist() == [2] * len(batch.indices)


@pytest.mark.parametrize("augment", [False, True])
def test_seed_and_epoch_decide_and_an_epoch_can_be_resumed(
    pictures: list[CaptionedPicture], augment: bool
) -> None:
    whole = list(make(pictures, augment=augment).epoch(4))
    torch.rand(3)  # the global random state plays no part
    rest = list(make(pictures, augment=augment).epoch(4, first=1))
    assert all(same(one, other) for one, other in zip(whole[1:], rest, strict=True))
    assert whole[0].indices != next(make(pictures, augment=augment).epoch(5)).indices
    other = make(pictures, augment=augment, seed=1)
    assert whole[0].indices != next(other.epoch(4)).indices


def test_mirror_images_half_the_time_but_not_where_a_caption_says_left(
    pictures: list[CaptionedPicture],
) -> None:
    batches = make(pictures)
    mirrored = {index: 0 for index in range(7)}
    for epoch in range(40):
        for batch in batches.epoch(epoch):
            for index, pixels in zip(batch.indices, batch.views.pictures, strict=True):
                plain = to_tensor(open_picture(pictures[index].path), 40)
                turned = torch.equal(pixels, plain.flip(2))
                assert turned != torch.equal(pixels, plain)
                mirrored[index] += turned
    assert mirrored.pop(3) == 0
    # Of 240 fair coins, fewer than 90 or more than 150 fall once in ten thousand times.
    assert 90 <= sum(mirrored.values()) <= 150


def test_pad() -> None:
    tokens, lengths = pad_captions([[4, END], [5, 6, 4, END]])
    assert tokens.tolist() == [[START, 4, END, PADDING, PADDING], [START, 5, 6, 4, END]]
    assert lengths == [2, 4]
