"""Checkpoints that write together: alike or not, and those that cannot."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUESTION_WORDS, WORDS
from PIL import Image, ImageOps

from captioner import Captioner, CaptionerError
from captioner.checkpoint import Checkpoint, load, save
from captioner.model import CaptioningModel
from captioner.vocabulary import CharacterVocabulary, Vocabulary


@pytest.fixture(scope="module")
def finer_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another captioner with the same words, for larger pictures and with a finer grid."""
    return save_finer(tiny_checkpoint, tmp_path_factory.mktemp("finer"), sentinel=False)


def save_finer(tiny_checkpoint: Path, folder: Path, *, sentinel: bool) -> Path:
    loaded = load(tiny_checkpoint)
    config = dataclasses.replace(
        loaded.model.config, image_size=71, encoder_stage="features.2", sentinel=sentinel
    )
    torch.manual_seed(5)
    model = CaptioningModel(config, Vocabulary(WORDS))
    with torch.no_grad():
        for weights in model.writer()[0].parameters():
            weights.mul_(4)
    file = folder / "finer.safetensors"
    save(Checkpoint(model, loaded.training, loaded.decoding), file)
    return file


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(2).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


def test_different_encoders_write_together_and_the_first_ones_maps_are_told(
    tiny_checkpoint: Path, finer_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    """In either order the same words, as probable; the grid is the first one's."""
    files = [tiny_checkpoint, finer_checkpoint]
    ensemble, reverse = (Captioner.load(some, "cpu") for some in (files, files[::-1]))
    together = ensemble.caption(pictures, beam_size=1)
    grids = {model.model.encoder.grid for model in (ensemble, reverse)}
    assert len(grids) == 2
    for picture, (one, other) in enumerate(
        zip(together, reverse.caption(pictures, beam_size=1), strict=True)
    ):
        assert one.text == other.text
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
        assert one.attention.shape[1:] == ensemble.model.encoder.grid
        assert other.attention.shape[1:] == reverse.model.encoder.grid
        assert ensemble.caption(pictures[picture], beam_size=1).text == one.text


def test_a_sentinel_is_told_of_where_the_maps_are_its_models(
    tiny_checkpoint: Path, pictures: list[Image.Image], tmp_path: Path
) -> None:
    """Beside a first one with another grid, its maps are not told, so neither is how it looked."""
    files = [tiny_checkpoint, save_finer(tiny_checkpoint, tmp_path, sentinel=True)]
    ensemble, reverse = (Captioner.load(some, "cpu") for some in (files, files[::-1]))
    assert ensemble.caption(pictures[0]).looking is None
    looking = reverse.caption(pictures[0]).looking
    assert looking is not None and (looking < 1).all()


def test_a_checkpoint_beside_itself_describes_as_alone(
    tiny_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    alone = Captioner.load(tiny_checkpoint, "cpu").caption(pictures)
    together = Captioner.load([tiny_checkpoint, str(tiny_checkpoint)], "cpu").caption(pictures)
    for one, other in zip(alone, together, strict=True):
        assert one.text == other.text
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)
        np.testing.assert_allclose(one.attention, other.attention, atol=1e-6)


def test_an_ensemble_with_the_mirror_describes_a_mirror_image_alike(
    tiny_checkpoint: Path, finer_checkpoint: Path, pictures: list[Image.Image]
) -> None:
    model = Captioner.load([tiny_checkpoint, finer_checkpoint], "cpu")
    decoding = dataclasses.replace(model.decoding, mirror=True)
    assert len(model.members(pictures, decoding)) == 4
    one = model.caption(pictures[0], decoding=decoding)
    plain = model.caption(pictures[0])
    # The mirror image of what the finer model sees is not quite what it sees of the mirror image.
    other = model.caption(ImageOps.mirror(pictures[0]), decoding=decoding)
    assert one.text == other.text
    assert one.log_probability == pytest.approx(other.log_probability, abs=1e-2)
    assert one.log_probability != pytest.approx(plain.log_probability, abs=1e-3)


def test_a_question_is_answered_by_one(tiny_checkpoint: Path, pictures: list[Image.Image]) -> None:
    ensemble = Captioner.load([tiny_checkpoint, tiny_checkpoint], "cpu")
    assert ensemble.can_caption and not ensemble.can_answer
    with pytest.raises(CaptionerError, match="a question is answered by one; load that one alone"):
        ensemble.answer(pictures[0], "is it red?")
    assert Captioner.load([tiny_checkpoint], "cpu").can_answer


def test_those_that_cannot_write_together_say_why(tiny_checkpoint: Path, tmp_path: Path) -> None:
    loaded = load(tiny_checkpoint)
    files = {}
    for name, words, questions in (
        ("fewer", Vocabulary(WORDS[:-1]), None),
        ("letters", CharacterVocabulary(["a", " "]), None),
        ("answers", None, Vocabulary(QUESTION_WORDS)),
    ):
        config = loaded.model.config
        if name == "letters":
            config = dataclasses.replace(config, tokens="character")
        model = CaptioningModel(config, words, questions, ("yes", "no") if questions else ())
        files[name] = tmp_path / f"{name}.safetensors"
        save(Checkpoint(model, loaded.training, loaded.decoding), files[name])
    count = len(loaded.model.vocabulary or ())
    for name in ("fewer", "letters"):
        message = (
            rf"{name}.safetensors: its vocabulary \(\d+ entries\) is not that of .* \({count}\)"
        )
        with pytest.raises(CaptionerError, match=message):
            Captioner.load([tiny_checkpoint, files[name]], "cpu")
    for order in ([tiny_checkpoint, files["answers"]], [files["answers"], tiny_checkpoint]):
        with pytest.raises(CaptionerError, match="answers.safetensors: writes no captions"):
            Captioner.load(order, "cpu")
    with pytest.raises(CaptionerError, match="no checkpoint is given"):
        Captioner.load([], "cpu")
