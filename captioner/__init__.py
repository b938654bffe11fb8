"""captioner: says what is in a photograph, answers questions about it, shows where it looked.

    from captioner import Captioner
    model = Captioner.load()
    print(model.caption("photo.jpg").text)

The rooms, in the order in which a picture becomes a caption:

    data         a picture file  -> pixels (B, 3, S, S)
    model        pixels          -> features (B, N, D); words so far -> the next word (B, V)
    decoding     features        -> captions: beam search or sampling over the decoder's step
    api          all of it behind Captioner.load().caption(...) and .answer(...)

and around them config (settings), onnx (captions without torch), training, metrics (scores),
evaluation (whole data sets), visualization (attention maps), questions (made from captions), serve
(the web page), bulk (archives of pictures), cli.

Dimensions, everywhere: B batch, N grid locations, D feature size, T caption words, Q question
words, H hidden state size, A attention size, E embedding size, V vocabulary, K beam, G rows that
share a picture, R questions.
"""

import os
from typing import TYPE_CHECKING, Any

from captioner.errors import CaptionerError
from captioner.version import __version__

if TYPE_CHECKING:
    from captioner.api import Captioner
    from captioner.decoding.outputs import Answer, AnswerChoice, Caption, CaptionFit, Word

# OpenMP's threads spin while they wait for each other, which keeps the cores from other programs
# and from the very threads waited for: on a busy machine a training step took five times as long
# and more. They are to sleep; GNU's OpenMP first spins for less time than falling asleep takes.
# What the user has set stays. It is read when torch is loaded: no effect where torch was already.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="1000")

__all__ = [
    "Answer",
    "AnswerChoice",
    "Caption",
    "CaptionFit",
    "Captioner",
    "CaptionerError",
    "Word",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the Python interface, and with it torch, only when it is asked for."""
    if name in __all__:
        from captioner import api
        from captioner.decoding import outputs

        return getattr(api if name == "Captioner" else outputs, name)
    raise AttributeError(f"module 'captioner' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, those that are imported on demand included."""
    return sorted({*globals(), *__all__})
