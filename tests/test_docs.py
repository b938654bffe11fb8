"""The documentation site can be built, and no page or link of it is missing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `mkdocs build --strict` makes it, which fails on a link to nowhere."""
    pytest.importorskip("material", reason="needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def text_of(page: Path) -> str:
    return re.sub("<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")):
        assert f'href="{page.stem}/"' in home, f"add {page.name} to nav in mkdocs.yml"


def test_links_between_folders_lead_to_pages_of_the_site(site: Path) -> None:
    training = (site / "training" / "index.html").read_text(encoding="utf-8")
    assert 'href="../data/"' in training and 'href="../settings/"' in training
    assert "recipe.toml</a>" not in training  # a file that is no page is only named
    assert (site / "checkpoints" / "attention.jpg").is_file()


def test_the_reference_has_every_public_method_and_examples_as_code(site: Path) -> None:
    reference = text_of(site / "api" / "index.html")
    assert "&gt;&gt;&gt; model.can_caption\nTrue" in reference
    for name in ("caption_each", "answer_each", "log_probability", "beam_size", "CaptionerWarning"):
        assert name in reference


def test_the_notebook_is_a_page_with_its_results(site: Path) -> None:
    tour = text_of(site / "tour" / "index.html")
    assert "model.caption(samples" in tour and "a cat sitting on top of a wooden table" in tour
