"""Find what the captions of one picture agree on."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from captioner.questions import words
from captioner.questions.caption_parser import Mention, ParsedCaption


class PictureFacts:
    """The parsed captions of one picture and what they agree on."""

    def __init__(self, captions: Iterable[str]) -> None:
        self.captions = [ParsedCaption(text) for text in captions]
        # With three captions or more, at least two have to agree on a fact.
        self.support = 2 if len(self.captions) > 2 else 1

    @cached_property
    def words(self) -> frozenset[str]:
        """All words of all captions."""
        return frozenset().union(*(caption.words for caption in self.captions))

    @cached_property
    def possible_objects(self) -> frozenset[str]:
        """The things that any caption could name."""
        return frozenset().union(*(caption.possible_objects for caption in self.captions))

    @cached_property
    def confident_counts(self) -> dict[str, int]:
        """For each thing, the number of captions that certainly mention it."""
        counts: dict[str, int] = {}
        for caption in self.captions:
            for thing in {mention.thing for mention in caption.mentions if mention.is_certain}:
                counts[thing] = counts.get(thing, 0) + 1
        return counts

    def mentions(self, thing: str) -> Iterator[Mention]:
        """Every noun phrase that names the thing, certain or not."""
        for caption in self.captions:
            yield from (mention for mention in caption.mentions if mention.thing == thing)

    def is_single(self, thing: str) -> bool:
        """Whether enough captions mention the thing, and all that do mention exactly one."""
        for caption in self.captions:
            mentions = [mention for mention in caption.mentions if mention.thing == thing]
            indefinite = [mention for mention in mentions if not mention.definite]
            if len(indefinite) > 1 or any(mention.number != 1 for mention in mentions):
                return False
        return self.confident_counts.get(thing, 0) >= self.support

    @cached_property
    def only_person(self) -> str | None:
        """The most specific agreed name of the only person, or None if there is no such name."""
        names = {
            mention.thing
            for caption in self.captions
            for mention in caption.mentions
            if mention.category == "person"
        }
        for caption in self.captions:
            people = [mention for mention in caption.mentions if mention.category == "person"]
            indefinite = [mention for mention in people if not mention.definite]
            if len(indefinite) > 1 or any(mention.number != 1 for mention in people):
                return None
        for person in names - {"person", "child"} or names:
            if (
                names <= {person, *ancestors(person)}
                and self.confident_counts.get(person, 0) >= self.support
            ):
                return person
        return None


def ancestors(thing: str) -> set[str]:
    """The things that this one is a kind of: a boy is a child and a person."""
    parents = set()
    while thing in words.KINDS_OF_PEOPLE:
        thing = words.KINDS_OF_PEOPLE[thing]
        parents.add(thing)
    return parents
