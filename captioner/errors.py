"""The one kind of error that users meet, and the one kind of warning."""


class CaptionerError(ValueError):
    """Bad input: says in one line what was given, what was expected and what to do.

    The command line prints that line and exits with status 2.
    """


class LostWorker(CaptionerError):
    """A process that reads pictures has ended before its time, as when memory runs out."""


class UnknownWords(CaptionerError):
    """A question, or a caption to compare, without any word that the model knows."""


class PictureTooLarge(CaptionerError):
    """A picture that exceeds a bound on what decoding may take."""


class UnusableGraphs(CaptionerError):
    """ONNX graphs that cannot be used; the checkpoint itself may well be."""


class CaptionerWarning(UserWarning):
    """Input that was used but is probably not what the user means, in one line.

    The command line prints it to standard error.
    """
