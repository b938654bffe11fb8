"""captioner evaluate captions, with a model of random weights: what it says is what it scores."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from captioner import Captioner, cli
from captioner.cli.evaluate import describe
from captioner.config import DecodingConfig
from captioner.metrics import score_captions

Run = Callable[..., tuple[int, str, str]]
REFERENCES = {
    30: ["a cat sits on the table", "The red cat."],
    10: ["a dog", "the dog sits"],
    20: ["a red cup of the dog on a table"],
}


@pytest.fixture
def run(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["captioner", "evaluate", "captions", "--checkpoint", str(tiny_checkpoint)]
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(autouse=True)
def a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pictures in two folders, their captions in COCO's form and in Karpathy's."""
    monkeypatch.chdir(tmp_path)
    names = {30: "one/30.png", 10: "two/10.png", 20: "one/20.png"}
    for name, colour in zip(names.values(), ("red", "green", "black"), strict=True):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), colour).save(name)
    coco = {
        "images": [{"id": i, "file_name": Path(name).name} for i, name in names.items()],
        "annotations": [
            {"id": 100 * i + n, "image_id": i, "caption": text}
            for i, texts in REFERENCES.items()
            for n, text in enumerate(texts)
        ],
    }
    Path("coco.json").write_text(json.dumps(coco))
    karpathy = [
        {
            "filename": Path(names[i]).name,
            "imgid": i,
            "split": split,
            "sentences": [{"raw": text} for text in REFERENCES[i]],
        }
        for i, split in ((30, "test"), (10, "val"), (20, "restval"))
    ]
    Path("karpathy.json").write_text(json.dumps({"images": karpathy, "dataset": "ours"}))


COCO = ("--images", "one", "--images", "two", "--annotations", "coco.json")


def test_the_result_file_holds_what_was_scored(run, tiny_checkpoint):
    status, out, _ = run(*COCO, "--results", "said.json", "--json")
    assert status == 0
    results = json.loads(Path("said.json").read_text())
    said = {record["image_id"]: record["caption"] for record in results}
    assert list(said) == list(REFERENCES)
    model = Captioner.load(tiny_checkpoint)
    assert said[10] == model.caption("two/10.png").text
    assert len(set(said.values())) > 1
    scores = score_captions(said, REFERENCES)
    printed = json.loads(out)
    assert printed["scores"] == pytest.approx(scores.values)
    assert printed["pictures"] == 3


def test_the_table_shows_the_same_scores_and_ends_in_the_signature(run):
    _, as_json, _ = run(*COCO, "--json")
    _, table, _ = run(*COCO)
    printed = json.loads(as_json)
    _, *rows, signature = table.splitlines()
    assert signature == printed["signature"]
    values = {row.split()[0]: row.split()[1] for row in rows}
    for name, value in printed["scores"].items():
        assert float(values[name]) == pytest.approx(value, abs=5e-5)


def test_the_signature_says_how_captions_were_found(run):
    signatures = {
        run(*COCO, "--json", *options)[1].split('"signature": ')[1]
        for options in ([], ["--beam-size", "1"], ["--max-words", "3"], ["--sample"])
    }
    assert len(signatures) == 4


@pytest.mark.parametrize(
    ("decoding", "text"),
    [
        (DecodingConfig(), "beam5,words20,penalty0,block3"),
        (DecodingConfig(beam_size=3, length_penalty=0.7), "beam3,words20,penalty0.7,block3"),
        (
            DecodingConfig(sample=True, temperature=0.5, top_p=0.9, seed=4),
            "sample,temperature0.5,topk0,topp0.9,seed4,words20,penalty0,block3",
        ),
    ],
)
def test_describe(decoding, text):
    assert describe(decoding) == text


def test_the_split_of_a_karpathy_file(run):
    both = ("--images", "one", "--images", "two", "--annotations", "karpathy.json", "--json")
    assert run(*both, "--split", "test", "--results", "test.json")[0] == 0
    assert [record["image_id"] for record in json.loads(Path("test.json").read_text())] == [30]
    assert run(*both, "--results", "val.json")[0] == 0
    assert [record["image_id"] for record in json.loads(Path("val.json").read_text())] == [10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "one", "--annotations", "coco.json"], "1 of its pictures are not in one"),
        (["--images", "one", "--annotations", "gone.json"], "gone.json"),
        (["--images", "one", "--annotations", "one/30.png"], "one/30.png"),
        ([*COCO, "--split", "nothing"], "unknown split 'nothing'"),
        ([*COCO, "--results", "nowhere/said.json"], "no folder nowhere"),
        ([*COCO, "--device", "abacus"], "device 'abacus'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("captioner: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_words_that_repeat_are_warned_of_on_stderr(run):
    """A random model stammers."""
    status, _, err = run(*COCO, "--block-ngrams", "0")
    assert status == 0
    assert "captioner: warning: 3 of 3 captions repeat themselves" in err


def test_an_unreadable_picture_ends_it_without_a_result_file(run):
    """A score over the other pictures would look like a score over all."""
    Path("two/10.png").write_bytes(Path("two/10.png").read_bytes()[:60])
    status, out, err = run(*COCO, "--results", "said.json")
    assert (status, out) == (2, "")
    assert "two/10.png" in err
    assert not Path("said.json").exists()
