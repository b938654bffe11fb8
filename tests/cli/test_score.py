"""captioner score captions, as it is used from a shell."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
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


def test_references_in_ones_own_csv_serve_as_they_do_for_evaluating(tmp_path: Path) -> None:
    results, references = tmp_path / "results.json", tmp_path / "captions.csv"
    texts = {f"{number}.jpg": text.replace(",", "") for number, text in TEXTS.items()}
    lines = [f"{name},{text}" for name, text in texts.items()]
    references.write_text("\n".join(["image,caption", *lines, "0.jpg,..."]))
    said = [{"image_id": name, "caption": text} for name, text in texts.items()]
    results.write_text(json.dumps(said))
    scores = json.loads(run(str(results), str(references), "--json"))["scores"]
    assert scores["BLEU-4"] == pytest.approx(1)


def test_partial_results_are_refused_unless_allowed(files: dict[str, str]) -> None:
    with pytest.raises(CaptionerError, match=r"no caption for 10 pictures \(20, 21, 22, ...\)"):
        run(files["partial"], files["references"])
    out = run(files["partial"], files["references"], "--allow-partial", "--against", files["good"])
    assert "pictures:20 of 30, partial" in out


def test_ids_may_be_texts_in_one_file_and_numbers_in_the_other(
    files: dict[str, str], tmp_path: Path
) -> None:
    named, page = tmp_path / "named.json", tmp_path / "page.html"
    named.write_text(json.dumps({str(number): text for number, text in TEXTS.items()}))
    arguments = (str(named), files["references"], "--allow-partial")
    assert "pictures:30|" in run(*arguments, "--html", str(page))
    assert "number29 runs" in page.read_text()
    assert "pictures:20 of 30" in run(*arguments, "--against", files["partial"])


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
    assert page.loaded == [] and "http:" not in text and "https:" not in text
    assert "b" not in page.tags and "&lt;b&gt;grass&lt;/b&gt;" in text
    assert page.tags.count("svg") == 6
    assert page.tags.count("article") == page.tags.count("li") == len(TEXTS)
    assert text.index("a cat0<") < text.index("number1 runs")  # worst first


def test_the_page_shows_the_pictures_that_are_there(files: dict[str, str], tmp_path: Path) -> None:
    content = json.loads(Path(files["references"]).read_text())
    for picture in content["images"]:
        picture["file_name"] = f"{picture['id']}.png"
        if picture["id"] > 1:
            Image.new("RGB", (900, 600)).save(tmp_path / picture["file_name"])
    (tmp_path / "2.png").write_bytes(b"broken")
    Path(files["references"]).write_text(json.dumps(content))
    file = tmp_path / "page.html"
    arguments = (files["good"], files["references"], "--images", str(tmp_path))
    done = RUNNER.invoke(app, ["captions", *arguments, "--html", str(file)])
    assert done.stderr.count("\n") == 1 and "3 of 30 pictures cannot be shown" in done.stderr
    page = Page()
    page.feed(file.read_text())
    assert len(page.loaded) == 27
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.loaded)
    with pytest.raises(CaptionerError, match="give --html FILE too"):
        run(*arguments)


def test_the_page_compares_with_other_results(files: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    run(files["good"], files["references"], "--against", files["bad"], "--html", str(file))
    text = file.read_text()
    assert "bad.json" in text and "Every picture, by difference in CIDEr" in text
    values = [float(found) for found in re.findall(r'data-values="(\S+)', text)]
    assert values == sorted(values) and values[0] < 0 < values[-1]
    # Where these say "a cat0", the others are right.
    first = text[text.index("<article") :].partition("</article>")[0]
    assert '<p class="caption">a cat0</p>' in first or "a cat5</p>" in first
    assert "A dog number" in first.partition("References")[0]


def test_a_page_of_many_pictures_shows_the_worst_and_the_best(tmp_path: Path) -> None:
    from captioner.metrics import score_captions
    from captioner.visualization import score_report

    wanted = {number: [f"a dog number{number} runs"] for number in range(150)}
    said = {n: texts[0] if n < 75 else f"no {n}" for n, texts in wanted.items()}
    text = score_report.page_html("many", score_captions(said, wanted), {}, said, wanted)
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


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, str]:
    """Twenty questions of as many types about ten pictures; every fourth answer is wrong."""
    numbers = range(20)
    contents = {
        "results": [{"question_id": n, "answer": "cat" if n % 4 == 0 else "dog"} for n in numbers],
        "questions": {
            "questions": [
                {"question_id": n, "image_id": n // 2, "question": f"What is number {n}?"}
                for n in numbers
            ]
        },
        "annotations": {
            "annotations": [
                {
                    "question_id": n,
                    "image_id": n // 2,
                    "question_type": f"type {n:02d}",
                    "answer_type": "other" if n < 15 else "number",
                    "answers": [{"answer": "dog"}] * 10,
                }
                for n in numbers
            ]
        },
        "partial": [{"question_id": 3, "answer": "dog"}],
        "training": {
            "questions": [{"question_id": 1, "image_id": 1, "question": "what is NUMBER 4"}]
        },
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return {name: str(tmp_path / f"{name}.json") for name in contents}


def run_answers(files: dict[str, str], *options: str, results: str = "results") -> str:
    done = RUNNER.invoke(
        app, ["answers", files[results], files["questions"], files["annotations"], *options]
    )
    if done.exception:
        raise done.exception
    return done.stdout


def test_the_table_of_answers_has_groups_and_the_commonest_answer(asked: dict[str, str]) -> None:
    lines = run_answers(asked, "--training-questions", asked["training"]).splitlines()
    assert re.fullmatch(r"overall +0\.7500  \[0\.\d{4}, [01]\.\d{4}\] +20 +1\.0000", lines[1])
    assert re.fullmatch(r"questions not in training +0\.7895 +19 +1\.0000", lines[2])
    assert re.fullmatch(r"answer type: other +0\.7333 +15 +1\.0000", lines[3])
    assert sum(line.startswith("question type: ") for line in lines) == 15
    assert lines[-3:-1] == ["5 more question types: --json has all", "commonest answer: dog"]
    assert lines[-1].startswith("accuracy:vqa-leave-one-out|questions:20|pictures:10|")


def test_the_record_of_answers_has_all_types_and_every_question(asked: dict[str, str]) -> None:
    record = json.loads(run_answers(asked, "--json", "--normalise-unanimous"))
    assert (record["accuracy"], record["questions"], record["unseen"]) == (0.75, 20, None)
    assert record["interval"][0] < 0.75 < record["interval"][1]
    assert (record["commonest_answer"], record["baselines"]) == ("dog", {"commonest answer": 1.0})
    assert len(record["question_types"]) == 20
    assert record["answer_types"]["number"] == {
        "accuracy": 0.8,
        "questions": 5,
        "baselines": {"commonest answer": 1.0},
    }
    assert record["per_question"][4] == {"question_id": 4, "accuracy": 0.0}
    assert "unanimous-normalised" in record["signature"]


def test_a_baseline_is_a_column_of_the_table_and_stands_in_every_group(
    asked: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from captioner.cli.score_table import answers_record, print_answers
    from captioner.data.question_files import read_question_file
    from captioner.metrics.vqa_accuracy import score_answers

    questions = read_question_file(Path(asked["questions"]), Path(asked["annotations"]))
    right = score_answers(dict.fromkeys(range(20), "dog"), questions)
    blind = score_answers({n: "dog" if n < 6 else "cat" for n in range(20)}, questions)
    print_answers(right, {"picture removed": blind}, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("questions  commonest answer  picture removed")
    assert re.fullmatch(r"answer type: other +1\.0000 +15 +1\.0000 +0\.4000", lines[2])
    record: dict = answers_record(right, {"picture removed": blind}, None)
    assert record["baselines"] == {"commonest answer": 1.0, "picture removed": 0.3}
    assert record["answer_types"]["number"]["baselines"]["picture removed"] == 0.0


def test_a_question_that_could_not_be_answered_is_a_wrong_answer(asked: dict[str, str]) -> None:
    file = Path(asked["results"])
    said = json.loads(file.read_text())
    before = json.loads(run_answers(asked, "--json"))["accuracy"]
    said[1]["answer"] = ""  # it was right
    file.write_text(json.dumps(said))
    assert json.loads(run_answers(asked, "--json"))["accuracy"] == pytest.approx(before - 1 / 20)


def test_answers_to_some_questions_are_refused_unless_allowed(asked: dict[str, str]) -> None:
    with pytest.raises(CaptionerError, match=r"no answer to 19 questions \(0, 1, 2, ...\)"):
        run_answers(asked, results="partial")
    out = run_answers(asked, "--allow-partial", results="partial")
    assert "questions:1 of 20, partial" in out


def test_it_is_said_when_training_holds_every_question(asked: dict[str, str]) -> None:
    names = ("results", "questions", "annotations")
    arguments = ["answers", *(asked[name] for name in names)]
    done = RUNNER.invoke(app, [*arguments, "--training-questions", asked["questions"]])
    assert "every question is among the training questions too" in done.stderr
    assert "not in training" not in done.stdout
