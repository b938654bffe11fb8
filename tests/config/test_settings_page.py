"""The page of settings has every setting with its default, and no other."""

import json
import re
from pathlib import Path

from captioner.config.settings import RunConfig


def test_the_page_is_what_the_code_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    parts = re.split(r"^## `\[(\w+)\]`$", page, flags=re.MULTILINE)[1:]
    written = {
        table: dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", text, flags=re.MULTILINE))
        for table, text in zip(parts[::2], parts[1::2], strict=True)
    }
    expected = {
        table: {name: json.dumps(value) for name, value in settings.items()}
        for table, settings in RunConfig().tables().items()
    }
    assert written == expected
