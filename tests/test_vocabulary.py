"""Words, ids and back."""

import pytest

from captioner.errors import CaptionerError
from captioner.vocabulary import END, SPECIAL_TOKENS, UNKNOWN, Vocabulary, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's T-shirt, isn’t it?", ["a", "dog's", "t-shirt", "isn't", "it"]),
        ("  Ein Mädchen – 2 Hunde!", ["ein", "mädchen", "2", "hunde"]),
        ("-- 'quoted' a_b", ["quoted", "a", "b"]),
        ("", []),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_build_keeps_frequent_words_most_frequent_first() -> None:
    vocabulary = Vocabulary.build(["b a b", "c a b", "d"], min_count=2)
    assert vocabulary.words == (*SPECIAL_TOKENS, "b", "a")
    assert len(vocabulary) == 6


def test_encode_ends_and_marks_the_unknown() -> None:
    vocabulary = Vocabulary(["dog", "a"])
    assert vocabulary.encode("A cat, a dog") == [5, UNKNOWN, 5, 4, END]
    assert vocabulary.encode("a dog a dog", max_words=2) == [5, 4, END]
    assert vocabulary.decode([5, 4, END, 5]) == "a dog"


def test_bad_vocabularies_are_refused() -> None:
    with pytest.raises(CaptionerError, match="vocabulary is empty"):
        Vocabulary.build(["a b c"], min_count=2)
    with pytest.raises(CaptionerError, match="twice: dog"):
        Vocabulary(["dog", "cat", "dog"])
    with pytest.raises(CaptionerError, match="twice: <end>"):
        Vocabulary(["<end>"])
