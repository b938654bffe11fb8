"""The feature cache: what it holds, that it resumes, and what it refuses."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

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
) -> FeatureCache:
    return build_cache(
        make_map_source(encoder, autocast=False),
        pictures,
        folder,
        mirrored=True,
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
                cache.read(index, mirrored).float(), expected, rtol=2e-3, atol=2e-3
            )
    [file] = tmp_path.glob("*.f16")
    assert file.stat().st_size == make_map_source(encoder, autocast=False).cache_size(
        len(pictures), mirrored=True
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


@pytest.mark.parametrize("damage", ["cut checksums", "short file", "long checksums"])
def test_a_damaged_cache_is_made_anew_and_that_too_can_be_interrupted(
    encoder: Encoder, pictures: list[Path], tmp_path: Path, damage: str
) -> None:
    whole = build(encoder, pictures, tmp_path, []).maps.copy()
    [file], [checksums] = tmp_path.glob("*.f16"), tmp_path.glob("*.crc32")
    if damage == "short file":
        os.truncate(file, 1000)
    else:
        os.truncate(checksums, checksums.stat().st_size + (-3 if damage == "cut checksums" else 8))

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(encoder, pictures, tmp_path, interrupt)
    progress: list[int] = []
    assert (build(encoder, pictures, tmp_path, progress).maps == whole).all()
    assert progress == [BATCH, BATCH + 5]


def test_a_flipped_bit_is_found_when_it_is_first_read(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    whole = build(encoder, pictures, tmp_path, []).maps.copy()
    [file] = tmp_path.glob("*.f16")
    place = whole[:3].nbytes + whole[3, 0].nbytes  # the first byte of picture 3's mirror image
    with file.open("r+b") as opened:
        opened.seek(place)
        [byte] = opened.read(1)
        opened.seek(place)
        opened.write(bytes([byte ^ 4]))
    damaged = build(encoder, pictures, tmp_path, [])
    for picture in (2, 3, 4):
        assert torch.equal(damaged.read(picture, False), torch.from_numpy(whole[picture, 0]))
    assert torch.equal(damaged.read(4, True), torch.from_numpy(whole[4, 1]))
    with pytest.raises(
        CaptionerError, match=r"damaged \(the maps of picture 3.*delete it and go on"
    ):
        damaged.read(3, True)
    file.unlink()
    assert (build(encoder, pictures, tmp_path, []).maps == whole).all()


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


def test_what_was_begun_is_no_room_that_is_taken(
    encoder: Encoder, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(encoder, pictures, tmp_path, [])
    [file], [checksums] = tmp_path.glob("*.f16"), tmp_path.glob("*.crc32")
    checksums.unlink()  # stopped before the first were saved
    disk = make_map_source(encoder, autocast=False).cache_size(len(pictures), mirrored=True) + 1000

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=disk - (file.stat().st_size if file.exists() else 0))

    monkeypatch.setattr("captioner.data.feature_cache.shutil.disk_usage", usage)
    progress: list[int] = []
    build(encoder, pictures, tmp_path, progress)
    assert progress == [BATCH, BATCH + 5]


def test_other_weights_or_pictures_get_a_cache_of_their_own(
    encoder: Encoder, pictures: list[Path], tmp_path: Path
) -> None:
    build(encoder, pictures, tmp_path, [])
    build(encoder, pictures[1:], tmp_path, [])
    torch.manual_seed(1)
    other = Encoder(
        backbone="mobilenet_v2",
        last_stage="features.3",
        image_size=33,
        feature_size=6,
        feature_dropout=0.0,
    )
    build(other, pictures, tmp_path, [])
    assert len(list(tmp_path.glob("*.f16"))) == 3
    weight = next(other.stages.parameters())
    with torch.no_grad():
        weight[0] = 0.0
        build(other, pictures, tmp_path, [])
        weight[0] = -0.0  # what rounding leaves of the smallest weights, and no other weight
        build(other, pictures, tmp_path, [])
    assert len(list(tmp_path.glob("*.f16"))) == 4


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
