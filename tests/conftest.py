"""What several test modules need."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import save_tiny_checkpoint

if TYPE_CHECKING:
    from browsing import Visit
    from playwright.sync_api import Browser


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(autouse=True)
def main_ends_in_system_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test calls the command line's main, the process goes on."""
    monkeypatch.setattr("captioner.cli.end_process", sys.exit)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint with random weights, made in a moment: for tests of all around it."""
    file = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_tiny_checkpoint(file)
    return file


@pytest.fixture(scope="session")
def captions_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same captioner without its answers."""
    from captioner.model import checkpoint
    from captioner.model.captioning_model import CaptioningModel

    loaded = checkpoint.load(tiny_checkpoint)
    model = CaptioningModel(loaded.model.config, loaded.model.vocabulary)
    model.load_state_dict(loaded.model.state_dict(), strict=False)
    model.eval()
    file = tmp_path_factory.mktemp("checkpoint") / "captions.safetensors"
    checkpoint.save(checkpoint.Checkpoint(model, loaded.training, loaded.decoding), file)
    return file


@pytest.fixture(scope="session")
def serve_app() -> Iterator[Callable[[Any], str]]:
    """Serves ASGI applications on ports of their own, each in a thread; gives their addresses."""
    from captioner.serve.connections import create_server
    from captioner.serve.limits import Limits

    running = []

    def serve(app: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        server = create_server(app, replace(getattr(app, "limits", Limits()), finish_seconds=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, headless."""
    from browsing import chromium

    with chromium() as launched:
        yield launched


@pytest.fixture
def visit(browser: "Browser") -> "Iterator[Visit]":
    """Fails the test if a page complained in the console of anything not taken from the list."""
    from browsing import Visit

    visiting = Visit(browser)
    yield visiting
    for context in visiting.contexts:
        context.close()
    assert visiting.complaints == []
