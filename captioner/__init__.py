"""captioner: say what is in a photograph, and show where each word looked.

The flow, one module a step:

    images      a picture file            -> pixels          (B, 3, S, S)
    encoder     pixels                    -> features        (B, N, D)
    attention   query, keys, features     -> context, weights (B, D), (B, N)
    decoder     words so far + context    -> next word       (B, V), until the end token
    search      greedy, beam or sampling over the decoder's step
    answering   a question's words     -> query, to the same attention -> answer
    api         all of it behind Captioner.load().caption("photo.jpg") and .answer(...)

Dimensions, everywhere: B batch, N grid locations, D feature size, T caption words, Q question
words, H hidden state size, A attention size, E embedding size, V vocabulary, K beam, G rows that
share a picture, R questions.
"""

from typing import TYPE_CHECKING, Any

from captioner.errors import CaptionerError
from captioner.version import __version__

if TYPE_CHECKING:
    from captioner.api import Captioner
    from captioner.decoding.outputs import Answer, AnswerChoice, Caption, Word

__all__ = [
    "Answer",
    "AnswerChoice",
    "Caption",
    "Captioner",
    "CaptionerError",
    "Word",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import the Python interface, and with it torch, only when it is asked for."""
    if name in __all__:
        from captioner import api
        from captioner.decoding import outputs as replies

        return getattr(api if name == "Captioner" else replies, name)
    raise AttributeError(f"module 'captioner' has no attribute {name!r}")
