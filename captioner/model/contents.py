"""What a checkpoint holds beside its weights, checked: settings, words, answers. Without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.config.settings import DecodingConfig, ModelConfig, from_dict, without_retired
from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD
from captioner.data.vocabulary import VOCABULARIES, Vocabulary
from captioner.errors import CaptionerError
from captioner.model.confidence import ConfidenceCurve, read_curve

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Contents:
    """What the model and its search need beside the weights."""

    config: ModelConfig
    vocabulary: Vocabulary | None
    question_vocabulary: Vocabulary | None
    answer_texts: tuple[str, ...]
    decoding: DecodingConfig
    scores: list[dict[str, Any]]
    confidence_curve: ConfidenceCurve | None


def read_contents(about: dict[str, Any], file: Path) -> Contents:
    """Check what a checkpoint says about itself; raises CaptionerError where this cannot use it."""
    version = about["format_version"]
    if version != FORMAT_VERSION:
        raise CaptionerError(
            f"{file}: checkpoint format {version}, this captioner reads format {FORMAT_VERSION}; "
            "install the captioner release that wrote it, or a newer one"
        )
    source = f"{file} model"
    config = from_dict(ModelConfig, without_retired(about["model"], source), source)
    if about["preprocessing"] != preprocessing(config):
        raise CaptionerError(
            f"{file}: pictures were prepared as {about['preprocessing']}, "
            f"this captioner prepares them as {preprocessing(config)}"
        )
    words, questions = _texts(about, "vocabulary"), _texts(about, "question_vocabulary")
    return Contents(
        config,
        None if words is None else VOCABULARIES[config.tokens](words),
        None if questions is None else Vocabulary(questions),
        tuple(_texts(about, "answers") or ()),
        from_dict(
            DecodingConfig, without_retired(about["decoding"], f"{file} decoding"), file.name
        ),
        [dict(score) for score in about["scores"]],
        read_curve(about),
    )


@contextmanager
def damage_reported(file: Path) -> Iterator[None]:
    """Raise CaptionerError where the description of a checkpoint is not what was expected."""
    try:
        yield
    except CaptionerError:
        raise
    # RuntimeError, OverflowError: sizes beyond what a tensor can have; too deeply nested JSON.
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise CaptionerError(
            f"{file}: the checkpoint's description of itself is damaged ({error!r}); "
            "copy or train it again"
        ) from error


def preprocessing(config: ModelConfig) -> dict[str, Any]:
    """How a picture becomes pixels, as a checkpoint records it."""
    return {
        "size": config.image_size,
        "resize": "squash",
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
    }


def _texts(about: dict[str, Any], name: str) -> list[str] | None:
    """A list of different texts in the checkpoint's description of itself, or None."""
    texts = about.get(name)
    if texts is None:
        return None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} is no list of texts")
    if len(set(texts)) < len(texts):
        raise ValueError(f"{name} holds a text twice")
    return texts
