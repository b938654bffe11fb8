"""The feature cache: what it holds, that it resumes, and what it refuses."""

import dataclasses
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from captioner.data.augmentation import random_crop
from captioner.data.feature_cache import BATCH, FeatureCache, build_cache
from captioner.data.images import open_picture, to_tensor
from captioner.errors import CaptionerError
from captioner.model.encoder import Encoder
from captioner.training.setup import make_map_source


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    files = []
    for number in range(BATCH + 5):
        picture = Image.new("RGB", (40, 30), (number * 6, 90, 200 - number * 5))
        picture.paste((255, 255, 0), (0, 0, number + 1, 15))
        files.append(folder / f"{number}.png")
        picture.save(files[-1])
    return files


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(
        backbone="mobilenet_v2",
        last_stage="features.3",
        image_size=33,
        feature_size=6,
        feature_dropout=0.0,
    ).eval()


def build(
    encoder: Encoder,
    pictures: list[Path],
    folder: Path,
    progress: list[int] | Callable[[int], None],
    max_gib: float = 1.0,
    mirrored: bool = True,
    crops: int = 0,
    encoded: list[int] | None = None,
) -> FeatureCache:
    """Build a cache; encoded: gets how many pictures the encoder was given, batch by batch."""
    source = make_map_source(encoder, autocast=False)

    def encode(pixels: Tensor) -> Tensor:
        if encoded is not None:
            encoded.append(len(pixels))
        return source.encode(pixels)

    return build_cache(
        dataclasses.replace(source, encode=encode),
        pictures,
        folder,
        mirrored=mirrored,
        crops=crops,
        max_gib=max_gib,
        progress=progress.append if isinstance(progress, list) else progress,
    )


def test_it_holds_the_frozen_stages_output_of_each_picture_and_its_mirror_image(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    progress: list[int] = []
    cache = build(encoder, pictures, tmp_path, progress)
    assert progress == [BATCH, BATCH + 5]
    for index in (0, 7, BATCH + 4):
        pixels = to_tensor(open_picture(pictures[index]), 33).unsqueeze(0)
        for mirrored in (False, True):
            expected = encoder.trunk(pixels.flip(3) if mirrored else pixels)[0]
            torch.testing.assert_close(
                cache.read(index, 0, mirrored).float(), expected, rtol=2e-3, atol=2e-3
            )
    [file] = tmp_path.glob("*.f16")
    assert file.stat().st_size == make_map_source(encoder, autocast=False).cache_size(
        len(pictures), mirrored=True, crops=0
    )


def test_an_interrupted_build_goes_on_and_a_finished_one_is_reused(
    encoder: Encoder, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(encoder, pictures, tmp_path / "whole", [])
    monkeypatch.setattr("captioner.data.feature_cache.SAVE_BATCHES", 1)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(encoder, pictures, tmp_path, interrupt)
    progress: list[int] = []
    resumed = build(encoder, pictures, tmp_path, progress)
    assert progress == [BATCH + 5]
    assert (resumed.maps == whole.maps).all()
    progress.clear()
    build(encoder, pictures, tmp_path, progress)
    assert progress == []


def assert_same_maps(cache: FeatureCache, pictures: list[int], whole: FeatureCache) -> None:
    """The cache holds, in its order, these pictures of another one, both ways round."""
    for index, picture in enumerate(pictures):
        for mirrored in (False, True):
            assert torch.equal(cache.read(index, 0, mirrored), whole.read(picture, 0, mirrored))


def test_another_list_of_pictures_encodes_only_what_is_new(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    whole = build(encoder, pictures, tmp_path / "whole", [])
    first = build(encoder, pictures[3:6], tmp_path, [])
    progress, encoded = list[int](), list[int]()
    chosen = [7, 5, 1, 4, 3, 8, 7]  # in another order, one of them twice
    second = build(encoder, [pictures[i] for i in chosen], tmp_path, progress, encoded=encoded)
    assert progress == [len(chosen)]
    assert sum(encoded) == 2 * len({7, 1, 8})
    assert_same_maps(second, chosen, whole)
    assert_same_maps(first, [3, 4, 5], whole)  # opened before the file grew
    [file] = tmp_path.glob("*.f16")
    one = make_map_source(encoder, autocast=False).cache_size(1, mirrored=True, crops=0)
    assert file.stat().st_size == 6 * one


def test_mirror_images_are_added_to_what_was_kept_without(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    whole = build(encoder, pictures, tmp_path / "whole", [])
    plain = build(encoder, pictures[:4], tmp_path, [], mirrored=False)
    encoded: list[int] = []
    both = build(encoder, pictures[2:7], tmp_path, [], encoded=encoded)
    assert encoded == [3, 5]  # as they are, and mirrored
    assert_same_maps(both, [2, 3, 4, 5, 6], whole)
    assert torch.equal(plain.read(3, 0, False), whole.read(3, 0, False))
    encoded.clear()
    build(encoder, pictures[:7], tmp_path, [], mirrored=False, encoded=encoded)
    assert encoded == []


def test_crops_are_added_to_what_was_kept_without(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    plain = build(encoder, pictures[:5], tmp_path, [])
    encoded: list[int] = []
    cropped = build(encoder, pictures[:5], tmp_path, [], crops=2, encoded=encoded)
    assert encoded == [5, 5, 5, 5]  # two crops, as they are and mirrored
    assert (plain.crops, cropped.crops) == (0, 2)
    assert_same_maps(cropped, [0, 1, 2, 3, 4], plain)
    for crop in (1, 2):
        part = random_crop(open_picture(pictures[3]), 33, zlib.crc32(f"3.png {crop}".encode()))
        pixels = to_tensor(part, 33).unsqueeze(0)
        for mirrored in (False, True):
            expected = encoder.trunk(pixels.flip(3) if mirrored else pixels)[0]
            found = cropped.read(3, crop, mirrored).float()
            torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert not torch.equal(cropped.read(3, 1, False), cropped.read(3, 2, False))


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_picture_that_changed_is_encoded_again(
    encoder: Encoder, pictures: list[Path], tmp_path: Path, change: str
) -> None:
    files = [Path(shutil.copy2(picture, tmp_path)) for picture in pictures[:3]]
    before = build(encoder, files, tmp_path, [])
    stat = files[1].stat()
    if change == "size":
        Image.new("RGB", (50, 20), "red").save(files[1])
        os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    encoded: list[int] = []
    after = build(encoder, files, tmp_path, [], encoded=encoded)
    assert encoded == [1, 1]
    assert torch.equal(after.read(1, 0, True), before.read(1, 0, True)) == (change == "time")
    assert torch.equal(after.read(2, 0, True), before.read(2, 0, True))


@pytest.mark.parametrize("damage", ["cut index", "short file", "long index"])
def test_a_damaged_cache_is_made_anew_and_that_too_can_be_interrupted(
    encoder: Encoder, pictures: list[Path], tmp_path: Path, damage: str
) -> None:
    whole = build(encoder, pictures, tmp_path / "whole", [])
    build(encoder, pictures, tmp_path, [])
    [file], [index] = tmp_path.glob("*.f16"), tmp_path.glob("*.index")
    if damage == "short file":
        os.truncate(file, 1000)
    else:
        os.truncate(index, index.stat().st_size + (-3 if damage == "cut index" else 8))

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(encoder, pictures, tmp_path, interrupt)
    progress: list[int] = []
    assert (build(encoder, pictures, tmp_path, progress).maps == whole.maps).all()
    assert progress == [BATCH, BATCH + 5]


def test_a_flipped_bit_is_found_when_it_is_first_read(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    whole = build(encoder, pictures, tmp_path / "whole", [])
    cache = build(encoder, pictures, tmp_path, [])
    [file] = tmp_path.glob("*.f16")
    byte_index = int(cache.places[3, 0, 1]) * cache.maps[0].nbytes  # of picture 3's mirror image
    with file.open("r+b") as opened:
        opened.seek(byte_index)
        [byte] = opened.read(1)
        opened.seek(byte_index)
        opened.write(bytes([byte ^ 4]))
    damaged = build(encoder, pictures, tmp_path, [])
    for picture, mirrored in ((2, True), (3, False), (4, False), (4, True)):
        assert torch.equal(damaged.read(picture, 0, mirrored), whole.read(picture, 0, mirrored))
    with pytest.raises(
        CaptionerError, match=r"damaged \(the maps of picture 3.*delete it and go on"
    ):
        damaged.read(3, 0, True)
    file.unlink()
    assert (build(encoder, pictures, tmp_path, []).maps == whole.maps).all()


def test_of_two_that_build_one_cache_the_second_waits_and_uses_it(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    second: list[Future[FeatureCache]] = []
    progress: list[int] = []
    with ThreadPoolExecutor(1) as pool:

        def start_second(done: int) -> None:
            if not second:
                second.append(pool.submit(build, encoder, pictures, tmp_path, progress))
                wait(second, timeout=0.5)

        first = build(encoder, pictures, tmp_path, start_second)
        assert (second[0].result().maps == first.maps).all()
    assert progress == []


@pytest.mark.parametrize("kept", [0, 4])
def test_room_is_needed_for_what_is_new_alone(
    encoder: Encoder,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
) -> None:
    if kept:
        build(encoder, pictures[:kept], tmp_path, [])
    size = make_map_source(encoder, autocast=False).cache_size(1, mirrored=True, crops=0)
    disk = 6 * size + 1000

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=disk - sum(f.stat().st_size for f in folder.glob("*.f16")))

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("captioner.data.feature_cache.shutil.disk_usage", usage)
    with pytest.raises(CaptionerError, match=r"needs .* but .* has"):
        build(encoder, pictures[:7], tmp_path, [])
    monkeypatch.setattr("captioner.data.feature_cache.BATCH", 1)
    with pytest.raises(KeyboardInterrupt):  # before the index says anything of the new ones
        build(encoder, pictures[:6], tmp_path, interrupt)
    encoded: list[int] = []
    build(encoder, pictures[:6], tmp_path, [], encoded=encoded)
    assert sum(encoded) == 2 * (6 - kept)


def test_other_weights_get_a_cache_of_their_own(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    build(encoder, pictures, tmp_path, [])
    torch.manual_seed(1)
    other = Encoder(
        backbone="mobilenet_v2",
        last_stage="features.3",
        image_size=33,
        feature_size=6,
        feature_dropout=0.0,
    )
    build(other, pictures, tmp_path, [])
    assert len(list(tmp_path.glob("*.f16"))) == 2
    weight = next(other.stages.parameters())
    with torch.no_grad():
        weight[0] = 0.0
        build(other, pictures, tmp_path, [])
        weight[0] = -0.0  # what rounding leaves of the smallest weights, and no other weight
        build(other, pictures, tmp_path, [])
    assert len(list(tmp_path.glob("*.f16"))) == 3


def test_a_cache_too_large_or_a_bad_picture_is_refused(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(CaptionerError, match="more than max_cache_gib 1e-06"):
        build(encoder, pictures, tmp_path, [], max_gib=1e-6)
    assert not list(tmp_path.glob("*.f16"))
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    with pytest.raises(CaptionerError, match=r"bad\.jpg is not a picture"):
        build(encoder, [*pictures[:3], bad], tmp_path, [])
