"""Tar shards as a source of captions and pictures."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from helpers import make_picture

from captioner.data import shards
from captioner.data.addresses import expand
from captioner.data.caption_files import read_captions
from captioner.data.feature_cache import _keys, _variants
from captioner.data.images import open_picture
from captioner.data.shard_writing import make_shards
from captioner.errors import CaptionerError
from captioner.files import remote_address

CAPTIONS = {"a.png": ["a cat", "one cat"], "b.PNG": ['a dög, "wet"'], "c": ["a cup"]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(CAPTIONS):
        (folder / name).write_bytes(make_picture(seed))
    records = [
        {"image": name, "image_id": 10 + number, "captions": captions}
        for number, (name, captions) in enumerate(CAPTIONS.items())
    ]
    (folder / "captions.json").write_text(json.dumps(records))
    return folder


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """The three pictures in two shards."""
    found = read_captions(photos / "captions.json", [photos])
    shards_folder = tmp_path / "shards"
    assert list(make_shards(found, shards_folder, pictures_per_shard=2)) == [1, 2, 3]
    return shards_folder


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("indexed", [True, False])
def test_shards_give_back_the_captions_ids_and_files(photos: Path, folder: Path, indexed: bool):
    if not indexed:
        for file in folder.glob("*" + shards.INDEX_SUFFIX):
            file.unlink()
    before = read_captions(photos / "captions.json", [photos])
    after = read_captions(folder, [folder])
    assert [str(item.path.relative_to(folder)) for item in after] == [
        "shard-000000.tar/000000000.png",
        "shard-000000.tar/000000001.png",
        "shard-000001.tar/000000002.jpg",
    ]
    for one, other in zip(before, after, strict=True):
        assert (one.image_id, one.captions) == (other.image_id, other.captions)
        assert shards.read_picture_file(other.path) == one.path.read_bytes()
        assert open_picture(other.path).tobytes() == open_picture(one.path).tobytes()


def test_the_same_pictures_make_the_same_shards(photos: Path, folder: Path, tmp_path: Path):
    found = read_captions(photos / "captions.json", [photos])
    list(make_shards(found, tmp_path / "again", pictures_per_shard=2))
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_webdataset_reads_them(folder: Path):
    webdataset = pytest.importorskip("webdataset")
    pattern = str(folder / "shard-{000000..000001}.tar")
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False))
    assert [json.loads(sample["json"])["captions"] for sample in samples] == list(CAPTIONS.values())
    assert samples[0]["png"] == make_picture(0)


def test_shards_of_others_have_captions_as_json_or_as_lines(tmp_path: Path):
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        add(tar, "x/01.jpg", make_picture(1))
        add(tar, "x/01.txt", b"a cat\none cat\n")
        add(tar, "x/01.json", b'{"url": "http://a/b.jpg"}')
        add(tar, "x/02.json", b'{"caption": "a dog", "image_id": "two"}')
        add(tar, "x/02.txt", b"not this")
        add(tar, "x/02.jpg", make_picture(2))
        add(tar, "x/03.jpg", make_picture(3))  # without captions, it is left out
    first, second = read_captions(tmp_path / "00000.tar", [tmp_path])
    assert (first.image_id, first.captions) == ("00000.tar/x/01.jpg", ("a cat", "one cat"))
    assert (second.image_id, second.captions) == ("two", ("a dog",))
    assert shards.read_picture_file(second.path) == make_picture(2)


def test_shards_in_a_store(folder: Path):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for file in folder.iterdir():
        store.pipe_file(f"/sharded/{file.name}", file.read_bytes())
    here, there = Path("memory://sharded"), read_captions(folder, [folder])
    found = read_captions(here, [here])
    assert [item.captions for item in found] == [item.captions for item in there]
    for one, other in zip(found, there, strict=True):
        assert open_picture(one.path).tobytes() == open_picture(other.path).tobytes()
    keys = _keys([item.path for item in found], _variants(False, 0))
    assert len({key for own in keys for key in own.values()}) == 3


def test_a_cache_tells_the_pictures_of_a_shard_apart(folder: Path):
    paths = [item.path for item in read_captions(folder, [folder])]
    keys = _keys(paths, _variants(True, 0))
    assert len({key for own in keys for key in own.values()}) == 6
    assert keys == _keys(paths, _variants(True, 0))


def test_a_shard_that_was_replaced_is_read_anew(tmp_path: Path):
    file, picture = tmp_path / "s.tar", tmp_path / "s.tar" / "a.jpg"
    for seed, padding in enumerate((0, 700)):
        with tarfile.open(file, "w") as tar:
            add(tar, "other.txt", b" " * padding)
            add(tar, "a.jpg", make_picture(seed))
        assert shards.read_picture_file(picture) == make_picture(seed)


def test_what_is_not_there_or_damaged_is_one_line(folder: Path, tmp_path: Path):
    shard = folder / "shard-000000.tar"
    with pytest.raises(CaptionerError, match="no such file: .*shard-000000.tar/9.png"):
        open_picture(shard / "9.png")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-2000])
    with pytest.raises(CaptionerError, match=r"shard-000000.tar has \d+ bytes, .* copy it again"):
        read_captions(folder, [folder])
    index = folder / ("shard-000000.tar" + shards.INDEX_SUFFIX)
    index.write_text('{"bytes": 1}')
    with pytest.raises(CaptionerError, match="index.json is damaged"):
        read_captions(folder, [folder])
    index.unlink()
    shard.write_bytes(whole[:2000])
    with pytest.raises(CaptionerError, match="shard-000000.tar is (damaged or )?cut short"):
        read_captions(folder, [folder])
    shard.write_bytes(b"not a tar file")
    with pytest.raises(CaptionerError, match="shard-000000.tar is damaged or cut short"):
        read_captions(folder, [folder])


@pytest.mark.parametrize("content", [b"{", b'{"captions": 3}', b'{"caption": "a", "image_id": []}'])
def test_captions_in_a_shard_that_are_none_name_their_key(tmp_path: Path, content: bytes):
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        add(tar, "k.jpg", make_picture(1))
        add(tar, "k.json", content)
    with pytest.raises(CaptionerError, match=r"s.tar/k.json: "):
        read_captions(tmp_path / "s.tar", [tmp_path])


def test_shards_are_written_whole_or_not_at_all(photos: Path, tmp_path: Path):
    found = read_captions(photos / "captions.json", [photos])
    (photos / "c").unlink()
    with pytest.raises(CaptionerError, match="no such file"):
        list(make_shards(found, tmp_path / "new", pictures_per_shard=1))
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".shards-*"))
    with pytest.raises(CaptionerError, match="photos is already there; give a new folder"):
        list(make_shards(found, photos, pictures_per_shard=1))


def test_addresses_survive_being_paths():
    assert remote_address(Path("s3://bucket/a.tar/b.jpg")) == "s3://bucket/a.tar/b.jpg"
    assert remote_address(Path("file:///data/a.tar")) == "file:///data/a.tar"
    for name in ("a.tar", "/a/b", "C:/a", "a:b", ""):
        assert remote_address(name) is None


def test_braces_stand_for_names_in_their_order():
    assert expand("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expand("{b,a}/{1..2}") == ["b/1", "b/2", "a/1", "a/2"]
