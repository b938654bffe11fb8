"""The output folder: a manifest that says of which run it is, and a file per part."""

import io
import json
from collections.abc import Sequence
from typing import Any

from captioner.bulk.parts import join
from captioner.data.addresses import make_folder, names_in, read_file, write_file
from captioner.errors import CaptionerError

MANIFEST = "run.json"
FORMATS = ("jsonl", "parquet")

Row = dict[str, str | float | None]  # picture, caption, confidence, error


def part_file(output: str, number: int, form: str) -> str:
    """The file of a part's captions."""
    return join(output, f"part-{number:08}.{form}")


def claim_folder(output: str, manifest: dict[str, Any]) -> set[str]:
    """Make the folder, or check that it is of this very run; returns the names of what is in it.

    Raises CaptionerError where it is of another run or holds other files.
    """
    make_folder(output)
    there = {name for name in names_in(output) if not name.startswith(".")}
    if MANIFEST in there:
        _check_manifest(output, manifest)
    elif there:
        raise CaptionerError(
            f"{output} holds other files, such as {min(there)}; choose a new folder"
        )
    else:
        content = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        write_file(join(output, MANIFEST), content.encode())
    return there


def _check_manifest(output: str, manifest: dict[str, Any]) -> None:
    file = join(output, MANIFEST)
    try:
        before = json.loads(read_file(file))
        different = [name for name in manifest if before.get(name) != manifest[name]]
    except (ValueError, AttributeError) as error:
        raise CaptionerError(f"{file} is damaged; choose a new folder") from error
    if not different:
        return
    name = different[0]
    if name == "listing":
        raise CaptionerError(
            f"{output}: pictures were added to the source or taken from it since this run began "
            f"({before.get('parts')} parts then, {manifest['parts']} now); choose a new folder"
        )
    raise CaptionerError(
        f"{output} is of another run: its {name} is {before.get(name)!r}, here "
        f"{manifest[name]!r}; choose a new folder, or the same source and options"
    )


def check_form(form: str) -> None:
    """Check that files of this form can be written here; CaptionerError if not."""
    if form not in FORMATS:
        raise CaptionerError(f"--format is {form!r}; expected {' or '.join(FORMATS)}")
    if form == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise CaptionerError(
                "--format parquet needs the extra cluster: pip install '.[cluster]'"
            ) from error


def write_rows(file: str, rows: Sequence[Row]) -> None:
    """Write the captions of a part, whole or not at all, in the form that the ending says."""
    # Names of files that are not UTF-8 come with half characters. As \udc80 JSON reads them back.
    if file.endswith(".parquet"):
        import pyarrow as pa
        from pyarrow.parquet import write_table

        names = [("picture", pa.string()), ("caption", pa.string())]
        schema = pa.schema([*names, ("confidence", pa.float32()), ("error", pa.string())])
        encodable = [{name: _encodable(value) for name, value in row.items()} for row in rows]
        with io.BytesIO() as content:
            write_table(pa.Table.from_pylist(encodable, schema=schema), content)
            write_file(file, content.getvalue())
        return
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(file, lines.encode("utf-8", errors="backslashreplace"))


def _encodable(value: str | float | None) -> str | float | None:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", errors="backslashreplace").decode()
