"""What a user's editor knows of the results: read by mypy in test_package.py, never run.

Where a line ends in "type: ignore", mypy has to complain; it says so where it does not.
"""

from pathlib import Path
from typing import BinaryIO, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner import Answer, AnswerChoice, Caption, Captioner, CaptionerError, CaptionFit, Word

model = Captioner.load("best.safetensors", device="cpu")
assert_type(model, Captioner)


def one_picture(
    path: Path, data: bytes, file: BinaryIO, image: Image.Image, array: NDArray[np.uint8]
) -> None:
    assert_type(model.caption("photo.jpg"), Caption)
    assert_type(model.caption(path), Caption)
    assert_type(model.caption(data), Caption)
    assert_type(model.caption(file), Caption)
    assert_type(model.caption(image), Caption)
    assert_type(model.caption(array), Caption)
    assert_type(model.caption(path, beam_size=5, max_words=9, batch_size=1), Caption)
    assert_type(model.caption(path, num_captions=1), Caption)
    assert_type(model.caption(path, num_captions=3), list[Caption])
    assert_type(model.caption(path, decoding=model.decoding), Caption | list[Caption])
    assert_type(model.answer(path, "what is this?"), Answer)
    assert_type(model.answer(data, "what is this?", top=3), Answer)
    assert_type(model.match(path, ["a dog", "a cat"]), list[CaptionFit])


def several_pictures(paths: list[Path], images: tuple[Image.Image, ...], number: int) -> None:
    assert_type(model.caption(["a.jpg", "b.jpg"]), list[Caption])
    assert_type(model.caption(paths), list[Caption])
    assert_type(model.caption(images, batch_size=8), list[Caption])
    assert_type(model.caption(paths, num_captions=number), list[list[Caption]])
    several = model.caption(paths, decoding=model.decoding)
    assert_type(several, list[Caption] | list[list[Caption]])
    assert_type(model.answer(paths, "what is this?"), list[Answer])
    for path, result in model.caption_each(paths, decoding=model.decoding, batch_size=8):
        assert_type(path, Path)
        assert_type(result, list[Caption] | CaptionerError)


def results(caption: Caption, answer: Answer) -> None:
    assert_type(caption.text, str)
    assert_type(caption.words, tuple[Word, ...])
    assert_type(caption.words[0].probability, float)
    assert_type(caption.confidence, float)
    assert_type(answer.confidence, float)
    assert_type(answer.top, tuple[AnswerChoice, ...])
    assert_type(caption.save("maps.png"), None)
    assert_type(list(answer.to_dict()), list[str])


def mistakes(paths: list[Path], caption: Caption) -> None:
    print(model.caption("photo.jpg").txt)  # type: ignore[attr-defined]
    print(model.caption(paths).text)  # type: ignore[attr-defined]
    model.caption(7)  # type: ignore[call-overload]
    model.caption("photo.jpg", beams=5)  # type: ignore[call-overload]
    model.answer("photo.jpg")  # type: ignore[call-overload]
    print(model.answer(paths, "what is this?").probability)  # type: ignore[attr-defined]
    caption.text = "another"  # type: ignore[misc]
