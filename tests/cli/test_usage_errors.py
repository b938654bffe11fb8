"""Which option was probably meant."""

import pytest

from captioner.cli.usage_errors import nearest_option

OPTIONS = ["--batch-size", "--beam-size", "--images", "--image-names", "--json", "-h", "--help"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--beam_size", "--beam-size"),  # "--batch-size" is as similar by letters
        ("--Beam-Size", "--beam-size"),
        ("--beam", "--beam-size"),
        ("--image", "--images"),  # the shortest of two that begin so
        ("--image-n", "--image-names"),
        ("--jsno", "--json"),
        ("--zzz", None),
        ("-b", None),
    ],
)
def test_the_nearest_option(given: str, meant: str | None) -> None:
    assert nearest_option(given, OPTIONS) == meant
