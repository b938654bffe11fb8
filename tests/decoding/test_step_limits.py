"""The limits of a search in words and in characters."""

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import CharacterVocabulary, Vocabulary
from captioner.decoding.step import limits_in_tokens


def test_characters_have_six_per_word_and_no_banned_ngrams() -> None:
    asked = DecodingConfig(max_words=10, block_ngrams=3)
    assert limits_in_tokens(asked, Vocabulary(["a"])) == asked
    limits = limits_in_tokens(asked, CharacterVocabulary(["a"]))
    assert (limits.max_words, limits.block_ngrams) == (60, 0)
