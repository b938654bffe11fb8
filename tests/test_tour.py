"""docs/tour.ipynb, run from its first cell to its last."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "docs" / "tour.ipynb"


def text_of(cell: Any) -> str:
    """The outputs of a cell as one text, whose pieces and last digits differ between runs."""
    outputs = cell.get("outputs", [])
    texts = (out["text"] if "text" in out else out["data"]["text/plain"] for out in outputs)
    return re.sub(r"\d+\.\d+", "number", "".join(texts))


def test_the_tour_runs_and_shows_what_is_kept_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "docs").mkdir()  # where the tour writes its files
    shutil.copytree(ROOT / "data" / "samples", tmp_path / "data" / "samples")
    kept = nbformat.read(TOUR, as_version=4)
    run = nbformat.read(TOUR, as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "docs")}}
    nbclient.NotebookClient(run, timeout=120, resources=resources).execute()
    assert [text_of(cell) for cell in run.cells] == [text_of(cell) for cell in kept.cells]
    drawn = [out for cell in run.cells for out in cell.get("outputs", []) if "data" in out]
    pages = [out["data"]["text/html"] for out in drawn if "text/html" in out["data"]]
    assert [page.startswith('<div class="captioner-result"') for page in pages] == [True, True]
    written = sorted(file.name for file in (tmp_path / "docs").iterdir())
    assert written == ["maps.gif", "maps.html", "maps.npz", "maps.png"]


def test_the_tour_is_kept_small() -> None:
    assert TOUR.stat().st_size < 10_000
