"""captioner ask, with a model of random weights: everything around the answer."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner

Run = Callable[..., tuple[int, str, str]]
QUESTION = "What color is it?"


@pytest.fixture
def run(command: Run, tiny_checkpoint: Path) -> Run:
    """Run captioner ask with the tiny checkpoint: exit status, stdout, stderr."""
    return lambda *arguments: command("ask", *arguments, "--checkpoint", tiny_checkpoint)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(3)
    Path("photos").mkdir()
    for name, colour in {"a.png": (255, 60, 10), "c.png": (60, 255, 255)}.items():
        pixels = (noise.random((40, 60, 3)) * colour).astype(np.uint8)
        Image.fromarray(pixels).save(f"photos/{name}")
    Path("photos/b.jpg").write_text("not a picture")
    return Path("photos")


@pytest.fixture
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


def test_one_picture_gives_the_answer_alone(run, photos, model):
    expected = model.answer(photos / "a.png", QUESTION)
    status, out, err = run(photos / "a.png", QUESTION)
    assert (status, out) == (0, expected.text + "\n")
    assert ("unsure" in err) == (expected.probability < 0.5)
    status, out, err = run(photos / "a.png", QUESTION, "--top", 2)
    lines = [f"{choice.text}\t{choice.probability:.4f}\n" for choice in expected.top[:2]]
    assert (status, out, err) == (0, "".join(lines), "")


def test_several_pictures_and_one_that_cannot_be_read(run, photos, model):
    status, out, err = run(photos, QUESTION)
    answers = {name: model.answer(photos / name, QUESTION).text for name in ("a.png", "c.png")}
    assert status == 1
    assert out == "".join(f"{photos / name}\t{text}\n" for name, text in answers.items())
    assert err.count("\n") == 1 and "b.jpg is not a picture" in err


def test_json_holds_answers_and_errors(run, photos, model):
    status, out, _ = run(photos, QUESTION, "--json", "--top", 3)
    first, broken, _ = map(json.loads, out.splitlines())
    answer = model.answer(photos / "a.png", QUESTION)
    assert status == 1
    assert first["image"] == str(photos / "a.png")
    assert (first["question"], first["answer"]) == (QUESTION, answer.text)
    assert first["probability"] == pytest.approx(answer.probability, rel=1e-4)
    assert [choice["answer"] for choice in first["top"]] == [c.text for c in answer.top[:3]]
    assert set(broken) == {"image", "question", "error"}


def test_pairs_from_a_file_lie_beside_it(run, photos, model):
    pairs = [("a.png", QUESTION), ("c.png", "Is it red?"), ("a.png", "pourquoi?"), ("a.png", "is")]
    pairs.append((".", QUESTION))
    lines = [json.dumps({"image": image, "question": text}) for image, text in pairs]
    (photos / "pairs.jsonl").write_text("\n".join([*lines[:2], "", *lines[2:]]))
    status, out, err = run("--pairs", photos / "pairs.jsonl")
    assert status == 1 and "no word of the question 'pourquoi?' is known" in err
    assert "photos is a folder; expected a picture" in err and err.count("\n") == 2
    rows = [line.split("\t") for line in out.splitlines()]
    answered = [pairs[0], pairs[1], pairs[3]]
    assert [row[:2] for row in rows] == [[str(photos / i), q] for i, q in answered]
    for image, question, answer in rows:
        assert model.answer(image, question).text == answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected a picture and then a question"),
        (("photos/a.png",), "expected a picture and then a question"),
        (("photos/a.png", " "), "the question is empty"),
        (("photos/a.png", "what is it?", "is it?"), "are two questions; ask one at a time"),
        (("photos/a.png", "pourquoi?"), "no word of the question 'pourquoi?' is known"),
        (("absent.png", QUESTION), "no such file: absent.png"),
        (("photos/a.png", "pourquoi " * 99), "no word of the question"),
        (("photos", "pourquoi?"), "no word of the question 'pourquoi?' is known"),
        (("photos/a.png", "photos/c.png"), "'photos/c.png' is a file where"),
        ((QUESTION, "photos/dog.jpg"), "the question comes last"),
        (("--pairs", "nameless.jsonl"), "nameless.jsonl, line 1: expected"),
        (("photos/a.png", QUESTION, "--pairs", "pairs.jsonl"), "leave 'photos/a.png' out"),
        (("--pairs", "absent.jsonl"), "cannot read absent.jsonl"),
        (("--pairs", "bad.jsonl"), "bad.jsonl, line 2: expected"),
        (("--pairs", "list.jsonl"), "list.jsonl, line 1: expected"),
        (("--pairs", "empty.jsonl"), "empty.jsonl has no lines"),
    ],
)
def test_bad_input_is_one_line(run, photos, arguments, message):
    good = json.dumps({"image": "photos/a.png", "question": QUESTION})
    Path("bad.jsonl").write_text(good + '\n{"image": "photos/a.png"}\n')
    Path("list.jsonl").write_text('["photos/a.png", "is it"]\n')
    Path("empty.jsonl").write_text("\n")
    Path("nameless.jsonl").write_text('{"image": "", "question": "is it"}\n')
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_answers_below_the_stated_probability_are_unsure(run, photos, monkeypatch):
    """On stderr, so that stdout is as ever; --top and --json show probabilities themselves."""
    question, both = (photos / "a.png", QUESTION), (photos / "a.png", photos / "c.png", QUESTION)
    monkeypatch.setattr("captioner.cli.ask.UNSURE", 1.1)
    out, err = run(*question)[1:]
    assert err.startswith("(unsure: probability 0.") and err.count("\n") == 1
    assert run(*question, "--top", 2)[2] == run(*question, "--json")[2] == run(*both)[2] == ""
    monkeypatch.setattr("captioner.cli.ask.UNSURE", 0.0)
    assert run(*question)[1:] == (out, "")


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        (("photos/a.png", "what", "is", "this"), 'captioner ask photos/a.png "what is this"'),
        (("gone.jpg", "what's", "this?"), 'captioner ask gone.jpg "what\'s this?"'),
        (("photos", "is", "it", "red"), 'captioner ask photos "is it red"'),
        (("what", "is", "this"), 'captioner ask photo.jpg "what is this"'),
    ],
)
def test_a_question_without_quotes_is_one_clear_error(run, photos, arguments, quoted):
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.endswith(f"put it in quotes: {quoted}\n")


def test_a_folder_may_be_called_like_a_word(run, photos):
    Path("more").mkdir()
    (photos / "a.png").rename("more/a.png")
    status, out, _ = run(photos / "c.png", "more", QUESTION)
    assert status == 0 and [line.split("\t")[0] for line in out.splitlines()] == [
        "photos/c.png",
        "more/a.png",
    ]
