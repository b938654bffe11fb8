"""captioner evaluate answers, with a model of random weights: what it says is what it scores."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner
from captioner.data.images import grey_picture
from captioner.metrics.calibration import calibration
from captioner.model import checkpoint

Run = Callable[..., tuple[int, str, str]]
ASKED = {
    1: (30, "What color is it?", "red"),
    2: (30, "Is it red?", "yes"),
    3: (10, "What color is it?", "night stand"),
    4: (20, "Pourquoi?", "no"),
    5: (10, "Is there the dog", "no"),
}
FILES = ("--images", "photos", "--questions", "asked.json", "--annotations", "answered.json")
NAMED = (*FILES, "--image-names", "names.json")


@pytest.fixture
def run(command: Run, tiny_checkpoint: Path) -> Run:
    def run(*arguments: object, file: Path = tiny_checkpoint) -> tuple[int, str, str]:
        return command("evaluate", "answers", *arguments, "--checkpoint", file)

    return run


@pytest.fixture(autouse=True)
def a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    noise = np.random.default_rng(5)
    names = {}
    for number, colour in ((10, (255, 60, 10)), (20, (9, 255, 90)), (30, (40, 60, 255))):
        names[number] = f"{number}.png"
        pixels = (noise.random((40, 60, 3)) * colour).astype(np.uint8)
        Image.fromarray(pixels).save(Path("photos", names[number]))
    questions, annotations = [], []
    for key, (image, text, answer) in ASKED.items():
        ids = {"question_id": key, "image_id": image}
        questions.append(ids | {"question": text})
        annotations.append(ids | {"answer_type": "any", "answers": [{"answer": answer}]})
    Path("asked.json").write_text(json.dumps({"questions": questions}))
    Path("answered.json").write_text(json.dumps({"annotations": annotations}))
    Path("names.json").write_text(json.dumps(names))


def test_the_result_file_holds_what_was_scored(run, tiny_checkpoint):
    status, out, _ = run(*NAMED, "--results", "said.json", "--json")
    model = Captioner.load(tiny_checkpoint, "cpu")
    nothing = grey_picture(model.config.image_size)
    said = {
        record["question_id"]: record["answer"]
        for record in json.loads(Path("said.json").read_text())
    }
    right = blind = 0
    for key, (image, text, answer) in ASKED.items():
        expected = (
            "" if text == "Pourquoi?" else model.answer(Path("photos", f"{image}.png"), text).text
        )
        assert said[key] == expected
        right += expected == answer
        blind += text != "Pourquoi?" and model.answer(nothing, text).text == answer
    found = json.loads(out)
    assert status == 0
    assert found["accuracy"] == pytest.approx(right / 5)
    assert found["baselines"] == pytest.approx(
        {"commonest answer": 2 / 5, "grey picture": blind / 5}
    )
    assert "accuracy:exact|questions:5|pictures:3" in found["signature"]
    assert f"model:{tiny_checkpoint.name}" in found["signature"]


def test_the_calibration_compares_how_sure_the_answers_are_with_how_right(run, tiny_checkpoint):
    _, as_json, _ = run(*NAMED, "--json")
    printed = json.loads(as_json)
    found = printed["calibration"]
    model = Captioner.load(tiny_checkpoint, "cpu")
    sure, right = [0.0], [0.0]  # of the question without a known word
    for image, text, answer in ASKED.values():
        if text != "Pourquoi?":
            reply = model.answer(Path("photos", f"{image}.png"), text)
            sure.append(reply.probability)
            right.append(float(reply.text == answer))
    assert found["confidence"] == pytest.approx(sum(sure) / 5, abs=1e-5)
    assert found["accuracy"] == pytest.approx(printed["accuracy"])
    assert found["error"] == pytest.approx(calibration(sure, right).error, abs=1e-5)
    assert f"expected calibration error: {found['error']:.4f}" in run(*NAMED)[1]


def test_the_table_and_questions_that_training_does_not_hold(run):
    training = [{"question_id": 1, "image_id": 1, "question": "what COLOR is it"}]
    Path("training.json").write_text(json.dumps({"questions": training}))
    status, out, err = run(*NAMED, "--training-questions", "training.json")
    assert (status, err) == (0, "")
    heading, overall, unseen, *_ = out.splitlines()
    assert heading.split()[-4:] == ["commonest", "answer", "grey", "picture"]
    assert overall.startswith("overall ") and unseen.startswith("questions not in training ")
    assert unseen.split()[5] == "3"


def test_it_is_said_when_training_holds_every_question(run):
    status, out, err = run(*NAMED, "--training-questions", FILES[3])
    assert (status, err.count("\n")) == (0, 1) and "not in training" not in out
    assert "every question is among the training questions too" in err


def test_scores_can_be_kept_in_the_checkpoint(run, tiny_checkpoint, tmp_path):
    own = tmp_path / "own.safetensors"
    shutil.copy(tiny_checkpoint, own)
    status, out, _ = run(*NAMED, "--record", "a few questions", "--json", file=own)
    [kept] = checkpoint.load(own).scores
    found = json.loads(out)
    assert status == 0
    assert (kept["set"], kept["signature"]) == ("a few questions", found["signature"])
    assert kept["values"]["accuracy"] == found["accuracy"]
    assert kept["values"]["grey picture"] == found["baselines"]["grey picture"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (FILES, "asked.json: 3 image ids have no picture in photos"),
        ((*NAMED, "--results", "nowhere/said.json"), "no folder nowhere"),
        ((*FILES[:4], "--annotations", "asked.json"), "asked.json is a file of questions"),
        ((*NAMED[:2], "--questions", "few.json", *NAMED[4:]), "annotations have no question in"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message):
    few = [{"question_id": 1, "image_id": 30, "question": "Is it?"}]
    Path("few.json").write_text(json.dumps({"questions": few}))
    Path("photos/10.png").rename("photos/ten.png")
    Path("photos/20.png").rename("photos/twenty.png")
    Path("photos/30.png").rename("photos/thirty.png")
    Path("names.json").write_text(json.dumps({10: "ten.png", 20: "twenty.png", 30: "thirty.png"}))
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_a_picture_that_cannot_be_read_costs_no_other(run):
    Path("photos/20.png").write_text("not a picture")
    status, out, err = run(*NAMED, "--results", "said.json")
    assert status == 1
    assert "20.png is not a picture" in err
    answered = json.loads(Path("said.json").read_text())
    questions = json.loads(Path(FILES[3]).read_text())["questions"]
    assert len(answered) == sum(question["image_id"] != 20 for question in questions) > 0
    assert f"questions:{len(answered)} of {len(questions)}, partial|" in out
