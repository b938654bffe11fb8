"""The score report in a real browser."""

from typing import Any

import pytest
from browsing import SCREENS, Visit, check_accessibility
from PIL import Image
from playwright.sync_api import expect

from captioner.metrics import bootstrap, score_captions
from captioner.visualization.preview import data_uri
from captioner.visualization.score_report import Comparison, page_html

WORDS = tuple("a dog with a red ball runs over the wet grass of a park".split())  # noqa: SIM905
REFERENCES = {f"a_very_long_name_{'0' * 40}{n}.jpg": [" ".join(WORDS)] for n in range(1, 6)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five captions, each a word longer than the one before, beside the same one five times."""
    said = {name: " ".join(WORDS[: n + 4]) for n, name in enumerate(REFERENCES)}
    others = dict.fromkeys(REFERENCES, " ".join(WORDS[:6]))
    scores, other_scores = (score_captions(each, REFERENCES) for each in (said, others))
    comparison = Comparison(
        "others.json", others, other_scores, bootstrap.differences(scores, other_scores)
    )
    page = page_html(
        "a_very_long_name_of_results_without_any_space.json",
        scores,
        bootstrap.intervals(scores),
        said,
        REFERENCES,
        comparison=comparison,
        pictures={name: data_uri(Image.new("RGB", (320, 200))) for name in list(REFERENCES)[1:]},
    )
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page)
    return file.as_uri()


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_report_is_accessible_and_fits(visit: Visit, report: str, screen: dict[str, Any]) -> None:
    page = visit.open(report, **screen)
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
    assert page.get_by_role("article").count() == 5
    assert page.locator("article img").count() == 4
    assert all(url.startswith(("file:", "data:")) for url in visit.asked)


def test_pictures_are_sorted_by_the_score_chosen(visit: Visit, report: str) -> None:
    page = visit.open(report)

    def shown() -> list[int]:
        return [len(text.split()) for text in page.locator(".caption").all_inner_texts()]

    assert shown() == [4, 5, 6, 7, 8]  # the longer, the nearer to the reference
    page.get_by_role("button", name="Worst first").click()
    assert shown() == [8, 7, 6, 5, 4]
    page.get_by_label("Sort by").select_option("BLEU-1")
    assert shown() == [8, 7, 6, 5, 4]
    page.get_by_role("button", name="Best first").click()
    assert shown() == [4, 5, 6, 7, 8]


def test_without_scripts_there_is_nothing_to_choose(visit: Visit, report: str) -> None:
    page = visit.open(report, java_script_enabled=False)
    expect(page.get_by_role("article")).to_have_count(5)
    expect(page.get_by_label("Sort by")).to_be_hidden()
