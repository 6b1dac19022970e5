"""The page: speakers are merged, turns moved, both taken back, while it listens and afterwards, by keyboard alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from browser import Browser, saved
from playwright.sync_api import Page, expect
from served import Served
from test_page import PHONE, fits
from test_page_sessions import run_file, violations

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]


def whose(page: Page) -> list[str]:
    return page.locator("#turns .turn-name").all_inner_texts()


def has(page: Page, *names: str) -> None:
    """Waits until the turns are theirs, in order."""
    expect(page.locator("#turns .turn-name")).to_have_text([*names])


def has_no(page: Page, name: str) -> None:
    """Waits until no turn is theirs."""
    expect(page.locator("#turns .turn-name").first).to_be_visible()
    expect(page.locator("#turns .turn-name", has_text=name)).to_have_count(0)


def test_while_it_listens_the_server_hears_of_corrections(server: Served, chromium: Browser) -> None:
    with chromium.open(f"http://{server.address}") as page:
        undo = page.get_by_role("button", name="Undo correction")
        page.get_by_role("button", name="Use the microphone").click()
        expect(page.locator("#speakers")).to_contain_text("S2")
        expect(undo).to_be_hidden()
        committed = page.locator("#turns li:not(.provisional)", has=page.locator(".turn-name", has_text="S2")).first
        moved = page.locator(f"#turns li[data-id={committed.get_attribute('data-id')}]")
        moved.get_by_role("button", name="say who this is").click()
        page.get_by_role("button", name="Someone new").click()
        expect(moved.locator(".turn-name")).to_have_text(re.compile("S[3-9]"))
        expect(moved.locator(".note")).to_contain_text("S2")  # whose it was
        page.keyboard.press("Control+z")
        expect(moved.locator(".turn-name")).to_have_text("S2")
        expect(undo).to_be_hidden()
        page.get_by_role("button", name="S1: name this speaker").click()
        page.keyboard.type("Anna")
        page.keyboard.press("Enter")
        expect(page.locator("#speakers")).to_contain_text("Anna")
        page.get_by_role("button", name="S2: name this speaker").click()
        page.keyboard.type("anna")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Merge S2 into anna?")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="Yes, both are anna").press("Enter")
        expect(page.locator("#speakers")).not_to_contain_text("S2")
        expect(moved.locator(".turn-name")).to_have_text("Anna")
        page.reload()
        expect(moved.locator(".turn-name")).to_have_text("Anna")
        expect(undo).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#state")).to_have_text("Finished")
        result = json.loads(saved(page, "JSON")[1])
    names = {speaker["speaker"]: speaker["name"] for speaker in result["speakers"]}
    assert names["S1"] == "Anna"
    assert "S2" not in names


def test_a_result_is_corrected_by_keyboard_on_a_phone_and_kept_so(
    server: Served, chromium: Browser, speech: Path, artifacts: Path
) -> None:
    with chromium.open(f"http://{server.address}", **PHONE) as page:
        run_file(page, speech)
        before = whose(page)
        assert {"S1", "S2"} <= set(before)
        turn = page.locator("#turns li", has=page.locator(".turn-name", has_text="S1")).first
        place = before.index("S1")
        turn.get_by_role("button", name="Play").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=re.compile(r"^At 0:.*, S1 is really …$"))).to_be_visible()
        assert violations(page) == []
        assert fits(page)
        page.screenshot(path=artifacts / "page-phone-pick.png")
        page.keyboard.press("Escape")
        has(page, *before)
        page.keyboard.press("Enter")
        expect(page.locator("#pick-choices button", has_text="S2")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#turns .turn-name").nth(place)).to_have_text("S2")
        merge = page.get_by_role("button", name="Merge S2 into another speaker")
        merge.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#pick-choices button", has_text="S1")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#speakers li")).to_have_count(len(set(before)) - 1)
        has_no(page, "S2")
        assert violations(page) == []
        assert fits(page)
        page.screenshot(path=artifacts / "page-phone-merged.png")
        page.get_by_role("button", name="New session").click()
        page.locator(".saved-open").click()
        has_no(page, "S2")
        result = json.loads(saved(page, "JSON")[1])
        assert "S2" not in {turn["speaker"] for turn in result["turns"]}
        talked = sum(turn["end"] - turn["start"] for turn in result["turns"])
        assert sum(speaker["talk"] for speaker in result["speakers"]) == pytest.approx(talked, abs=0.01)


def test_corrections_of_a_result_are_taken_back_one_by_one(server: Served, chromium: Browser, speech: Path) -> None:
    with chromium.open(f"http://{server.address}") as page:
        run_file(page, speech)
        before = whose(page)
        page.locator("#turns .turn-name").first.click()
        page.get_by_role("button", name="Someone new").click()
        expect(page.locator("#turns .turn-name").first).not_to_have_text(before[0])
        after = whose(page)
        page.get_by_role("button", name="Merge S1 into another speaker").click()
        page.locator("#pick-choices button", has_text="S2").click()
        has_no(page, "S1")
        page.get_by_role("button", name="Undo correction").click()
        has(page, *after)
        page.locator("body").press("Control+z")
        has(page, *before)
        expect(page.get_by_role("button", name="Undo correction")).to_be_hidden()
