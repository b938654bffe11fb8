"""What a run says before it learns nonsense: unknown words, overlaps, cut captions, splits."""

import json
import warnings
from pathlib import Path

import pytest
from helpers import CPU, Quiet, settings

from captioner.errors import CaptionerError, CaptionerWarning
from captioner.model import checkpoint
from captioner.training.data import read_data
from captioner.training.loop import fit


def rewritten(pictures: Path, file: Path, captions: list[str]) -> Path:
    """The pictures of the set, each with the next of these captions."""
    names = sorted(path.name for path in pictures.glob("*.png"))
    rows = [
        json.dumps({"image": name, "caption": captions[number % len(captions)]}, ensure_ascii=False)
        for number, name in enumerate(names)
    ]
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


@pytest.fixture
def start(pictures: Path, tmp_path: Path) -> Path:
    """A checkpoint that knows the words of the pictures' own captions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptionerWarning)
        fit(
            settings(pictures, epochs=1),
            tmp_path / "start",
            device=CPU,
            resume=False,
            reporter=Quiet(),
        )
    return tmp_path / "start" / "last.safetensors"


def fit_on(captions: Path, pictures: Path, folder: Path, **training: object) -> None:
    run = settings(pictures, epochs=1, **training)
    files = [str(captions)]
    run = run.changed({"data": {"captions": files, "val_captions": files}}, "test")
    fit(run, folder, device=CPU, resume=False, reporter=Quiet())


@pytest.mark.parametrize("caption", ["<start> a red dog <end>", "startseq a red dog endseq"])
def test_markers_in_captions_are_said(pictures: Path, tmp_path: Path, caption: str) -> None:
    count = len(list(pictures.glob("*.png")))
    captions = rewritten(pictures, tmp_path / "marked.jsonl", [caption])
    with pytest.warns(CaptionerWarning, match=f"{count} of {count} captions contain markers"):
        fit_on(captions, pictures, tmp_path / "run")


def test_nothing_known_is_refused_and_leaves_no_checkpoint(
    pictures: Path, tmp_path: Path, start: Path
) -> None:
    captions = rewritten(pictures, tmp_path / "zh.jsonl", ["一个红色的圆形", "一只黑色的狗"])
    with (
        pytest.raises(CaptionerError, match="does not know 100% of the words of the captions"),
        pytest.warns(CaptionerWarning, match="--tokens character"),
    ):
        fit_on(captions, pictures, tmp_path / "run", start_from=str(start))
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_few_unknown_words_are_said_and_can_be_learned(
    pictures: Path, tmp_path: Path, start: Path
) -> None:
    captions = rewritten(pictures, tmp_path / "new.jsonl", ["a red zebra", "a green box"])
    with pytest.warns(CaptionerWarning, match="17% of the words .* such as zebra; 0 of 8 .*extend"):
        fit_on(captions, pictures, tmp_path / "run", start_from=str(start))
    rare: dict[str, object] = {"extend_vocabulary": True, "min_count": 9}
    with pytest.warns(CaptionerWarning, match="17% of the words .* known one; lower min_count in"):
        fit_on(captions, pictures, tmp_path / "rare", start_from=str(start), **rare)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not know")
        warnings.filterwarnings("ignore", message=".*are trained on too")
        fit_on(
            captions,
            pictures,
            tmp_path / "extended",
            start_from=str(start),
            extend_vocabulary=True,
            learning_rate=0.0,
        )
    old = checkpoint.load(start).model
    new = checkpoint.load(tmp_path / "extended" / "last.safetensors").model
    assert new.vocabulary.words == (*old.vocabulary.words, "zebra")
    size = len(old.vocabulary)
    for name in ("decoder.embedding.weight", "decoder.output_bias"):
        before, after = old.get_parameter(name), new.get_parameter(name)
        assert len(after) == size + 1
        assert after[:size].equal(before)  # old words stay as they are
    assert new.decoder.output_bias[-1].item() == pytest.approx(
        old.decoder.output_bias.mean().item()
    )


def test_captions_without_spaces_are_said(pictures: Path, tmp_path: Path) -> None:
    captions = rewritten(pictures, tmp_path / "zh.jsonl", ["一个红色的圆形", "一只黑色的狗"])
    with pytest.warns(CaptionerWarning, match="each is one long word .* --tokens character"):
        fit_on(captions, pictures, tmp_path / "run")


def test_captions_that_are_cut_are_counted(pictures: Path, tmp_path: Path) -> None:
    captions = rewritten(pictures, tmp_path / "long.jsonl", ["a red box on a table", "a box"])
    with pytest.warns(CaptionerWarning, match="4 captions have more than 4 words and are cut"):
        fit_on(captions, pictures, tmp_path / "run", max_words=4)


def test_validation_on_training_pictures_is_said(pictures: Path) -> None:
    with pytest.warns(CaptionerWarning, match="8 of 8 validation pictures are trained on too"):
        read_data(settings(pictures))


def test_a_share_is_held_out_by_picture_and_the_same_again(pictures: Path) -> None:
    def split(seed: int) -> tuple[list[Path], list[Path]]:
        run = settings(pictures, seed=seed)
        files: dict[str, object] = {"val_captions": [], "val_share": 0.25}
        train, val = read_data(run.changed({"data": files}, "test"))
        return train.paths(), val.paths()

    train, val = split(0)
    assert (len(train), len(val)) == (6, 2)
    assert not set(train) & set(val)
    assert split(0) == (train, val)
    assert len({tuple(split(seed)[1]) for seed in range(6)}) > 1
    with pytest.raises(CaptionerError, match="val_share 0.01 of 8 pictures is 0"):
        run = settings(pictures).changed({"data": {"val_captions": [], "val_share": 0.01}}, "test")
        read_data(run)


def test_a_task_of_too_few_pictures_is_not_left_without_validation(
    pictures: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in pictures.glob("*.png"))
    contents: dict[str, object] = {
        "captions": [{"image": names[0], "caption": "a red box"}],
        "questions": {
            "questions": [
                {"question_id": n, "image_id": n, "question": "what is it?"}
                for n in range(len(names))
            ]
        },
        "answers": {
            "annotations": [
                {"question_id": n, "image_id": n, "answers": [{"answer": "a box"}]}
                for n in range(len(names))
            ]
        },
        "image_names": {str(n): name for n, name in enumerate(names)},
    }
    data: dict[str, object] = {"val_captions": [], "val_share": 0.25}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        data[name] = [str(tmp_path / f"{name}.json")]
    with pytest.raises(CaptionerError, match="the captions are of so few .* --val-captions"):
        read_data(settings(pictures).changed({"data": data}, "test"))
