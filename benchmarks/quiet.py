"""A training run without a word, for the benchmarks."""


class Quiet:
    """A reporter that prints nothing and never interrupts."""

    def note(self, text: str) -> None:
        pass

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        pass

    def interrupted(self) -> bool:
        return False
