"""Scripts without spaces: what they are, and their words for counting."""

import pytest

from captioner.data.unspaced_scripts import are_unspaced, space_out
from captioner.data.vocabulary import Vocabulary
from captioner.data.word_coverage import default_min_count, word_coverage


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("一个红色的圆形", [*"一个红色的圆形"]),
        ("赤い犬 and 2", [*"赤い犬", "and", "2"]),
        ("สีแดง", ["สี", "แ", "ด", "ง"]),  # a vowel above stays with its consonant
        ("a dog über 고양이가 있다", ["a", "dog", "über", "고양이가", "있다"]),
    ],
)
def test_letters_stand_alone_where_there_are_no_spaces(text: str, words: list[str]) -> None:
    assert space_out(text).split() == words


def test_most_captions_decide() -> None:
    assert are_unspaced(["一个红色的圆形", "一只狗在跑", "a dog"])
    assert not are_unspaced(["a dog called 犬", "a cat", "一个红色的圆形"])
    assert not are_unspaced([])


def test_coverage_counted_by_hand() -> None:
    found = word_coverage(["a dog", "a red fox", "ein Fuchs"], Vocabulary(["a", "dog"]))
    assert (found.tokens, found.unknown) == (7, 4)
    assert found.commonest_unknown == ("ein", "fox", "fuchs", "red")
    assert (found.texts, found.texts_without_known) == (3, 1)
    assert found.unknown_share == pytest.approx(4 / 7)


@pytest.mark.parametrize(("captions", "count"), [(5, 1), (4999, 1), (5000, 2), (30_000, 5)])
def test_small_sets_keep_rare_words(captions: int, count: int) -> None:
    assert default_min_count(captions) == count


def test_a_vocabulary_grows_after_its_own_words() -> None:
    known = Vocabulary(["dog", "a"])
    grown = known.extended(["a red fox", "a red dog", "a cat"], min_count=2)
    assert grown.words == (*known.words, "red")
