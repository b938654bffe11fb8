"""Checks, before anything is trained, that a model knows the words of its training texts."""

import warnings
from collections.abc import Sequence

from captioner.config.settings import TrainingConfig
from captioner.data.unspaced_scripts import are_unspaced
from captioner.data.vocabulary import MARKER, CharacterVocabulary, Vocabulary
from captioner.data.word_coverage import MAX_UNKNOWN, word_coverage
from captioner.errors import CaptionerError, CaptionerWarning
from captioner.model.captioning_model import CaptioningModel
from captioner.training.data import Texts

MAX_TEXTS = 50_000  # that are looked at, evenly spread over the set


def check_words(train: Texts, model: CaptioningModel, config: TrainingConfig) -> None:
    """Warn of unknown words above a tenth, of sentences that are single words, and of markers.

    config: says where the vocabularies come from. Raises CaptionerError where nothing is known.
    """
    for name, texts, vocabulary, threshold in (
        ("captions", train.caption_texts(), model.vocabulary, "min_count"),
        ("questions", train.question_texts(), model.question_vocabulary, "question_min_count"),
    ):
        if texts and vocabulary is not None:
            remedy = f"lower {threshold} in [training]"
            if config.start_from and not config.extend_vocabulary:
                remedy = (
                    "add them with --extend-vocabulary, or train a new model without --start-from"
                )
            _check(name, texts, vocabulary, config.start_from, remedy)


def _check(
    name: str, texts: Sequence[str], vocabulary: Vocabulary, starts_from: str, remedy: str
) -> None:
    is_of_characters = isinstance(vocabulary, CharacterVocabulary)
    if not is_of_characters and are_unspaced(texts):
        warnings.warn(
            f"most {name} are written without spaces, so that each is one long word to this "
            "model; train a new one with --tokens character",
            CaptionerWarning,
            stacklevel=3,
        )
    marks = [mark[0] for text in texts if (mark := MARKER.search(text))]
    if marks:
        warnings.warn(
            f"{len(marks)} of {len(texts)} {name} contain markers such as {marks[0]}, which are "
            "learned as words; remove them",
            CaptionerWarning,
            stacklevel=3,
        )
    found = word_coverage(texts[:: 1 + len(texts) // MAX_TEXTS], vocabulary)
    if found.unknown_share <= MAX_UNKNOWN:
        return
    noun = "characters" if is_of_characters else "words"
    message = (
        f"{starts_from or 'the vocabulary'} does not know {found.unknown_share:.0%} of the {noun} "
        f"of the {name}, such as {', '.join(found.commonest_unknown[:3])}; "
        f"{found.texts_without_known} of {found.texts} {name} have no known one; {remedy}"
    )
    if found.texts_without_known == found.texts:
        raise CaptionerError(message)
    warnings.warn(message, CaptionerWarning, stacklevel=3)
