"""METEOR and SPICE, run through pycocoevalcap, which needs Java."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Sequence

import numpy as np

from captioner.errors import CaptionerError


def meteor(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[float, np.ndarray]:
    """Score with METEOR 1.5 (Denkowski and Lavie 2014): the corpus score and scores per picture.

    candidates: P lists of tokens; references: for each of them its references, lists of tokens.
    Raises CaptionerError if Java or pycocoevalcap is missing or METEOR fails.
    """
    _require_java("METEOR")
    from pycocoevalcap.meteor.meteor import Meteor

    try:
        score, scores = Meteor().compute_score(_sentences(references), _captions(candidates))
    except (OSError, ValueError) as error:
        raise CaptionerError(f"METEOR failed in Java ({error}); leave it out.") from error
    return float(score), np.array(scores)


def spice(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[float, np.ndarray]:
    """Score with SPICE (Anderson et al. 2016): the mean over pictures and scores per picture.

    candidates: P lists of tokens; references: for each of them its references, lists of tokens.
    The first use downloads Stanford's parser models. Raises CaptionerError if Java or
    pycocoevalcap is missing or SPICE fails.
    """
    _require_java("SPICE")
    from subprocess import CalledProcessError

    from pycocoevalcap.spice.spice import Spice

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the download's progress
            score, results = Spice().compute_score(_sentences(references), _captions(candidates))
    except (OSError, CalledProcessError) as error:
        raise CaptionerError(
            f"SPICE failed ({error}); it needs Java 8 and, the first time, the internet. "
            "Leave it out."
        ) from error
    return float(score), np.array([result["All"]["f"] for result in results])


def _require_java(metric: str) -> None:
    if shutil.which("java") is None:
        raise CaptionerError(
            f"{metric} needs Java, and there is no `java` on the PATH; install a Java runtime or "
            f"leave {metric} out; all other scores work without Java."
        )
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError as error:
        raise CaptionerError(
            f"{metric} needs the package pycocoevalcap; run: pip install '.[official]'."
        ) from error


def _captions(candidates: Sequence[Sequence[str]]) -> dict[int, list[str]]:
    return {index: [" ".join(words)] for index, words in enumerate(candidates)}


def _sentences(references: Sequence[Sequence[Sequence[str]]]) -> dict[int, list[str]]:
    return {
        index: [" ".join(words) for words in captions] for index, captions in enumerate(references)
    }
