"""The Python interface, on a tiny model with random weights."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ANSWERS
from PIL import Image

from captioner import Answer, Caption, Captioner, CaptionerError
from captioner.config.settings import DecodingConfig
from captioner.data.images import grey_picture
from captioner.data.vocabulary import NEVER_WRITTEN, Vocabulary
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    files = []
    for number in range(7):
        noise = np.random.default_rng(number).integers(0, 255, (50, 70, 3), dtype=np.uint8)
        files.append(folder / f"{number}.png")
        Image.fromarray(noise).save(files[-1])
    return files


def test_one_picture_in_any_form_gives_the_same_caption(
    model: Captioner, files: list[Path]
) -> None:
    best = model.caption(files[0])
    assert isinstance(best, Caption)
    for same in (str(files[0]), files[0].read_bytes(), Image.open(files[0])):
        assert model.caption(same).text == best.text
    with io.BytesIO(files[0].read_bytes()) as opened:
        assert model.caption(opened).text == best.text


def test_a_caption_says_how_sure_each_word_is_and_where_it_looked(
    model: Captioner, files: list[Path]
) -> None:
    best = model.caption(files[0], beam_size=3, max_words=4)
    words = [word.word for word in best.words]
    assert best.text == " ".join(words)
    assert 1 <= len(words) <= 4
    assert best.attention.shape == (len(words), *model.model.encoder.grid)
    np.testing.assert_allclose(best.attention.sum((1, 2)), 1, rtol=1e-5)
    total = sum(np.log(word.probability) for word in best.words)
    assert best.log_probability <= total + 1e-4  # the end token comes on top


def test_a_list_in_a_list_out_in_order(model: Captioner, files: list[Path]) -> None:
    together = model.caption(files, batch_size=3)
    assert [caption.text for caption in together] == [model.caption(f).text for f in files]
    several = model.caption(files[:2], num_captions=3, beam_size=4)
    assert [len(group) for group in several] == [3, 3]
    for group in several:
        scores = [caption.log_probability for caption in group]
        assert scores == sorted(scores, reverse=True)
        assert len({caption.text for caption in group}) == 3
    assert model.caption([]) == []


def test_one_open_picture_may_be_given_many_times(model: Captioner, files: list[Path]) -> None:
    with Image.open(files[0]) as picture:
        captions = model.caption([picture] * 16)
    assert {caption.text for caption in captions} == {model.caption(files[0]).text}


def test_unreadable_pictures_come_back_in_their_place(
    model: Captioner, files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not much")
    asked = [files[0], broken, files[1], tmp_path / "gone.png", files[2]]
    results = list(model.caption_each(asked, decoding=DecodingConfig(), batch_size=2))
    assert [source for source, _ in results] == asked
    assert [isinstance(result, CaptionerError) for _, result in results] == [
        False, True, False, True, False
    ]  # fmt: skip
    with pytest.raises(CaptionerError, match="broken.jpg"):
        model.caption(asked)


def test_it_reads_a_batch_ahead_of_those_described(model: Captioner, files: list[Path]) -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(files[len(taken) % 7])
            yield taken[-1]

    results = model.caption_each(endless(), decoding=model.decoding, batch_size=2)  # type: ignore[arg-type]
    for _ in range(5):
        next(results)
    at_once = min(4, torch.get_num_threads())
    assert len(taken) <= 2 * (3 + at_once + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"num_captions": 9}, "num_captions is 9"),
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"batch_size": -1}, "batch_size is -1"),
    ],
)
def test_settings_that_make_no_sense(
    model: Captioner, files: list[Path], options: dict[str, int], message: str
) -> None:
    with pytest.raises(CaptionerError, match=message):
        model.caption(files[0], **options)  # type: ignore[arg-type]
    with pytest.raises(CaptionerError, match=message):
        model.caption(files, **options)  # type: ignore[arg-type]


def test_what_is_no_picture_is_told_what_would_be(model: Captioner, files: list[Path]) -> None:
    wrong = (file for file in files)
    for given in (wrong, [files[0], wrong]):
        with pytest.raises(CaptionerError, match="given as generator; expected a path"):
            model.caption(given)  # type: ignore[arg-type]


def test_arrays_bytes_and_files_are_the_same_picture(model: Captioner, files: list[Path]) -> None:
    array = np.asarray(Image.open(files[0]).convert("RGB"))
    expected = model.caption(files[0]).text
    assert model.caption(array).text == expected
    assert [caption.text for caption in model.caption([array, files[0].read_bytes()])] == [
        expected
    ] * 2


def test_the_folder_of_a_run_stands_for_its_best(
    tiny_checkpoint: Path, files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(CaptionerError, match="a folder without best.safetensors"):
        Captioner.load(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    expected = Captioner.load(tiny_checkpoint).caption(files[0]).text
    assert Captioner.load(tmp_path).caption(files[0]).text == expected


def test_a_folder_of_stages_stands_for_its_best_and_a_folder_of_runs_for_none(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "best.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    with pytest.raises(CaptionerError, match="a folder without best.safetensors"):
        Captioner.load(tmp_path)
    (tmp_path / "settings.toml").write_text("")  # as a run with stages has it
    assert Captioner.load(tmp_path).can_caption


def test_match_is_teacher_forcing_of_the_captions() -> None:
    """What the model wrote has the log probability that it was written with."""
    model = Captioner.load()
    with torch.no_grad():  # as good as never: what a search does not write
        model.model.caption_parts()[0].output_bias[NEVER_WRITTEN] = -1e4
    picture = Path(__file__).parents[1] / "data" / "samples" / "chelsea.jpg"
    decoding = DecodingConfig(beam_size=1, block_ngrams=0)
    written = model.caption([picture], decoding=decoding)[0]
    assert isinstance(written, Caption)
    other = "a dog on a table"
    first, second = model.match(picture, [written.text, other])
    tokens = len(written.words) + 1
    assert first.mean_log_probability * tokens == pytest.approx(written.log_probability, abs=1e-3)
    grey = grey_picture(model.config.image_size)
    gains = [
        seen.mean_log_probability - unseen.mean_log_probability
        for seen, unseen in zip(
            (first, second), model.match(grey, [written.text, other]), strict=True
        )
    ]
    assert first.share == pytest.approx(1 / (1 + np.exp(gains[1] - gains[0])), abs=1e-4)
    assert first.share + second.share == pytest.approx(1)
    fits = model.match(picture, ["a cat", "a dog sitting on top of a table"])
    assert fits[0].share > fits[1].share  # though the longer one is likelier per word
    assert fits[0].mean_log_probability < fits[1].mean_log_probability
    assert model.match(picture, ["a dog xqz"])[0].unknown_words == ("xqz",)
    with pytest.raises(CaptionerError, match="no word of the caption 'zzz' is known"):
        model.match(picture, ["a dog", "zzz"])
    with pytest.raises(CaptionerError, match="a caption is None; expected a text"):
        model.match(picture, ["a dog", None])  # type: ignore[list-item]
    with pytest.raises(CaptionerError, match="give a list of one or more texts"):
        model.match(picture, "a dog")


def test_confidence_is_the_mean_probability_of_the_words(
    model: Captioner, files: list[Path]
) -> None:
    caption = model.caption(files[0])
    probabilities = [word.probability for word in caption.words]
    assert caption.confidence == pytest.approx(sum(probabilities) / len(probabilities))


def test_devices_and_checkpoints_that_are_not_there(tiny_checkpoint: Path) -> None:
    for device in ("cuda:77", "abacus", "meta", "hpu", "privateuseone", ""):
        with pytest.raises(CaptionerError, match=f"device '{device}' is not there.*has cpu"):
            Captioner.load(tiny_checkpoint, device)
    with pytest.raises(CaptionerError, match="no such checkpoint"):
        Captioner.load("absent.safetensors", "cpu")


def test_bfloat16_rounds_what_the_encoder_computes_and_nothing_else(
    model: Captioner, files: list[Path], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioner.runtime.has_bfloat16", lambda: True)  # else it is only slow
    rounded = Captioner.load(tiny_checkpoint, "cpu", precision="bf16")
    exact, features = model.encode(files), rounded.encode(files)
    assert isinstance(exact, torch.Tensor) and isinstance(features, torch.Tensor)
    assert features.dtype == torch.float32
    error = float((features - exact).norm() / exact.norm())
    assert 0 < error < 0.1
    again = Captioner.load(tiny_checkpoint, "cpu").caption_features(features, model.decoding)
    for caption, [expected] in zip(rounded.caption(files), again, strict=True):
        assert caption.text == expected.text
        assert caption.log_probability == pytest.approx(expected.log_probability, abs=1e-5)


def test_a_precision_that_is_not_there_is_refused(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CaptionerError, match="'half'; expected float32 or bf16"):
        Captioner.load(tiny_checkpoint, "cpu", precision="half")
    with pytest.raises(CaptionerError, match="runtime onnx computes in float32, not in bf16"):
        Captioner.load(tiny_checkpoint, runtime="onnx", precision="bf16")
    monkeypatch.setattr("captioner.runtime.has_bfloat16", lambda: False)
    with pytest.raises(CaptionerError, match="no bfloat16 instructions .* leave precision at"):
        Captioner.load(tiny_checkpoint, "cpu", precision="bf16")


def test_an_answer_comes_with_others_and_with_where_it_looked(
    model: Captioner, files: list[Path]
) -> None:
    assert model.can_caption and model.can_answer
    answer = model.answer(files[0], "What color is it?", top=3)
    assert isinstance(answer, Answer)
    assert (answer.text, answer.probability) == (answer.top[0].text, answer.top[0].probability)
    chances = [choice.probability for choice in answer.top]
    assert len(chances) == 3 and chances == sorted(chances, reverse=True)
    assert answer.attention.shape == (2, *model.model.encoder.grid)
    np.testing.assert_allclose(answer.attention.sum((1, 2)), 1, rtol=1e-5)
    every = model.answer(files[0], "What color is it?", top=99).top
    assert {choice.text for choice in every} == set(ANSWERS)
    assert sum(choice.probability for choice in every) == pytest.approx(1)


def test_case_and_punctuation_of_a_question_do_not_matter_but_its_words_do(
    model: Captioner, files: list[Path]
) -> None:
    plain = model.answer(files[0], "is there the dog").top
    assert model.answer(files[0], "  IS there... the DOG?!").top == plain
    assert model.answer(files[0], "is there the").top != plain
    assert model.answer(files[1], "is there the dog").top != plain


def test_a_question_that_offers_answers_gets_one_of_them(
    model: Captioner, files: list[Path]
) -> None:
    offered = model.answer(files[0], "is it red or a night stand?").top
    assert {choice.text for choice in offered} == {"red", "night stand"}
    assert sum(choice.probability for choice in offered) == pytest.approx(1)
    free = model.answer(files[0], "is there red or a night stand?").top
    assert len(free) == len(ANSWERS)
    assert model.answer(files[0], "is it red or a night stand?", top=1).top == offered[:1]


def test_questions_of_many_pictures_are_answered_as_each_alone_in_order(
    model: Captioner, files: list[Path], tmp_path: Path
) -> None:
    question = "how many dog is there"
    together = model.answer(files, question, batch_size=3)
    for file, answer in zip(files, together, strict=True):
        alone = model.answer(file, question)
        assert alone.text == answer.text
        assert alone.probability == pytest.approx(answer.probability, rel=1e-4)
    asked = [
        (files[0], ["is it", "pourquoi?", "what dog"]),
        (tmp_path / "gone.png", ["is it", "what dog"]),
        (files[1], []),
        (files[2], ["is it red"]),
    ]
    found = list(model.answer_each(asked, top=1, batch_size=2))
    assert [source for source, _ in found] == [source for source, _ in asked]
    texts = [[getattr(one, "text", "error") for one in results] for _, results in found]
    assert texts == [
        [model.answer(files[0], "is it").text, "error", model.answer(files[0], "what dog").text],
        ["error", "error"],
        [],
        [model.answer(files[2], "is it red").text],
    ]


def test_what_cannot_be_answered_is_said(
    model: Captioner, files: list[Path], tmp_path: Path
) -> None:
    for question in ("pourquoi?", "", "?!"):
        with pytest.raises(CaptionerError, match="no word of the question .* is known"):
            model.answer(files[0], question)
    with pytest.raises(CaptionerError, match="a question is .'is it'.; expected a text"):
        model.answer(files[0], ["is it"])  # type: ignore[arg-type]
    with pytest.raises(CaptionerError, match="top is 0"):
        model.answer(files[0], "is it", top=0)
    with pytest.raises(CaptionerError, match="no such file"):
        model.answer(tmp_path / "gone.png", "is it")


def test_a_checkpoint_of_one_task_says_what_it_cannot_do(
    model: Captioner, files: list[Path]
) -> None:
    config, questions = model.config, Vocabulary(["is", "it"])
    for whole, missing in (
        (CaptioningModel(config, Vocabulary(["a"])), "answer"),
        (CaptioningModel(config, None, questions, ("yes", "no")), "caption"),
    ):
        loaded = Checkpoint(whole.eval(), {}, DecodingConfig())
        half = Captioner(loaded, model.device)
        assert (half.can_caption, half.can_answer) == (missing == "answer", missing == "caption")
        with pytest.raises(CaptionerError, match="this checkpoint .* choose one that was trained"):
            if missing == "answer":
                half.answer(files[0], "is it")
            else:
                half.caption(files[0])
