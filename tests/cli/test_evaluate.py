"""captioner evaluate, with a model of random weights: what it says is what it scores."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner, CaptionerError, cli
from captioner.config.settings import DecodingConfig
from captioner.data.shapes.maker import make_shapes
from captioner.evaluation import describe_decoding
from captioner.metrics import score_captions
from captioner.model import checkpoint

Run = Callable[..., tuple[int, str, str]]
REFERENCES = {
    30: ["a cat sits on the table", "The red cat."],
    10: ["a dog", "the dog sits"],
    20: ["a red cup of the dog on a table"],
}


@pytest.fixture
def run(command: Run, tiny_checkpoint: Path) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        kind = () if arguments[0] == "attention" else ("captions",)
        return command("evaluate", *kind, *arguments, "--checkpoint", tiny_checkpoint)

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


def test_the_calibration_compares_the_confidences_with_the_words_of_the_references(
    run, tiny_checkpoint
):
    _, as_json, _ = run(*COCO, "--json")
    found = json.loads(as_json)["calibration"]
    model = Captioner.load(tiny_checkpoint)
    paths = ["one/30.png", "two/10.png", "one/20.png"]
    assert found["confidence"] == pytest.approx(
        np.mean([caption.confidence for caption in model.caption(paths)]), abs=1e-5
    )
    _, table, _ = run(*COCO)
    assert f"{found['error']:.4f}, expected calibration error" in table


def test_a_calibrated_checkpoint_says_what_share_of_its_words_people_use(command, tiny_checkpoint):
    """Its curve is fitted to these captions, so their mean confidence is the mean share."""
    file = Path(shutil.copy(tiny_checkpoint, "mine.safetensors"))
    evaluate = ("evaluate", "captions", *COCO, "--checkpoint", file, "--json")
    before = Captioner.load(file).caption("one/30.png")
    found = json.loads(command(*evaluate, "--calibrate")[1])["calibration"]
    assert found["confidence"] == pytest.approx(found["accuracy"], abs=1e-6)
    after = Captioner.load(file).caption("one/30.png")
    assert (after.text, after.words) == (before.text, before.words)
    curve = checkpoint.load(file).confidence_curve
    assert curve is not None and after.confidence == curve(before.probabilities)
    assert json.loads(command(*evaluate)[1])["calibration"] == pytest.approx(found)


def test_the_signature_says_how_captions_were_found(run):
    signatures = {
        run(*COCO, "--json", *options)[1].split('"signature": ')[1]
        for options in (
            [], ["--beam-size", "1"], ["--max-words", "3"], ["--sample"]
        )
    }  # fmt: skip
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
    assert describe_decoding(decoding) == text


def test_the_model_that_ships_keeps_no_scores_by_accident(capsys, monkeypatch):
    for asked in (COCO, ("answers", "--images", ".", "--questions", "q", "--annotations", "a")):
        command = asked if asked[0] == "answers" else ("captions", *asked)
        monkeypatch.setattr(sys, "argv", ["captioner", "evaluate", *command, "--record", "val"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (2, "")
        assert "with --checkpoint" in err


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


def test_no_scores_are_kept_of_a_set_without_captions(run):
    content = json.loads(Path("coco.json").read_text())
    Path("test.json").write_text(json.dumps({"images": content["images"]}))
    given = (*COCO[:4], "--annotations", "test.json")
    status, _, err = run(*given, "--results", "said.json", "--record", "test")
    assert status == 2 and "nothing to keep; leave --record out" in err
    assert run(*given, "--results", "said.json")[0] == 0
    assert run(*given)[0] == 2


def test_words_that_repeat_are_warned_of_on_stderr(run):
    """A random model stammers."""
    status, _, err = run(*COCO, "--block-ngrams", "0")
    assert status == 0
    assert "captioner: warning: 3 of 3 captions repeat themselves" in err


def test_an_unreadable_picture_costs_no_other_and_is_in_the_signature(run):
    Path("two/10.png").write_bytes(Path("two/10.png").read_bytes()[:60])
    status, out, err = run(*COCO, "--results", "said.json")
    assert status == 1
    assert "two/10.png" in err
    said = json.loads(Path("said.json").read_text())
    pictures = len(json.loads(Path("coco.json").read_text())["images"])
    assert len(said) == pictures - 1
    assert f"pictures:{pictures - 1} of {pictures}, partial" in out


@pytest.fixture
def instances(tmp_path: Path) -> dict[str, Any]:
    """Made shapes; their boxes under the names of things that the tiny model can say."""
    list(make_shapes(tmp_path / "shapes", images=20, seed=3, size=64))
    content = json.loads(Path("shapes/instances_val.json").read_text())
    for category, name in zip(content["categories"], ("cat", "cup", "dog", "table"), strict=False):
        category["name"] = name
    Path("instances.json").write_text(json.dumps(content))
    return content


ATTENTION = ("attention", "--images", "shapes/images", "--instances")


def test_attention_counts_the_words_that_name_a_category(run, instances, tiny_checkpoint):
    status, out, err = run(*ATTENTION, "instances.json", "--json")
    assert (status, err) == (0, "")
    counts = json.loads(out)
    model = Captioner.load(tiny_checkpoint)
    names = [record["file_name"] for record in instances["images"]]
    captions = model.caption([f"shapes/images/{name}" for name in names])
    categories = {category["name"] for category in instances["categories"]}
    said = [word.word for caption in captions for word in caption.words]
    assert counts["pictures"] == len(names) == 4
    assert counts["named"] == sum(word in categories for word in said) > 0
    assert 0 <= counts["absent"] <= counts["named"]
    assert 0 <= counts["pointing"] <= 1 and 0 <= counts["uniform"] <= 1

    _, table, _ = run(*ATTENTION, "instances.json")
    named, absent, _, *rows = table.splitlines()
    assert named.endswith(f" {counts['named']} in 4 pictures")
    assert absent.endswith(f" {counts['absent']}")
    expected = [
        (counts["pointing"], counts["uniform"]),
        (counts["deletion"], counts["random"]),
        (counts["insertion"], counts["random"]),
        (counts["entropy"], 1),
    ]
    for row, figures in zip(rows, expected, strict=True):
        assert [float(cell) for cell in re.findall(r"\d\.\d{3}", row)] == pytest.approx(
            figures, abs=5e-4
        )
    maps = np.concatenate([one.attention.reshape(len(one.words), -1) for one in captions])
    shares = -(maps * np.log(maps)).sum(1) / np.log(maps.shape[1])
    assert counts["entropy"] == pytest.approx(shares.mean(), rel=1e-4)


def test_attention_everywhere_in_a_box_as_large_as_the_picture_is_always_right(run, instances):
    sizes = {record["id"]: (record["width"], record["height"]) for record in instances["images"]}
    annotations = [
        {"image_id": image, "category_id": category["id"], "bbox": [0, 0, *size]}
        for image, size in sizes.items()
        for category in instances["categories"]
    ]
    Path("whole.json").write_text(json.dumps(instances | {"annotations": annotations}))
    counts = json.loads(run(*ATTENTION, "whole.json", "--json")[1])
    assert (counts["absent"], counts["pointing"], counts["uniform"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ATTENTION, "gone.json"], "cannot read gone.json"),
        ([*ATTENTION, "one/30.png"], "one/30.png is not UTF-8 text"),
        ([*ATTENTION, "coco.json"], "coco.json is not in the form of COCO's instances file"),
        ([*ATTENTION, "instances.json", "--images", "none"], "none is not a folder"),
        (["attention", "--images", "one", "--instances", "instances.json"], "are not in one"),
        ([*ATTENTION, "shapes/instances_val.json"], "no caption names a category of shapes"),
    ],
)
def test_bad_input_for_attention_is_one_line_and_status_2(run, instances, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("captioner: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_scores_that_cannot_be_kept_are_printed_all_the_same(command, tiny_checkpoint, monkeypatch):
    def fail(file: Path, score: object) -> None:
        raise CaptionerError(f"{file}: cannot be written")

    monkeypatch.setattr(checkpoint, "add_score", fail)
    given = (*COCO, "--checkpoint", str(tiny_checkpoint), "--record", "three pictures")
    status, out, err = command("evaluate", "captions", *given)
    assert status == 2 and "cannot be written" in err
    assert "CIDEr" in out and "pictures:3" in out


@pytest.mark.parametrize("given", [".", "best.safetensors"])
def test_scores_can_be_kept_in_the_checkpoint(run, tiny_checkpoint, given):
    copied = Path("best.safetensors")
    copied.write_bytes(tiny_checkpoint.read_bytes())
    more = ("--checkpoint", given, "--record", "three pictures", "--json")
    command = ["captioner", "evaluate", "captions", *COCO, *more]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(sys, "argv", command)
        cli.main()
    [kept] = Captioner.load(copied).scores
    assert kept["set"] == "three pictures"
    assert kept["signature"].startswith("BLEU-1+") and "pictures:3" in kept["signature"]
    assert (
        kept["values"]["BLEU-1"]
        == json.loads(run(*COCO, "--json")[1].splitlines()[-1])["scores"]["BLEU-1"]
    )
