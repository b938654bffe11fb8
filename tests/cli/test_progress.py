"""Progress: rates of what is finished, a bar that fits into 80 columns, lines elsewhere."""

import os
import re
import subprocess
import sys
import time

import pytest

from captioner.cli import progress
from captioner.cli.progress import Progress, Rate, clock_time, describe, show_progress


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_does_not_count_as_a_rate() -> None:
    """Two batches of 32, each finished at once after 8 seconds."""
    rate = Rate()
    rate.update(0, 0.0)
    for batch in (1, 2):
        for done in range(32 * (batch - 1) + 1, 32 * batch + 1):
            rate.update(done, 8.0 * batch)
        assert rate.per_second() == 4.0
    assert describe(rate, 100, "pictures") == "64/100 4.0 pictures/s 0:09 left"


def test_work_that_was_done_before_does_not_count() -> None:
    """As of a download or a run that goes on."""
    rate = Rate()
    rate.update(500_000_000, 0.0)
    assert describe(rate, 1_000_000_000, "bytes") == "500/1000 MB - MB/s -:-- left"
    rate.update(520_000_000, 4.0)
    assert describe(rate, 1_000_000_000, "bytes") == "520/1000 MB 5.0 MB/s 1:36 left"


def test_another_task_takes_no_time_of_the_first() -> None:
    clock = Clock()
    shown = Progress(clock)
    shown.update("training", 0, 40)
    for done in (1, 2):
        clock.now += 2
        shown.update("training", done, 40, unit="steps", detail="loss 3.000")
    assert shown.line == "training 2/40 0.50 steps/s 1:16 left loss 3.000"
    clock.now += 1000
    shown.update("validating", 60, 60)
    shown.update("training", 2, 40)
    clock.now += 2
    shown.update("training", 3, 40, unit="steps")
    assert shown.line == "training 3/40 0.50 steps/s 1:14 left"


def test_a_task_that_begins_again_is_measured_anew() -> None:
    """As training does in the next stage."""
    rate = Rate()
    for done, now in ((0, 0.0), (10, 1.0), (0, 50.0), (2, 51.0)):
        rate.update(done, now)
    assert rate.per_second() == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_times(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


def test_what_takes_a_moment_prints_nothing_elsewhere(capsys) -> None:
    assert list(show_progress("abc", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_line_now_and_then_even_where_nothing_is_finished(capsys, monkeypatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    lines: list[str] = []
    with Progress() as shown:
        shown.update("encoding", 0, 10)
        until = time.monotonic() + 30
        while len(lines) < 2 and time.monotonic() < until:
            time.sleep(0.01)
            lines += capsys.readouterr().err.splitlines()
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 60)
        shown.update("encoding", 10, 10)
    assert lines[:2] == ["encoding 0/10 -/s -:-- left"] * 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("encoding 10/10 ")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")
def test_the_bar_fits_into_80_columns_with_rate_and_time_left() -> None:
    """From the first update that has both on, with a detail that is too long."""
    import fcntl
    import pty
    import struct
    import termios

    script = (
        "from captioner.cli.progress import Progress\n"
        "now = iter(range(0, 1000, 2))\n"
        "with Progress(lambda: next(now)) as shown:\n"
        "    for done in range(3):\n"
        "        shown.update('training', done, 24000, unit='steps', detail='loss 3.25, ' * 9)\n"
        "        shown.bar.refresh()\n"
    )
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    done = subprocess.Popen([sys.executable, "-c", script], stderr=other, env=environment)
    done.wait(timeout=60)
    os.close(other)
    drawn = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert done.returncode == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn))
    assert max(map(len, lines)) <= 80
    for line in ("0/24000 - steps/s -:-- left loss", "1/24000 0.50 steps/s 13:19:58 left loss"):
        assert [shown for shown in lines if line in shown and "━" in shown]
