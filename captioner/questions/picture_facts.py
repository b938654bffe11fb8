"""What all captions of a picture agree on."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from captioner.questions import words
from captioner.questions.caption_parser import Mention, ParsedCaption


class PictureFacts:
    """All captions of one picture together."""

    def __init__(self, captions: Iterable[str]) -> None:
        self.captions = [ParsedCaption(text) for text in captions]
        # Of three captions and more, two have to agree before anything counts as true.
        self.support = 2 if len(self.captions) > 2 else 1

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of all captions."""
        return frozenset().union(*(caption.words for caption in self.captions))

    @cached_property
    def named(self) -> frozenset[str]:
        """Everything that the captions might name."""
        return frozenset().union(*(caption.named for caption in self.captions))

    @cached_property
    def sure(self) -> dict[str, int]:
        """How many captions surely name each thing."""
        counts: dict[str, int] = {}
        for caption in self.captions:
            for thing in {mention.thing for mention in caption.mentions if mention.sure}:
                counts[thing] = counts.get(thing, 0) + 1
        return counts

    def mentions(self, thing: str) -> Iterator[Mention]:
        """Every noun phrase that names it, sure or not."""
        for caption in self.captions:
            yield from (mention for mention in caption.mentions if mention.thing == thing)

    def is_single(self, thing: str) -> bool:
        """Whether no caption names two of them, or any number that is not one."""
        for caption in self.captions:
            there = [mention for mention in caption.mentions if mention.thing == thing]
            indefinite = [mention for mention in there if not mention.definite]
            if len(indefinite) > 1 or any(mention.number != 1 for mention in there):
                return False
        return self.sure.get(thing, 0) >= self.support

    @cached_property
    def only_person(self) -> str | None:
        """The one person in the picture by the closest name that the captions agree on."""
        named = {
            mention.thing
            for c in self.captions
            for mention in c.mentions
            if mention.category == "person"
        }
        for caption in self.captions:
            people = [mention for mention in caption.mentions if mention.category == "person"]
            indefinite = [mention for mention in people if not mention.definite]
            if len(indefinite) > 1 or any(mention.number != 1 for mention in people):
                return None
        for person in named - {"person", "child"} or named:
            if named <= {person, *ancestors(person)} and self.sure.get(person, 0) >= self.support:
                return person
        return None


def ancestors(thing: str) -> set[str]:
    """What a thing is a kind of: a boy is a child and a person."""
    above = set()
    while thing in words.KINDS_OF_PEOPLE:
        thing = words.KINDS_OF_PEOPLE[thing]
        above.add(thing)
    return above
