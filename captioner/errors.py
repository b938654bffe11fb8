"""The one kind of error that users are meant to read."""


class CaptionerError(ValueError):
    """Bad input, said in one line: what was given, what was expected and what to do."""
