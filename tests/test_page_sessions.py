"""Working with sessions on the page: playing them, coming back to them, leaving them, opening and deleting old ones."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest
from browser import Browser, saved
from playwright.sync_api import Page, expect
from served import Served

from turnstream.rttm import parse_rttm

pytestmark = pytest.mark.browser

FREED_S = 3.0
PHONE = {"viewport": {"width": 390, "height": 844}}
SCROLLED = "document.getElementById('turns-scroll').scrollTop"
KEPT_S = """async () => {
    const {Store} = await import("/store.js");
    const [{bytes, source}] = await (await Store.open()).list();
    return bytes / 2 / source.rate;
}"""
UNTIL_TURNS_ARE_KEPT = """async () => {
    const {Store} = await import("/store.js");
    const store = await Store.open();
    for (;;) {
        const [newest] = await store.list();
        if (newest && (await store.load(newest.id)).transcript.turns.length > 0) return;
        await new Promise((done) => setTimeout(done, 50));
    }
}"""
FORGET = """() => {
    const note = JSON.parse(sessionStorage.getItem("turnstream.running"));
    sessionStorage.setItem("turnstream.running", JSON.stringify({...note, session: "gone"}));
}"""
WATCH = """() => {
    window.seen = [];
    const [state, bar] = ["state", "progress"].map((id) => document.getElementById(id));
    const note = () => window.seen.push([state.textContent, bar.hidden ? null : bar.getAttribute("value")]);
    const what = {attributes: true, characterData: true, childList: true, subtree: true};
    for (const part of [state, bar]) new MutationObserver(note).observe(part, what);
}"""
ENDINGS = {
    "RTTM": ".rttm", "JSON": ".json", "SRT": ".srt", "WebVTT": ".vtt", "CSV": ".csv", "Text": ".txt",
    "Audacity": ".labels.txt",
}  # fmt: skip


def run_file(page: Page, path: Path) -> None:
    page.locator("#file").set_input_files(path)
    expect(page.get_by_role("button", name="New session")).to_be_visible()


def playing_time(page: Page) -> float:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it is drawn
    minutes, seconds = page.locator("#time").inner_text().split(" / ")[0].split(":")
    return 60 * int(minutes) + float(seconds)


def running(server: Served) -> int:
    with urllib.request.urlopen(f"http://{server.address}/health") as answer:
        return int(json.load(answer)["sessions"])


def violations(page: Page) -> list[str]:
    """What axe-core finds, one line a rule and element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


@pytest.mark.usefixtures("quiet")
def test_a_reloaded_tab_comes_back_to_the_microphone(server: Served, chromium: Browser) -> None:
    with chromium.open(f"http://{server.address}") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Use the microphone").click()
        expect(page.locator("#speakers li")).not_to_have_count(0)
        page.get_by_role("button", name="S1: name this speaker").click()
        page.keyboard.type("Anna")
        page.keyboard.press("Enter")
        expect(page.locator("#turns li", has_text="Anna").first).to_be_visible()
        before_s = playing_time(page)
        page.reload()
        expect(page.locator("#turns li", has_text="Anna").first).to_be_visible()
        expect(page.locator("#state")).to_have_text("Listening")
        page.wait_for_timeout(1500)
        assert running(server) == 1
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#state")).to_have_text("Finished")
        result = json.loads(saved(page, "JSON")[1])
        assert result["complete"]
        assert result["duration"] > before_s + 1
        assert result["statistics"]["resumes"] == 1
        assert "Anna" in {speaker["name"] for speaker in result["speakers"]}
        page.get_by_role("button", name="New session").click()
        expect(page.locator("#saved-list")).to_contain_text("Anna")
        kept_s = page.evaluate(KEPT_S)
    assert kept_s == pytest.approx(result["duration"], abs=0.01)


def test_a_session_that_the_server_has_forgotten_is_shown_as_far_as_it_was_kept(
    server: Served, chromium: Browser, speech: Path
) -> None:
    with chromium.open(f"http://{server.address}") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_text("Options").click()
        page.get_by_label("Recordings").select_option("live")
        page.locator("#file").set_input_files(speech)
        expect(page.locator("#turns li").first).to_be_visible()
        page.evaluate(UNTIL_TURNS_ARE_KEPT)
        page.evaluate(FORGET)
        page.reload()
        expect(page.get_by_role("alert")).to_have_text("This session ended early: these are its turns until then.")
        expect(page.locator("#turns li").first).to_be_visible()
        expect(page.locator("#state")).to_have_text("Ended early")
        page.reload()
        expect(page.locator("#saved-list")).to_contain_text("ended early")


def test_a_reloaded_recording_goes_on_and_loses_nothing(server: Served, chromium: Browser, speech: Path) -> None:
    with chromium.open(f"http://{server.address}") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        page.evaluate(WATCH)
        run_file(page, speech)
        seen = page.evaluate("window.seen")
        whole = json.loads(saved(page, "JSON")[1])
        page.get_by_role("button", name="New session").click()
        page.get_by_text("Options").click()
        page.get_by_label("Recordings").select_option("live")
        page.locator("#file").set_input_files(speech)
        expect(page.locator("#turns li").first).to_be_visible()
        page.reload()
        expect(page.locator("#state")).to_contain_text("Reading two people.wav")
        expect(page.get_by_role("button", name="New session")).to_be_visible()
        again = json.loads(saved(page, "JSON")[1])
    states = list(dict.fromkeys(state for state, _ in seen))
    assert [state for state in states if state != "Connecting"] == [
        "Opening two people.wav", "Reading two people.wav", "Finishing", "Finished",
    ]  # fmt: skip
    parts = [float(part) for state, part in seen if state.startswith("Reading") and part]
    assert len(parts) > 2
    assert parts == sorted(parts), "what is shown of the progress only grows"
    assert 0 < parts[-1] <= 1
    assert (again["turns"], again["speakers"]) == (whole["turns"], whole["speakers"])
    assert again["statistics"]["resumes"] == 1
    assert again["statistics"]["dropped"] == 0


def test_a_closed_tab_frees_its_place_at_once(server: Served, chromium: Browser) -> None:
    with chromium.open(f"http://{server.address}") as page:
        page.get_by_role("button", name="Use the microphone").click()
        expect(page.locator("#state")).to_have_text("Listening")
        assert running(server) == 1
        page.close()
        until_s = time.monotonic() + FREED_S
        while running(server) > 0 and time.monotonic() < until_s:
            time.sleep(0.05)
        assert running(server) == 0


@pytest.mark.usefixtures("quiet")
def test_turns_are_played_and_sought_with_the_mouse_and_the_keyboard(
    server: Served, chromium: Browser, speech: Path, artifacts: Path
) -> None:
    with chromium.open(f"http://{server.address}", viewport={"width": 1280, "height": 900}) as page:
        run_file(page, speech)
        expect(page.locator("input[name=span][value=all]")).to_be_checked()
        row = page.locator("#turns li").nth(2)
        start_s = page.evaluate("document.querySelectorAll('#turns li')[2].querySelector('.time').textContent")
        row.get_by_role("button", name="Play").click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        expect(row).to_have_attribute("aria-current", "true")
        expect(page.locator("#lanes-heading")).to_contain_text("Speaking at 0:")
        page.screenshot(path=artifacts / "page-playing.png")
        first_s = playing_time(page)
        page.wait_for_timeout(400)
        assert first_s < playing_time(page) < first_s + 4
        assert first_s >= float(start_s.split(" ")[0].split(":")[1]) - 0.1
        page.locator("body").press("Space")
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
        stands_s = playing_time(page)
        slider = page.get_by_role("slider", name="Time")
        slider.press("ArrowRight")
        assert playing_time(page) == pytest.approx(stands_s + 1, abs=0.11)
        slider.press("Home")
        assert playing_time(page) == 0
        page.get_by_role("button", name="Hear S1").click()
        expect(page.locator("#speakers li").first).to_have_class("speaker talking")
        page.locator("body").press("Space")
        row.get_by_role("button", name="Play").focus()
        page.keyboard.press("End")
        last = page.locator("#turns li").last
        expect(last.get_by_role("button", name="Play")).to_be_focused()
        expect(last).to_have_attribute("aria-current", "true")
        assert page.locator("#turns li:has(button[tabindex='0'])").count() == 1, "one tab stop, however many turns"


def test_going_to_a_time_moves_the_list_and_the_lanes(server: Served, chromium: Browser, speech: Path) -> None:
    with chromium.open(f"http://{server.address}", **PHONE) as page:
        run_file(page, speech)
        assert page.evaluate(SCROLLED) == 0
        page.locator("input[name=span][value='15']").check(force=True)
        page.get_by_role("slider", name="Time").press("End")
        lowest = page.evaluate(SCROLLED)
        assert lowest > 0
        canvas = page.locator("#canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box
        middle = box["y"] + box["height"] - 20
        page.mouse.move(box["x"] + 20, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, middle, steps=4)
        page.mouse.up()
        assert page.evaluate(SCROLLED) < lowest
        page.mouse.click(box["x"] + 5, middle)
        assert playing_time(page) < 2


@pytest.mark.usefixtures("quiet")
def test_sessions_are_opened_again_with_their_audio_and_names_and_deleted(
    server: Served, chromium: Browser, speech: Path, artifacts: Path
) -> None:
    with chromium.open(f"http://{server.address}", **PHONE, color_scheme="dark") as page:
        assert violations(page) == []
        run_file(page, speech)
        whole = json.loads(saved(page, "JSON")[1])
        add = page.get_by_role("button", name="S2: name this speaker")
        assert "add name" in page.evaluate("(e) => getComputedStyle(e, '::after').content", add.element_handle())
        add.click()
        page.keyboard.type("Ben")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="New session").click()
        expect(page.locator("#saved-list li")).to_have_count(1)
        expect(page.locator("#saved-list")).to_contain_text("S1 and Ben")
        page.screenshot(path=artifacts / "page-phone-saved.png", full_page=True)
        assert violations(page) == []
        page.locator(".saved-open").click()
        expect(page.locator("#speakers")).to_contain_text("Ben")
        page.wait_for_timeout(200)
        page.screenshot(path=artifacts / "page-phone-past.png", full_page=True)
        assert violations(page) == []
        again = json.loads(saved(page, "JSON")[1])
        assert [turn["start"] for turn in again["turns"]] == [turn["start"] for turn in whole["turns"]]
        assert again["complete"]
        page.get_by_role("button", name="Play", exact=True).click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        page.get_by_role("button", name="New session").click()
        page.get_by_role("button", name="Delete two people.wav").click()
        assert violations(page) == []
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#saved-list li")).to_have_count(1)
        page.get_by_role("button", name="Delete two people.wav").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.locator("#saved")).to_be_hidden()
        page.reload()
        expect(page.locator("#saved")).to_be_hidden()


def test_a_browser_without_room_says_so_and_keeps_nobody_from_working(
    server: Served, chromium: Browser, speech: Path
) -> None:
    with chromium.open(f"http://{server.address}") as page:
        quota = {"origin": f"http://{server.address}", "quotaSize": 200_000}
        page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)
        run_file(page, speech)
        expect(page.get_by_role("alert")).to_contain_text("This browser has no room to keep more of this session")
        page.get_by_role("button", name="Play", exact=True).click()
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        page.get_by_role("button", name="New session").click()
        expect(page.get_by_role("dialog")).to_contain_text("Leave this session?")
        page.get_by_role("button", name="Leave without saving").click()
        expect(page.get_by_role("button", name="Use the microphone")).to_be_visible()


def test_a_result_that_is_nowhere_kept_is_not_left_without_asking(
    server: Served, chromium: Browser, speech: Path
) -> None:
    with chromium.open(f"http://{server.address}") as page:
        page.get_by_text("Options").click()
        page.get_by_label("Sessions and their audio").select_option("no")
        run_file(page, speech)
        page.get_by_role("button", name="New session").click()
        expect(page.get_by_role("dialog")).to_contain_text("Leave this session?")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#turns li").first).to_be_visible()
        files = {button: saved(page, button) for button in ENDINGS}
        page.get_by_role("button", name="New session").click()
        expect(page.get_by_role("button", name="Use the microphone")).to_be_focused()
        expect(page.locator("#saved")).to_be_hidden()
    assert {button: name for button, (name, _) in files.items()} == {
        button: f"two people{ending}" for button, ending in ENDINGS.items()
    }
    (segments,) = parse_rttm(files["RTTM"][1]).values()
    assert files["SRT"][1].count(" --> ") == files["WebVTT"][1].count(" --> ") == len(segments)
    assert len(files["CSV"][1].splitlines()) - 1 == len(segments)
    assert len(files["Audacity"][1].splitlines()) == len(files["Text"][1].splitlines()) == len(segments)
