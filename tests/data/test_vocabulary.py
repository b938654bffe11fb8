"""Words, ids and back."""

import pytest

from captioner.data.vocabulary import (
    END,
    SPECIAL_TOKENS,
    UNKNOWN,
    CharacterVocabulary,
    Vocabulary,
    split_words,
)
from captioner.errors import CaptionerError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's T-shirt, isn’t it?", ["a", "dog's", "t-shirt", "isn't", "it"]),
        ("  Ein Mädchen – 2 Hunde!", ["ein", "mädchen", "2", "hunde"]),
        ("-- 'quoted' a_b _c_", ["quoted", "a", "b", "c"]),
        ("Ein Ma\u0308dchen", ["ein", "mädchen"]),  # the umlaut as a letter and a mark
        ("एक हिन्दी किताब।", ["एक", "हिन्दी", "किताब"]),
        ("a dog \u2764\ufe0f \u0301 cat", ["a", "dog", "cat"]),  # marks alone are no words
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
    assert vocabulary.encode("a dog a dog", max_words=2) == [5, 4]  # no end: it does not end there
    assert vocabulary.decode([5, 4, END, 5]) == "a dog"


def test_bad_vocabularies_are_refused() -> None:
    with pytest.raises(CaptionerError, match="vocabulary is empty"):
        Vocabulary.build(["a b c"], min_count=2)
    with pytest.raises(CaptionerError, match="more than once: dog"):
        Vocabulary(["dog", "cat", "dog"])
    with pytest.raises(CaptionerError, match="more than once: <end>"):
        Vocabulary(["<end>"])


def test_characters_spell_words_with_one_space_between() -> None:
    vocabulary = CharacterVocabulary.build(["A dog, a God!"], min_count=1)
    assert set(vocabulary.words[4:]) == set("adgo ")
    tokens = vocabulary.encode("a  DOG: cat", max_words=2)
    assert [vocabulary.words[token] for token in tokens] == [*"a dog"]
    assert vocabulary.encode("x") == [UNKNOWN, END]
    space, letter = vocabulary.encode("a dog")[1], vocabulary.encode("d")[0]
    assert vocabulary.decode([space, letter, space, space, letter, END, letter]) == "d d"


def test_a_vocabulary_of_words_is_none_of_characters() -> None:
    with pytest.raises(CaptionerError, match="vocabulary holds words, such as 'dog'"):
        CharacterVocabulary(["a", "dog"])


def test_vocabularies_group_their_tokens_to_words() -> None:
    assert Vocabulary.group(["a", "dog"]) == [[0], [1]]
    assert CharacterVocabulary.group(list(" a  dog ")) == [[1], [4, 5, 6]]
    assert CharacterVocabulary.group([" "]) == []
