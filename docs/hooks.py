"""For the documentation site: pages from elsewhere, the notebook, and examples in docstrings."""

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# What the site takes from other folders, under the same names as in the repository.
OUTSIDE = (
    "*.md",
    "benchmarks/*.md",
    "benchmarks/*.png",
    "checkpoints/*.jpg",
    "checkpoints/README.md",
    "data/README.md",
    "data/samples/*.jpg",
    "data/samples/README.md",
)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_EXAMPLE = re.compile(r"(?:^>>> .*\n(?:^(?!$).*\n?)*)+", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages and pictures of other folders, and notebooks as pages.

    What else lies in docs/ is found by MkDocs.
    """
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "docs").glob("*.ipynb")):
        files.remove(files.src_uris[path.name])
        page = notebook_page(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"{path.stem}.md", content=page))
    return files


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: its text, its code, and what the code printed or returned."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            text = output["text"] if "text" in output else output["data"]["text/plain"]
            parts.append(f"```text\n{''.join(text).rstrip()}\n```")
    return "\n\n".join(parts)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links between files of the repository lead to the pages of the site.

    A link to a file that is no page, such as a source file, becomes its text. A broken link stays,
    and the strict build refuses it.
    """
    source = page.file.abs_src_path  # None for a notebook
    here = os.path.dirname(os.path.relpath(source, ROOT)) if source else "docs"

    def rewrite(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if re.match(r"[a-z]+:", target):
            return link[0]
        path = posixpath.normpath(posixpath.join(here, target))
        uri = path.removeprefix("docs/").replace(".ipynb", ".md")
        if files.get_file_from_path(uri) is None:
            return text if (ROOT / path).exists() else link[0]
        start = posixpath.dirname(page.file.src_uri) or "."
        return f"[{text}]({posixpath.relpath(uri, start)}{anchor})"

    return _LINK.sub(rewrite, markdown)


class Examples(Extension):
    """Lets mkdocstrings show the examples of docstrings as code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
