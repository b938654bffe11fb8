"""A file of tensors that is replaced while it is read."""

from pathlib import Path

import pytest
import torch

from captioner.errors import CaptionerError
from captioner.model import tensor_file
from captioner.model.tensor_file import read_tensors, write_tensors


def test_a_file_that_is_replaced_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header of one file with the values of another would not fit its checksum."""
    file = tmp_path / "a.safetensors"
    write_tensors({"weight": torch.zeros(3)}, {}, file)
    read_once = tensor_file._read_once
    reads = []

    def replace_during_the_first(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        reads.append(path)
        if len(reads) == 1:
            write_tensors({"weight": torch.ones(5)}, {}, file)
            raise CaptionerError("damaged")
        return read_once(path)

    monkeypatch.setattr(tensor_file, "_read_once", replace_during_the_first)
    assert read_tensors(file)[0]["weight"].tolist() == [1] * 5
    assert len(reads) == 2


def test_a_damaged_file_that_stays_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    write_tensors({"weight": torch.zeros(3)}, {}, file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CaptionerError, match="damaged since it was written"):
        read_tensors(file)
