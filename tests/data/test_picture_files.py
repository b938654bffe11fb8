"""The right picture for each name, or a word about it: never another picture in silence."""

import unicodedata
import warnings
from pathlib import Path

import pytest

from captioner.data.caption_files import read_captions
from captioner.data.picture_files import find_pictures, require_pictures
from captioner.errors import CaptionerError, CaptionerWarning


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/cats/001.png and photos/dogs/001.png, and another 001.png in a flat folder."""
    for name in ("photos/cats/001.png", "photos/dogs/001.png", "flat/001.png", "flat/002.png"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return tmp_path


NAMES = ["cats/001.png", "dogs/001.png"]


@pytest.mark.parametrize("order", [("flat", "photos"), ("photos", "flat")])
def test_the_whole_name_in_any_folder_comes_before_a_bare_one(
    photos: Path, order: tuple[str, str]
) -> None:
    found = find_pictures(NAMES, [photos / folder for folder in order])
    assert found.paths == {name: photos / "photos" / name for name in NAMES}
    assert not found.partly


def test_a_name_as_windows_writes_it_is_whole(photos: Path) -> None:
    found = find_pictures(["cats\\001.png"], [photos / "photos"])
    assert found.paths == {"cats\\001.png": photos / "photos/cats/001.png"}
    assert not found.partly


def test_two_names_never_get_one_picture_by_their_ends(photos: Path) -> None:
    found = find_pictures(NAMES, [photos / "flat"])
    assert not found.paths and found.ambiguous == NAMES
    with pytest.raises(CaptionerError, match="2 of its names fit several pictures, .*cats/001"):
        require_pictures(NAMES, [photos / "flat"], Path("a.csv"))


def test_a_bare_name_in_two_folders_is_ambiguous(photos: Path) -> None:
    folders = [photos / "photos" / "cats", photos / "flat"]
    assert find_pictures(["birds/001.png"], folders).ambiguous == ["birds/001.png"]


def test_a_whole_name_of_two_pictures_in_two_folders_is_said(photos: Path) -> None:
    cats, dogs = (photos / "photos" / name for name in ("cats", "dogs"))
    # Copies are one picture, and so is a folder given twice, under whatever path.
    folders = [cats, dogs, cats, cats / ".." / "cats"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_pictures(["001.png"], folders).paths == {"001.png": cats / "001.png"}
    (dogs / "001.png").write_bytes(b"another picture")
    for first, second in ((cats, dogs), (dogs, cats)):
        with pytest.warns(CaptionerWarning, match=f"such as 001.png, for which {first}"):
            found = find_pictures(["001.png"], [first, second])
        assert found.paths == {"001.png": first / "001.png"}


def test_a_folder_called_as_the_name_says_is_the_one(photos: Path) -> None:
    folders = [photos / "photos" / name for name in ("cats", "dogs")]
    found = find_pictures(NAMES, folders)
    assert found.paths == {name: photos / "photos" / name for name in NAMES}
    assert not found.partly and not found.ambiguous


def test_a_picture_found_by_its_end_alone_is_said(photos: Path) -> None:
    names = ["birds/002.png"]
    with pytest.warns(CaptionerWarning, match="1 of its pictures were found without the folder"):
        paths = require_pictures(names, [photos / "flat"], Path("a.csv"))
    assert paths == {"birds/002.png": photos / "flat" / "002.png"}


@pytest.mark.parametrize(
    "name",
    ["/home/somebody/photos/cats/001.png", r"C:\Users\me\photos\cats\001.png", "x/cats/001.png"],
)
def test_paths_of_another_machine_are_found_by_as_much_as_fits(photos: Path, name: str) -> None:
    found = find_pictures([name], [photos / "flat", photos / "photos"])
    assert found.paths == {name: photos / "photos" / "cats" / "001.png"}


def test_absolute_paths_of_this_machine_are_taken_as_they_are(photos: Path) -> None:
    name = str(photos / "photos" / "dogs" / "001.png")
    assert find_pictures([name], [photos / "flat"]).paths == {name: Path(name)}


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_accents_are_one_name_however_they_are_stored(tmp_path: Path, stored: str) -> None:
    file = tmp_path / unicodedata.normalize(stored, "café.png")
    file.write_bytes(b"")
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "café.png")
        assert find_pictures([name], [tmp_path]).paths == {name: file}


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "long/" * 2000])
def test_names_that_no_file_can_have_are_missing(tmp_path: Path, name: str) -> None:
    assert find_pictures([name], [tmp_path]).missing == [name]


def test_a_few_missing_pictures_can_be_skipped(tmp_path: Path) -> None:
    rows = []
    for number in range(20):
        if number:
            (tmp_path / f"{number}.jpg").write_bytes(b"")
        rows.append(f"{number}.jpg,a dog\n")
    table = tmp_path / "captions.csv"
    table.write_text("image,caption\n" + "".join(rows))
    with pytest.raises(CaptionerError, match="1 of its pictures are not in .*--skip-missing"):
        read_captions(table, [tmp_path])
    with pytest.warns(CaptionerWarning, match="1 of its pictures .*: 0.jpg; they are left out"):
        pictures = read_captions(table, [tmp_path], skip_missing=True)
    assert [picture.path.name for picture in pictures] == [f"{n}.jpg" for n in range(1, 20)]
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").unlink()
    with pytest.raises(CaptionerError, match="leaves out at most a tenth"):
        read_captions(table, [tmp_path], skip_missing=True)


def test_what_fits_comes_without_a_word(photos: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_pictures(NAMES, [photos / "photos"], Path("a.csv"))
