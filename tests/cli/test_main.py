"""The command line as a whole: quick help, one line an error, quiet ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import captioner
from captioner import CaptionerError, __version__, cli

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "camera.jpg"


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from captioner.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["caption", "--help"],
        ["attend", "--help"],
        ["evaluate", "captions", "--help"],
        ["score", "captions", "--help"],
        ["score", "answers", "--help"],
        ["train", "--help"],
        ["gradients", "--help"],
        ["data", "--help"],
        ["data"],
    ],
)
def test_help_loads_nothing_heavy(arguments):
    """Half a second instead of five: neither torch nor numpy is imported to print help."""
    script = (
        "import sys; from captioner.cli import run\n"
        "assert run(sys.argv[1:] or ['--help']) == 0\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'matplotlib', 'nltk'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: captioner")


def test_the_package_can_be_run_as_a_module():
    command = [sys.executable, "-m", "captioner", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"captioner {__version__}\n")


def test_captioning_a_picture_loads_few_files_and_none_of_training_or_scores():
    """A reader who follows a picture to its caption has no more than these to open."""
    script = (
        "import sys; from captioner import Captioner\n"
        "print(Captioner.load().caption(sys.argv[1]).text)\n"
        "files = [n for n, m in sys.modules.items()\n"
        "         if n.startswith('captioner.') and not hasattr(m, '__path__')]\n"
        "print(*sorted(files), sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("a man"), done.stderr
    loaded = done.stderr.split()
    assert not [name for name in loaded if name.split(".")[1] in ("training", "metrics")]
    assert len(loaded) <= 32, loaded


def test_version():
    assert run("--version").stdout == f"captioner {captioner.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint"], "No such command 'paint'"),
        (["caption"], "Missing argument"),
        (["caption", "--beam", "3", "a.png"], "No such option: --beam"),
        (["caption", "--beam-size", "0", "a.png"], "--beam-size is '0'; expected 1 or more; see"),
        (["caption", "--beam-size", "x", "a.png"], "is 'x'; expected a whole number; see"),
        (["caption", "--temperature", "hot", "a.png"], "is 'hot'; expected a number; see"),
        (["caption", "--beam_size", "3", "a.png"], "(did you mean --beam-size?); see"),
        (["data", "check", "--image", "a"], "(did you mean --images?); see captioner data check"),
        (["train", "--lerning-rate", "1"], "(did you mean --learning-rate?); see"),
        (["caption", "--zzz"], "No such option: --zzz; see captioner caption --help"),
        (["capton"], "No such command 'capton' (did you mean 'caption'?); see"),
        (["caption", "a.png", "--beam-size"], "requires an argument; see captioner caption --help"),
        (["caption", "--num-captions", "0", "a.png"], "--num-captions"),
        (["caption", "--max-words", "-1", "a.png"], "--max-words"),
        (["caption", "--batch-size", "0", "a.png"], "--batch-size"),
        (["caption", "--top-p", "1.5", "a.png"], "--top-p is '1.5'; expected 1 or less; see"),
        (["attend", "a.png"], "--output"),
        (["evaluate", "captions", "--images", "."], "--annotations"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("captioner: error: ")
    assert message in done.stderr
    assert "--help" in done.stderr


@pytest.fixture
def main_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], object]:
    """Run main with a command that fails in the given way; return its exit status."""

    def fail(error: BaseException) -> object:
        def app(**_: object) -> None:
            raise error

        monkeypatch.setattr(cli, "app", app)
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code

    return fail


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CaptionerError("two\nlines   of it"), "two lines of it"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(13, "Permission denied", "maps.png"), "maps.png: Permission denied"),
        (OSError("odd"), "odd"),
    ],
)
def test_a_foreseeable_failure_is_one_line_and_status_2(main_that, capsys, error, line):
    assert main_that(error) == 2
    assert capsys.readouterr().err == f"captioner: error: {line}\n"


def test_a_mistake_of_ours_keeps_its_traceback(main_that):
    with pytest.raises(ZeroDivisionError):
        main_that(ZeroDivisionError())


def test_an_interrupt_is_status_130(main_that, capsys):
    assert main_that(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def process_of(command: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run main in a process of its own, with this Python expression in place of the commands."""
    script = f"from captioner import cli; cli.app = lambda **_: {command}; cli.main()"
    return subprocess.run([sys.executable, "-c", script], text=True, timeout=60, **options)


def test_the_process_ends_at_once_with_all_that_was_printed(tmp_path):
    lines = "[print('a man with a camera') for _ in range(100_000)] and 1"
    piped = process_of(lines, stdout=subprocess.PIPE)
    assert (piped.returncode, piped.stdout.count("\n")) == (1, 100_000)
    with open(tmp_path / "captions", "w") as file:
        assert process_of(lines, stdout=file).returncode == 1
    assert (tmp_path / "captions").read_text() == piped.stdout
    waiting = "__import__('threading').Thread(target=__import__('time').sleep, args=[600]).start()"
    assert process_of(waiting).returncode == 0  # and not when the thread ends


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed_from_the_start_do_no_harm(closed):
    command = [sys.executable, "-m", "captioner", "--version"]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from captioner.cli import main; main()", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr == "captioner: error: No space left on device\n"
