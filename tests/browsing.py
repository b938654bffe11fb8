"""Headless Chromium for the tests of web pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

# Long, so that a busy machine does not fail the tests.
MILLISECONDS = 30_000
expect.set_options(timeout=MILLISECONDS)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Keep Chromium itself from using the network.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; without one the test is skipped, or fails if CI is set."""
    if CHROMIUM is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("there is no chromium; .ci/run installs it")
        pytest.skip("there is no chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, as in a container.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *sandbox])
        yield launched
        launched.close()


class Visit:
    """Opens pages and records their errors and warnings and the addresses they request."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.asked: list[str] = []

    def open(self, address: str, **options: Any) -> Page:
        context = self.browser.new_context(**{"reduced_motion": "reduce", **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.note)
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page

    def note(self, line: ConsoleMessage) -> None:
        # Chromium warns because the tests read the canvas often; the pages never do.
        if line.type in ("error", "warning") and "willReadFrequently" not in line.text:
            self.complaints.append(line.text)


SCREENS = [
    {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    for width in (390, 1280)
    for scheme in ("light", "dark")
]


def word(page: Page, text: str) -> Any:
    return page.get_by_role("toolbar").get_by_role("button", name=text, exact=True)


def check_accessibility(page: Page) -> None:
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html']}" for v in violations] == []
