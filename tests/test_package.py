"""What a Python user sees of the package: names, help, examples and types."""

import doctest
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from captioner import Captioner, api

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def test_the_public_names_stand_in_dir_and_help_before_anything_is_loaded() -> None:
    script = (
        "import sys, pydoc, captioner\n"
        "assert set(captioner.__all__) <= set(dir(captioner))\n"
        "assert 'torch' not in sys.modules, 'the package loads lazily'\n"
        "print(pydoc.plaintext.document(captioner))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for name in ("Answer", "Caption", "Captioner", "CaptionerError"):
        assert f"class {name}(" in done.stdout
    assert "Caption one picture (a Caption) or several" in done.stdout


def test_a_captioner_prints_its_checkpoint_device_and_decoding(tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint, "cpu")
    assert repr(model) == (
        f"Captioner(checkpoint={str(tiny_checkpoint)!r}, device='cpu', decoding={model.decoding!r})"
    )


def test_examples_in_the_docstrings_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLES)
    names = vars(api) | {"model": Captioner.load(device="cpu")}
    examples = doctest.DocTestFinder().find(Captioner, "Captioner", globs=names)
    public = [
        name
        for name, member in inspect.getmembers(Captioner)
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]
    with_example = {test.name.partition(".")[2] for test in examples if test.examples}
    assert with_example == set(public)
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for test in examples:
        runner.run(test, out=report.append, clear_globs=False)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def test_mypy_infers_the_type_of_each_result(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    root = Path(api.__file__).parents[1]
    assert (root / "captioner" / "py.typed").is_file()  # or a user's mypy does not look
    user = tmp_path / "user.py"
    user.write_text((Path(__file__).parent / "typing_of_results.py").read_text())
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command += ["--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(user)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.startswith("Success"), done.stdout + done.stderr
