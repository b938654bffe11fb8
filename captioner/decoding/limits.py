"""The limits of a search, counted in the tokens that a vocabulary writes."""

from dataclasses import replace

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import Vocabulary


def limits_in_tokens(decoding: DecodingConfig, vocabulary: Vocabulary) -> DecodingConfig:
    """The search settings with max_words as the number of tokens.

    For a vocabulary of characters there is no ban on repeated n-grams, which would be of letters.
    """
    if vocabulary.tokens_per_word == 1:
        return decoding
    return replace(
        decoding, max_words=vocabulary.tokens_per_word * decoding.max_words, block_ngrams=0
    )
