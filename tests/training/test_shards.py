"""Training from tar shards is training from the same pictures in a folder."""

import dataclasses
from pathlib import Path

import pytest
from helpers import CPU, Quiet, assert_equal, settings, weights

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.config.toml_file import read_stages
from captioner.data.caption_files import read_captions
from captioner.data.shard_writing import make_shards
from captioner.training.loop import fit
from captioner.training.setup import Interrupted


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> Path:
    found = read_captions(pictures / "captions.jsonl", [pictures])
    list(make_shards(found, tmp_path / "shards", pictures_per_shard=3))
    return tmp_path / "shards"


def from_shards(run: RunConfig, folder: str) -> RunConfig:
    captions = SplitConfig(captions=(folder,))
    data = DataConfig(images=(folder,), train=captions, val=captions)
    return dataclasses.replace(run, data=data)


@pytest.mark.parametrize(
    "changes", [{}, {"augment": True, "workers": 2}], ids=["cached", "augmented"]
)
def test_interrupted_and_resumed_from_shards_equals_from_files(
    pictures: Path, folder: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    """To the bit: the same pictures in the same order, split over workers, from any step on."""
    run = settings(pictures, **changes)
    fit(run, tmp_path / "files", device=CPU, resume=False, reporter=Quiet())
    run, output = from_shards(run, str(folder)), tmp_path / "tars"
    with pytest.raises(Interrupted):
        fit(run, output, device=CPU, resume=False, reporter=Quiet(stop_after=6))
    fit(run, output, device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(tmp_path / "files"), weights(output))


def test_training_from_a_store_equals_from_files(
    pictures: Path, folder: Path, tmp_path: Path
) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for file in folder.iterdir():
        store.pipe_file(f"/trained/{file.name}", file.read_bytes())
    run = settings(pictures, epochs=1)
    fit(run, tmp_path / "files", device=CPU, resume=False, reporter=Quiet())
    run = from_shards(run, "memory://trained")
    fit(run, tmp_path / "store", device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(tmp_path / "files"), weights(tmp_path / "store"))
    [kept] = read_stages(tmp_path / "store" / "settings.toml").values()
    assert kept.data.images == ("memory://trained",)  # as --resume will read it
