"""Every reader of a text file, given hundreds of damaged ones: only CaptionerError comes out."""

from pathlib import Path
from random import Random

import pytest
from mutations import READERS, make_neighbours, mutated_bytes, mutated_values, written

from captioner.errors import CaptionerError


@pytest.mark.parametrize("name", READERS)
def test_only_one_kind_of_error_comes_out_and_it_names_the_file(name: str, tmp_path: Path) -> None:
    file_name, read, content = READERS[name]
    make_neighbours(tmp_path)
    file = tmp_path / file_name
    file.write_bytes(written(content, file.suffix))
    read(file)
    draw = Random(name)
    mutated = [mutated_bytes(written(content, file.suffix), draw) for _ in range(150)]
    if not isinstance(content, str):
        mutated += mutated_values(content, file.suffix)
    refused = 0
    for damaged in mutated:
        file.write_bytes(damaged)
        try:
            read(file)
        except CaptionerError as error:
            refused += 1
            assert file.name in str(error), damaged[:300]
        except Exception as error:
            raise AssertionError(f"{error!r} for {damaged[:300]!r}") from error
    assert refused > len(mutated) / 4
