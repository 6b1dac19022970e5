"""A page whose websocket cannot be opened says why, and what the operator can do: browsers themselves do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import Browser, browser
from playwright.sync_api import Page, expect
from reverse_proxy import NO_UPGRADE, OTHER_HOST, Front, reverse_proxy
from served import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of nothing."""
    path = tmp_path_factory.mktemp("refused") / "nothing.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    return path


@pytest.fixture(scope="module")
def chromium(second: Path) -> Iterator[Browser]:
    with browser(second) as opened:
        yield opened


def opened(chromium: Browser, front: Front) -> contextlib.AbstractContextManager[Page]:
    return chromium.open(f"https://localhost:{front.port}", ignore_https_errors=True)


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        (NO_UPGRADE, "a proxy in between has to pass on the headers Upgrade and Connection"),
        (OTHER_HOST, "The server refused the connection: pages of 'https://localhost:"),
    ],
    ids=["no upgrade", "another host"],
)
def test_a_page_behind_a_proxy_that_is_set_up_wrong_says_what_is_wrong(
    server: Served, chromium: Browser, second: Path, tmp_path: Path, edits: Mapping[str, str], says: str
) -> None:
    with reverse_proxy("nginx", tmp_path, server.port, edits=edits) as front, opened(chromium, front) as page:
        page.locator("#file").set_input_files(second)
        expect(page.get_by_role("alert")).to_contain_text(says)
        expect(page.get_by_role("button", name="Open a recording")).to_be_enabled()


def test_a_page_whose_server_is_gone_says_so(server: Served, chromium: Browser, second: Path, tmp_path: Path) -> None:
    with reverse_proxy("nginx", tmp_path, server.port) as front, opened(chromium, front) as page:
        front.process.terminate()
        front.process.wait(10)
        page.locator("#file").set_input_files(second)
        expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
