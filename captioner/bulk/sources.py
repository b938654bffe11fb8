"""What SOURCE stands for, divided into parts."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from captioner.bulk.parts import FilesPart, Part, RowsPart, TarPart
from captioner.data.addresses import (
    expand,
    files_below,
    is_folder,
    open_file,
    read_file,
    reported,
)
from captioner.data.picture_folder import PICTURE_SUFFIXES, pictures_in
from captioner.data.tar_files import is_tar
from captioner.errors import CaptionerError
from captioner.files import remote_address

COLUMNS = ("picture", "image", "bytes", "path", "file_path", "file_name", "url")
_AT_ONCE = 16  # Parquet files whose ends are read


def list_parts(source: str, *, pictures_per_part: int, column: str | None) -> list[Part]:
    """Divide a source into parts, in an order that is always the same.

    A folder, a pattern and a list (.txt, a path per line) into parts of so many pictures; a tar
    shard is a part, and so is a row group of a Parquet file, whose pictures are in `column`, by
    default the first of COLUMNS that it has. Paths in a list or a Parquet file start from its
    folder. Raises CaptionerError where the source is nothing of this or has no pictures.
    """
    files = expand(source)
    if all(is_tar(file) for file in files):
        return [TarPart(file, absolute(file)) for file in files]
    if all(file.lower().endswith((".parquet", ".pq")) for file in files):
        return _row_groups(files, column)
    if column is not None:
        raise CaptionerError(f"--column {column} is of a Parquet file, and {source} is none")
    if len(files) == 1 and is_folder(source):
        names, folder = _names_in(source), absolute(".")
    elif len(files) == 1 and source.lower().endswith(".txt"):
        names, folder = _names_of(source), parent(absolute(source))
    elif all(file.lower().endswith(PICTURE_SUFFIXES) for file in files):
        names, folder = files, absolute(".")
    else:
        raise CaptionerError(
            f"{source}: expected a folder of pictures, a list of them (.txt), .parquet files or "
            ".tar shards"
        )
    return [FilesPart(folder, group) for group in _groups(names, pictures_per_part)]


def absolute(name: str) -> str:
    """A name that means the same in every folder."""
    return remote_address(name) or str(Path(name).absolute())


def parent(name: str) -> str:
    """The folder of a file, by its path or address."""
    return name.rpartition("/")[0] if remote_address(name) else str(Path(name).parent)


def _names_in(folder: str) -> list[str]:
    if remote_address(folder) is None:
        return [str(path) for path in pictures_in(Path(folder))]
    names = [name for name in files_below(folder) if name.lower().endswith(PICTURE_SUFFIXES)]
    if not names:
        raise CaptionerError(
            f"{folder}: no pictures in this folder; expected files such as .jpg, .png or .webp"
        )
    return names


def _names_of(file: str) -> list[str]:
    try:
        text = read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{file} is not UTF-8 text; save it as UTF-8") from error
    names = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not names:
        raise CaptionerError(f"{file}: an empty list; expected a picture's path on each line")
    return names


def _groups(names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    waiting = iter(names)
    while group := tuple(islice(waiting, size)):
        yield group


def _row_groups(files: Sequence[str], column: str | None) -> list[Part]:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise CaptionerError(
            f"{files[0]} is a Parquet file, which needs the extra cluster: pip install '.[cluster]'"
        ) from error
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        parts = list(pool.map(lambda file: _row_groups_of(file, column), files))
    if not any(parts):
        raise CaptionerError(f"{files[0]}: no rows in it; expected a picture in each")
    return [part for found in parts for part in found]


def _row_groups_of(file: str, column: str | None) -> list[RowsPart]:
    """The row groups of a file; of one that cannot be read a part that says so when its turn comes.

    Raises CaptionerError where it has no column of pictures.
    """
    from pyarrow.parquet import ParquetFile

    address = absolute(file)
    folder = parent(address)
    try:
        with open_file(address) as opened, reported(file):
            parquet = ParquetFile(opened)
            schema, metadata = parquet.schema_arrow, parquet.metadata
            sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    except CaptionerError:
        return [RowsPart(file, address, folder, 0, 0, "")]
    chosen = _picture_column(schema, column, file)
    starts = accumulate(sizes, initial=0)
    return [
        RowsPart(file, address, folder, index, start, chosen)
        for index, (start, size) in enumerate(zip(starts, sizes, strict=False))
        if size
    ]


def _picture_column(schema: Any, column: str | None, file: str) -> str:
    """The name of the column with the pictures; CaptionerError where there is none."""
    from pyarrow import types

    chosen = column or next((name for name in COLUMNS if name in schema.names), None)
    if chosen not in schema.names:
        expected = f"one named {column}" if column else f"one of {', '.join(COLUMNS)}"
        raise CaptionerError(
            f"{file}: no column of pictures among {', '.join(schema.names)}; expected "
            f"{expected}; name it with --column"
        )
    kind = schema.field(chosen).type
    is_text = types.is_string(kind) or types.is_large_string(kind)
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind)
    is_picture = types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not (is_text or is_bytes or is_picture):
        raise CaptionerError(
            f"{file}: column {chosen} holds {kind}; expected bytes, paths or addresses"
        )
    return str(chosen)
