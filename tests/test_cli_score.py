"""captioner score captions, as it is used from a shell."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captioner import CaptionerError
from captioner.cli.score import app

RUNNER = CliRunner()
TEXTS = {number: f"A dog number{number} runs & jumps on <b>grass</b>." for number in range(30)}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A results file with every fifth caption wrong, a worse one, and the references."""
    records = [{"image_id": number, "caption": text} for number, text in TEXTS.items()]
    wrong = [{"image_id": number, "caption": f"a cat{number}"} for number in TEXTS]
    contents = {
        "good": [wrong[n] if n % 5 == 0 else records[n] for n in TEXTS],
        "bad": [wrong[n] if n % 5 else records[n] for n in TEXTS],
        "partial": records[:20],
        "references": {"images": [{"id": number} for number in TEXTS], "annotations": records},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return {name: str(tmp_path / f"{name}.json") for name in contents}


def run(*arguments: str) -> str:
    done = RUNNER.invoke(app, ["captions", *arguments])
    if done.exception:
        raise done.exception
    return done.stdout


def test_the_table_has_scores_intervals_and_the_signature(files: dict[str, str]) -> None:
    lines = run(files["good"], files["references"]).splitlines()
    assert re.search(r"^BLEU-4 +0\.\d{4}  \[0\.\d{4}, \d\.\d{4}\]$", "\n".join(lines), re.M)
    assert lines[-1].startswith("BLEU-1+") and "pictures:30" in lines[-1]


def test_json_has_every_picture_and_the_same_numbers(files: dict[str, str]) -> None:
    record = json.loads(run(files["good"], files["references"], "--json"))
    assert [row["image_id"] for row in record["per_picture"]] == list(TEXTS)
    mean = sum(row["CIDEr"] for row in record["per_picture"]) / len(TEXTS)
    assert record["scores"]["CIDEr"] == pytest.approx(mean)
    low, high = record["intervals"]["CIDEr"]
    assert low < mean < high


def test_against_tells_which_is_better(files: dict[str, str]) -> None:
    arguments = (files["good"], files["references"], "--against", files["bad"])
    gap = json.loads(run(*arguments, "--json"))["differences"]["CIDEr"]
    assert gap["value"] > 0 and gap["interval"][0] > 0 and gap["p_value"] < 0.05
    assert re.search(r"CIDEr .* \+\d+\.\d{4} \[.*\] p 0\.0", run(*arguments))


def test_partial_results_are_refused_unless_allowed(files: dict[str, str]) -> None:
    with pytest.raises(CaptionerError, match=r"no caption for 10 pictures \(20, 21, 22, ...\)"):
        run(files["partial"], files["references"])
    out = run(files["partial"], files["references"], "--allow-partial", "--against", files["good"])
    assert "pictures:20 of 30, partial" in out


def test_novelty_is_told_with_the_training_captions(files: dict[str, str]) -> None:
    out = run(files["good"], files["references"], "--training", files["references"], "--json")
    assert json.loads(out)["diversity"]["novel captions"] == pytest.approx(1 / 5)


class Page(HTMLParser):
    """Collects what a page loads from elsewhere, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone_and_escapes_captions(files: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    run(files["good"], files["references"], "--html", str(file))
    text = file.read_text()
    page = Page()
    page.feed(text)
    assert page.loaded == [] and "http" not in text
    assert "b" not in page.tags and "&lt;b&gt;grass&lt;/b&gt;" in text
    assert page.tags.count("svg") == 6
    assert page.tags.count("li") == len(TEXTS)
    assert text.index("a cat0<") < text.index("number1 runs")  # worst first


def test_a_page_of_many_pictures_shows_the_worst_and_the_best(tmp_path: Path) -> None:
    from captioner.metrics import report, score_captions

    wanted = {number: [f"a dog number{number} runs"] for number in range(150)}
    said = {n: texts[0] if n < 75 else f"no {n}" for n, texts in wanted.items()}
    text = report.write_page("many", score_captions(said, wanted), {}, said, wanted)
    assert text.count("<li>") == 100
    assert "The 50 worst and the 50 best" in text


def test_a_page_in_a_folder_that_is_not_there_is_refused_before_anything_is_read(
    files: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CaptionerError, match=r"page\.html: there is no folder .*nowhere; make it"):
        run("not-there.json", files["references"], "--html", str(tmp_path / "nowhere/page.html"))


def test_warnings_go_to_stderr(files: dict[str, str], tmp_path: Path) -> None:
    same = [{"image_id": number, "caption": "a dog"} for number in TEXTS]
    (tmp_path / "same.json").write_text(json.dumps(same))
    done = RUNNER.invoke(app, ["captions", str(tmp_path / "same.json"), files["references"]])
    assert "one caption serves 30 of 30 pictures" in done.stderr
    assert "warning" not in done.stdout
