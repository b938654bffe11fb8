"""captioner serve: the command around the server."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import make_picture, post

from captioner import cli


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["captioner", "serve", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_without_the_extra_it_says_how_to_get_it(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, out, err = run()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "pip install '.[web]'" in err


def test_a_port_that_is_taken(run: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = run("--port", str(taken.getsockname()[1]))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "choose another --port" in err


def test_an_address_that_is_not_ours(run: Callable) -> None:
    status, _, err = run("--host", "192.0.2.1")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot listen on 192.0.2.1 port 8000" in err


def test_the_command_serves_until_it_is_stopped(tiny_checkpoint: Path) -> None:
    program = "from captioner.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--checkpoint", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    ) as server:
        assert server.stdout and server.stderr
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert post(address, "/api/caption", make_picture(1)).status_code == 200
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(20) in (0, 130)
        assert "Traceback" not in server.stderr.read()
