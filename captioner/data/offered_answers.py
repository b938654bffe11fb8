"""Questions that offer their answers, such as "is it a dog or a cat?"."""

import re
from collections.abc import Set

from captioner.data.answer_text import normalise

# "is there a dog or a cat?" wants yes or no, and "what is left or right of it?" something else.
_OFFERS = re.compile(r"(is|are|was|were|do|does|did|has|have|can|will)\b(?! there\b)|.*,")
_ASKS = re.compile(r"(what|which|who|where|when|how)\b")
_LONGEST = 3  # words of an answer


def offered_answers(question: str, known: Set[str]) -> tuple[str, ...]:
    """The answers that a question offers, two or more; none where it offers no choice.

    known: answers as `normalise` writes them. The question has to end with the answers, the last
    two joined by "or", and all of them have to be known.

    >>> offered_answers("Is it a dog or a cat?", {"dog", "cat", "it"})
    ('dog', 'cat')
    >>> offered_answers("What color is it, red, green or blue?", {"red", "green", "blue"})
    ('red', 'green', 'blue')
    """
    before, joined, last = " ".join(question.lower().rstrip(" ?.!").split()).rpartition(" or ")
    if not joined or not _OFFERS.match(before):
        return ()
    found = [normalise(last)]
    for part in reversed(before.rstrip(",").split(", ")):
        whole = normalise(part)
        if whole in known:
            found.insert(0, whole)
        elif not _ASKS.match(part):
            found.insert(0, _known_ending(part, known))
        if whole not in known or whole in ("yes", "no"):
            break
    offered = tuple(dict.fromkeys(filter(None, found)))
    return offered if len(offered) > 1 and known >= set(offered) else ()


def _known_ending(text: str, known: Set[str]) -> str:
    """The longest known answer with which a text ends, or nothing."""
    words = text.split()
    endings = (normalise(" ".join(words[-count:])) for count in range(_LONGEST, 0, -1))
    return next((ending for ending in endings if ending in known), "")
