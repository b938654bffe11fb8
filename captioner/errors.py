"""The errors that users are meant to read."""


class CaptionerError(ValueError):
    """Bad input, said in one line: what was given, what was expected and what to do."""


class UnknownWords(CaptionerError):
    """A question without any word that the model knows."""
