"""A headless Chromium whose microphone plays a recording, driven by Playwright; a clear skip where there is none."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
)
WAIT_MS = 60_000


@dataclass
class Browser:
    """`open` gives a page; whatever the browser complained about is in `complaints`."""

    chromium: sync_api.Browser
    complaints: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def open(self, url: str, **options: object) -> Iterator[sync_api.Page]:
        """A page in a profile of its own. options: viewport, color_scheme, reduced_motion, ..."""
        context = self.chromium.new_context(**{"permissions": ["microphone"], **options})
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._console(line))
        page.goto(url)
        try:
            yield page
        finally:
            context.close()

    def _console(self, line: sync_api.ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)


def saved(page: sync_api.Page, button: str) -> tuple[str, str]:
    """(file name, text) of a download."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes().decode()


@contextlib.contextmanager
def browser(microphone: Path) -> Iterator[Browser]:
    """A browser whose microphone plays this WAV file once."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is installed (Debian: chromium)")
    flags = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        *QUIET,
    ]
    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
