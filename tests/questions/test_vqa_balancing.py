"""Balanced files have each answer to a question equally often; nothing else changes."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from captioner import cli
from captioner.data.question_files import read_question_file
from captioner.errors import CaptionerError
from captioner.questions.vqa_balancing import balanced, write_balanced

ASKED = [
    ("Is it red?", "yes"), ("is it red", "no"), ("Is it red?", "Yes"), ("IS IT RED?!", "no"),
    ("Is it red?", "no"), ("What is it?", "dog"), ("What is it?", "cat"), ("What is it?", "cup"),
    ("What is it?", "cup"), ("Is it a dog?", "yes"), ("Is it a dog?", "yes"), ("Why?", "because"),
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    questions = [
        {"question_id": number, "image_id": 3, "question": text}
        for number, (text, _) in enumerate(ASKED)
    ]
    annotations = [
        {"question_id": number, "image_id": 3, "answer_type": "x", "answers": [{"answer": answer}]}
        for number, (_, answer) in enumerate(ASKED)
    ]
    files = tmp_path / "q.json", tmp_path / "a.json"
    files[0].write_text(json.dumps({"data_subtype": "val2014", "questions": questions}))
    files[1].write_text(json.dumps({"annotations": annotations}))
    return files


def test_each_answer_of_a_question_is_kept_equally_often(files: tuple[Path, Path]) -> None:
    kept = balanced(read_question_file(*files), seed=0)
    counts = Counter((ASKED[n][0].lower().strip("?!"), ASKED[n][1].lower()) for n in kept)
    assert counts == {
        ("is it red", "yes"): 2,
        ("is it red", "no"): 2,
        ("what is it", "dog"): 1,
        ("what is it", "cat"): 1,
        ("what is it", "cup"): 1,
    }
    assert balanced(read_question_file(*files), seed=0) == kept
    assert any(balanced(read_question_file(*files), seed=s) != kept for s in range(1, 9))


def test_files_differ_only_in_the_questions_left_out(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    assert write_balanced(*files, tmp_path / "out", "train", 0) == (12, 7)
    for part, source in zip(("questions", "annotations"), files, strict=True):
        written = json.loads((tmp_path / "out" / f"{part}_train.json").read_text())
        whole = json.loads(source.read_text())
        assert written | {part: 0} == whole | {part: 0}
        assert [row for row in whole[part] if row in written[part]] == written[part]
    with pytest.raises(CaptionerError, match="questions_train.json is already there"):
        write_balanced(*files, tmp_path / "out", "train", 0)


def test_command_prints_the_number_left(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(questions: Path) -> tuple[object, str, str]:
        options = ["--questions", questions, "--annotations", files[1]]
        options += ["--output", tmp_path / "out", "--name", "train"]
        monkeypatch.setattr(sys, "argv", ["captioner", "data", "balance", *map(str, options)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    assert run(files[0]) == (0, "7 of 12 questions\n", "")
    alone = tmp_path / "alone.json"
    alone.write_text(
        json.dumps({"questions": [{"question_id": 5, "image_id": 3, "question": "W"}]})
    )
    files[1].write_text(
        json.dumps(
            {"annotations": [{"question_id": 5, "image_id": 3, "answers": [{"answer": "b"}]}]}
        )
    )
    status, out, err = run(alone)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "there is nothing to balance" in err
