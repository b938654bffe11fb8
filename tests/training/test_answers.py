"""Training answers: alone, together with captions, and on a frozen captioner."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from helpers import COLOURS, CPU, Quiet, assert_equal, settings, weights

from captioner.api import Captioner
from captioner.config.run import RunConfig
from captioner.errors import CaptionerError
from captioner.model import checkpoint
from captioner.training.loop import fit
from captioner.training.stages import fit_stages

QUESTIONS = ("What color is it?", "Is it a ball?")


@pytest.fixture(scope="module")
def asked(pictures: Path) -> Path:
    """Two questions about each of the eight pictures, in VQA's format, with a file of names."""
    names, questions, annotations = {}, [], []
    for colour in COLOURS:
        for shape in ("box", "ball"):
            number = len(names)
            names[number] = f"{colour} {shape}.png"
            replies = (colour, "yes" if shape == "ball" else "no")
            for index, (text, answer) in enumerate(zip(QUESTIONS, replies, strict=True)):
                ids = {"question_id": 10 * number + index, "image_id": number}
                questions.append(ids | {"question": text})
                answers = [{"answer": answer}] * 9 + [{"answer": "nothing"}]
                annotations.append(ids | {"answers": answers})
    (pictures / "questions.json").write_text(json.dumps({"questions": questions}))
    (pictures / "answers.json").write_text(json.dumps({"annotations": annotations}))
    (pictures / "names.json").write_text(json.dumps(names))
    return pictures


def with_questions(run: RunConfig, folder: Path, *, captions: bool) -> RunConfig:
    files = {
        f"{prefix}{name}": (str(folder / file),)
        for prefix in ("", "val_")
        for name, file in (
            ("questions", "questions.json"),
            ("answers", "answers.json"),
            ("image_names", "names.json"),
        )
    }
    none: dict[str, tuple[str, ...]] = {} if captions else {"captions": (), "val_captions": ()}
    run = run.changed({"data": {**files, **none}}, "test")
    return dataclasses.replace(
        run,
        model=dataclasses.replace(
            run.model,
            answer_size=96,
            answer_dropout=0.0,
            embedding_dropout=0.0,
            hidden_dropout=0.0,
            feature_dropout=0.0,
        ),
    )


def learn(run: RunConfig, folder: Path) -> Captioner:
    fit(run, folder, device=CPU, resume=False, reporter=Quiet())
    return Captioner.load(folder / "last.safetensors", "cpu")


def right_answers(model: Captioner, folder: Path) -> int:
    right = 0
    for colour in COLOURS:
        for shape in ("box", "ball"):
            expected = (colour, "yes" if shape == "ball" else "no")
            for question, answer in zip(QUESTIONS, expected, strict=True):
                right += model.answer(folder / f"{colour} {shape}.png", question).text == answer
    return right


def test_both_tasks_overfit_until_the_outputs_are_exact(asked: Path, tmp_path: Path) -> None:
    run = settings(
        asked,
        epochs=40,
        pictures_per_batch=2,
        questions_per_batch=4,
        learning_rate=1e-2,
        mirror=False,
        label_smoothing=0.0,
    )
    model = learn(with_questions(run, asked, captions=True), tmp_path)
    assert right_answers(model, asked) == 16
    for colour in COLOURS:
        best = model.caption(asked / f"{colour} ball.png")
        assert best.text in (f"a {colour} ball", f"there is a ball that is {colour}")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [record for record in log if "epoch" not in record]
    for step in steps:
        assert step["caption loss"] + step["answer loss"] == pytest.approx(step["loss"])
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)  # nine agree and one does not
    assert steps[-1]["answer loss"] == pytest.approx(entropy, abs=0.01)
    last = [record for record in log if "epoch" in record][-1]
    assert last["accuracy"] == pytest.approx(1.0)  # nine of ten people gave this answer
    assert {"BLEU-4", "validation loss", "validation answer loss"} <= last.keys()
    about = checkpoint.load(tmp_path / "last.safetensors").data
    assert (about["questions"], about["pictures"], about["sentences"]) == (16, 8, 16)


def test_training_answers_alone_gives_a_model_without_captions(asked: Path, tmp_path: Path) -> None:
    run = settings(
        asked, epochs=40, questions_per_batch=4, learning_rate=1e-2, mirror=False, pair_weight=0.5
    )
    model = learn(with_questions(run, asked, captions=False), tmp_path)
    assert right_answers(model, asked) == 16
    assert model.can_answer and not model.can_caption


def test_frozen_captioner_keeps_its_captions_and_learns_to_answer(
    asked: Path, tmp_path: Path
) -> None:
    first = settings(asked, epochs=10, pictures_per_batch=2, learning_rate=1e-2, mirror=False)
    captioner = learn(first, tmp_path / "captions")
    run = settings(
        asked,
        start_from=str(tmp_path / "captions" / "last.safetensors"),
        freeze_captioner=True,
        epochs=80,
        questions_per_batch=4,
        learning_rate=1e-2,
        mirror=False,
    )
    model = learn(with_questions(run, asked, captions=False), tmp_path / "answers")
    assert right_answers(model, asked) == 16
    before, after = weights(tmp_path / "captions"), weights(tmp_path / "answers")
    assert_equal(before, {name: after[name] for name in before})
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"answers"}
    picture = asked / "red ball.png"
    assert model.caption(picture).text == captioner.caption(picture).text
    # The word embeddings of the answer head start as copies of the captioner's.
    fresh = dataclasses.replace(run.training, learning_rate=0.0, epochs=1)
    idle = dataclasses.replace(run, training=fresh)
    learn(with_questions(idle, asked, captions=False), tmp_path / "idle")
    made = checkpoint.load(tmp_path / "idle" / "last.safetensors").model
    index, own = made.question_vocabulary.words.index("ball"), made.vocabulary.words.index("ball")
    assert torch.equal(made.answers.embedding.weight[index], made.decoder.embedding.weight[own])


def test_a_start_without_the_task_is_not_kept(asked: Path, tmp_path: Path) -> None:
    """Its answers would be those of untrained weights."""
    learn(settings(asked, epochs=1), tmp_path / "captions")
    start = str(tmp_path / "captions" / "last.safetensors")
    run = settings(asked, start_from=start, freeze_captioner=True, epochs=1, learning_rate=0.0)
    run, reporter = with_questions(run, asked, captions=False), Quiet()
    fit_stages({"": run}, tmp_path / "run", device=CPU, resume=False, reporter=reporter)
    assert not any("before the first step" in note for note in reporter.notes)
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_stage_of_answers_on_the_captioner_of_the_stage_before(asked: Path, tmp_path: Path) -> None:
    captions = settings(asked, epochs=1)
    head = with_questions(settings(asked, epochs=1, freeze_captioner=True), asked, captions=False)
    stages = {"captions": captions, "answers": head}
    last = fit_stages(stages, tmp_path, device=CPU, resume=False, reporter=Quiet())
    before, after = weights(tmp_path / "captions", "best"), weights(last)
    assert_equal(before, {name: after[name] for name in before})
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"answers"}


def test_captions_are_added_to_a_checkpoint_of_answers(asked: Path, tmp_path: Path) -> None:
    answers = with_questions(settings(asked, epochs=1), asked, captions=False)
    model = dataclasses.replace(answers.model, sentinel=True, top_down=True)
    learn(dataclasses.replace(answers, model=model), tmp_path / "answers")
    before = weights(tmp_path / "answers")
    start = {"start_from": str(tmp_path / "answers" / "last.safetensors"), "learning_rate": 0.0}
    reporter = Quiet()
    run = settings(asked, epochs=1, **start)
    fit(run, tmp_path / "both", device=CPU, resume=False, reporter=reporter)
    assert any("learned questions too" in note for note in reporter.notes)
    after = weights(tmp_path / "both")
    for name, value in before.items():
        assert torch.equal(after[name.replace("answers.attention", "decoder.attention")], value)
    for part in ("cell", "attention_cell", "sentinel"):
        assert any(name.startswith(f"decoder.{part}.") for name in after)
    other = json.loads((asked / "answers.json").read_text())
    for annotation in other["annotations"]:
        annotation["answers"] = [{"answer": "elsewhere"}]
    strange = tmp_path / "strange.json"
    strange.write_text(json.dumps(other))
    run = with_questions(settings(asked, **start), asked, captions=False)
    run = run.changed({"data": {"answers": [str(strange)]}}, "test")
    with pytest.raises(CaptionerError, match="no question has an answer that .* can give"):
        fit(run, tmp_path / "strange", device=CPU, resume=False, reporter=Quiet())


def test_resumed_equals_uninterrupted_to_the_bit_with_both_tasks(
    asked: Path, tmp_path: Path
) -> None:
    run = with_questions(
        settings(asked, questions_per_batch=5, average_decay=0.9, pair_weight=0.5),
        asked,
        captions=True,
    )
    fit(run, tmp_path / "whole", device=CPU, resume=False, reporter=Quiet())
    broken = tmp_path / "broken"
    for stop_after in (3, 6, 9):
        with pytest.raises(KeyboardInterrupt):
            fit(run, broken, device=CPU, resume=True, reporter=Quiet(stop_after=stop_after))
    fit(run, broken, device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(tmp_path / "whole"), weights(broken))
    assert_equal(weights(tmp_path / "whole", "state"), weights(broken, "state"))


@pytest.mark.parametrize(
    ("changes", "training", "message"),
    [
        ({"val_questions": (), "val_answers": (), "val_image_names": ()}, {}, "no --val-questions"),
        ({"image_names": ("none",)}, {}, "image ids have no picture"),
        ({"answers": ("captions.jsonl",)}, {}, "captions.jsonl"),
        ({}, {"fine_tune_from": "features.1"}, "freeze_captioner trains the answer head alone"),
        ({}, {"start_from": ""}, "name its checkpoint with --start-from"),
    ],
)
def test_bad_data_raises_with_one_line(
    asked: Path, tmp_path: Path, changes: dict[str, object], training: dict[str, object], message
) -> None:
    if training:
        training = {"freeze_captioner": True, "start_from": "any.safetensors"} | training
    run = with_questions(settings(asked, **training), asked, captions=False)
    if "answers" in changes:
        changes = {"answers": (str(asked / "captions.jsonl"),)}
    changed = run.changed({"data": changes}, "test")
    with pytest.raises(CaptionerError, match=message) as caught:
        fit(changed, tmp_path, device=CPU, resume=False, reporter=Quiet())
    assert "\n" not in str(caught.value)


def test_question_files_need_as_many_answer_files(asked: Path) -> None:
    run = with_questions(settings(asked), asked, captions=False)
    with pytest.raises(CaptionerError, match="1 files of questions, 0 of answers"):
        run.changed({"data": {"answers": []}}, "test")
    with pytest.raises(CaptionerError, match="0 files of val_questions, 1 of val_answers"):
        run.changed({"data": {"val_questions": []}}, "test")
