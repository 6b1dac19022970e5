"""The web page in a real browser on a real server: microphone, dropped file, names, downloads, lost connections."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from browser import Browser, saved
from playwright.sync_api import Page, expect
from served import Served
from server_kit import Listener, talk
from tcp_proxy import Proxy, proxy_to

from turnstream.clients.terminal.screen import color
from turnstream.events import Final
from turnstream.protocol.messages import Start, encode
from turnstream.rttm import parse_rttm

pytestmark = pytest.mark.browser

ASKED = Start(activity=True)  # as the page asks
PHONE = {"viewport": {"width": 390, "height": 844}}
DROP = """async ({name, data}) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer}));
}"""
PAINTED = """(colours) => {
    const canvas = document.getElementById("canvas");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return colours.map((colour) => {
        const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
        let count = 0;
        for (let i = 0; i < data.length; i += 4) count += data[i] === r && data[i + 1] === g && data[i + 2] === b;
        return count;
    });
}"""
NO_MICROPHONE = """() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotFoundError"); };
}"""


@pytest.fixture(scope="module")
def heard(server: Served, speech: Path) -> Listener:
    """What another client is told about the same audio."""
    audio = soundfile.read(speech, dtype="int16")[0].tobytes()
    found: list[Listener] = []
    asking = threading.Thread(target=lambda: found.append(asyncio.run(talk(f"ws://{server.address}", audio, ASKED))))
    asking.start()  # the browser's own event loop may run in this thread
    asking.join()
    return found[0]


@pytest.fixture
def network(server: Served) -> Iterator[tuple[Proxy, asyncio.AbstractEventLoop]]:
    """A proxy in front of the server, in a thread with its event loop."""
    ready, ends = threading.Event(), asyncio.Event()
    made: list[tuple[Proxy, asyncio.AbstractEventLoop]] = []

    async def run() -> None:
        async with proxy_to(f"ws://{server.address}") as proxy:
            made.append((proxy, asyncio.get_running_loop()))
            ready.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait(10)
    yield made[0]
    made[0][1].call_soon_threadsafe(ends.set)
    thread.join()


def fits(page: Page) -> bool:
    """No part of the page is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.usefixtures("quiet")
def test_the_microphone_from_the_first_turn_to_the_downloads(
    server: Served, chromium: Browser, artifacts: Path
) -> None:
    with chromium.open(f"http://{server.address}", **PHONE, color_scheme="dark") as phone:
        assert fits(phone)
        phone.get_by_role("button", name="Use the microphone").press("Enter")
        with chromium.open(f"http://{server.address}") as page:
            page.get_by_role("button", name="Use the microphone").click()
            speaker = page.get_by_role("button", name="S1: name this speaker")
            speaker.press("Enter")
            page.get_by_label("Name of S1").press_sequentially("Anna B.")
            page.keyboard.press("Enter")
            expect(page.locator("#speakers")).to_contain_text("Anna B.")
            expect(page.locator("#turns li", has_text="Anna B.").first).to_be_visible()
            expect(page.locator("#speakers li")).to_have_count(2)
            expect(page.locator("#turns li").nth(3)).to_be_visible()
            expect(page.locator("#state")).to_have_text("Listening")
            expect(page.locator("#announce")).to_contain_text("Anna B.,")
            expect(page.locator("#delay")).to_have_text(re.compile(r"^\d+\.\d s$"))
            assert int(page.get_by_role("meter").get_attribute("aria-valuenow") or "-60") > -60
            page.screenshot(path=artifacts / "page-live.png")
            phone.screenshot(path=artifacts / "page-phone-dark.png")
            assert fits(phone)
            assert parse_rttm(saved(page, "RTTM")[1]), "results can be had before the end"
            page.get_by_role("button", name="Stop").click()
            expect(page.get_by_role("button", name="New session")).to_be_visible()
            expect(page.locator("#state")).to_have_text("Finished")
            page.screenshot(path=artifacts / "page-end.png", full_page=True)
            name, rttm = saved(page, "RTTM")
            result = json.loads(saved(page, "JSON")[1])
    assert name == "turnstream.rttm"
    assert result["complete"]
    assert {speaker["name"] for speaker in result["speakers"]} >= {"Anna B."}
    said = {(t["start"], t["end"], (t["name"] or t["speaker"] or "unknown").replace(" ", "_")) for t in result["turns"]}
    (segments,) = parse_rttm(rttm).values()
    assert {(s.start_s, s.end_s, s.speaker) for s in segments} == said
    assert len(said) >= 2  # what was told as four turns may be fewer in the end


@pytest.mark.usefixtures("quiet")
def test_a_dropped_file_gives_what_any_client_gets(
    server: Served, chromium: Browser, artifacts: Path, speech: Path, heard: Listener
) -> None:
    people = [talk for talk in heard.final.speakers if talk.speaker and talk.talk_s > 1]
    assert len(people) >= 2
    with chromium.open(f"http://{server.address}", color_scheme="dark", reduced_motion="reduce") as page:
        page.evaluate(DROP, {"name": speech.name, "data": base64.b64encode(speech.read_bytes()).decode()})
        expect(page.get_by_role("button", name="New session")).to_be_visible()
        expect(page.locator("#turns li")).to_have_count(len(heard.final.turns))
        page.wait_for_timeout(300)
        page.screenshot(path=artifacts / "page-file-dark.png", full_page=True)
        name, rttm = saved(page, "RTTM")
        result = json.loads(saved(page, "JSON")[1])
        painted = page.evaluate(PAINTED, [color(talk.speaker) for talk in people])
        page.get_by_role("button", name="New session").click()
        expect(page.get_by_role("button", name="Use the microphone")).to_be_focused()
    assert (name, result["source"]) == ("two people.rttm", "two people.wav")
    assert rttm == heard.final.to_rttm("two people")
    told = json.loads(encode(heard.final))
    assert result["turns"] == sorted(told["turns"], key=lambda turn: (turn["start"], int(turn["id"][1:])))
    assert result["speakers"] == told["speakers"]
    assert min(painted) > 500, "the lanes do not show every speaker in the terminal's colour"


def test_a_lost_connection_is_taken_up_again(
    network: tuple[Proxy, asyncio.AbstractEventLoop], chromium: Browser, speech: Path, heard: Listener
) -> None:
    proxy, loop = network
    with chromium.open(f"http://127.0.0.1:{proxy.port}") as page:
        page.locator("#file").set_input_files(speech)
        expect(page.locator("#turns li").first).to_be_visible()
        proxy.down = True
        loop.call_soon_threadsafe(proxy.cut)
        expect(page.get_by_role("alert")).to_contain_text("The connection was lost. Reconnecting")
        expect(page.locator("#state")).to_have_text("Reconnecting")
        proxy.down = False
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.get_by_role("button", name="New session")).to_be_visible()
        result = json.loads(saved(page, "JSON")[1])
    final: Final = heard.final
    assert [turn["end"] for turn in result["turns"]] == [t.end_s for t in sorted(final.turns, key=lambda t: t.start_s)]
    assert result["statistics"]["resumes"] >= 1
    assert result["statistics"]["dropped"] == 0


def test_what_goes_wrong_is_said_and_the_page_stays_usable(server: Served, chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is no audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    with chromium.open(f"http://{server.address}") as page:
        alert = page.get_by_role("alert")
        for name, sentence in (
            ("notes.txt", "notes.txt is not audio that this browser can read."),
            ("empty.wav", "empty.wav is empty."),
        ):
            page.locator("#file").set_input_files(tmp_path / name)
            expect(alert).to_have_text(sentence)
            expect(page.get_by_role("button", name="Open a recording")).to_be_enabled()
        page.evaluate(NO_MICROPHONE)
        page.get_by_role("button", name="Use the microphone").click()
        expect(alert).to_have_text("No microphone was found: connect one and try again.")


def test_the_page_keeps_the_table_that_the_protocol_describes(
    server: Served, chromium: Browser, heard: Listener
) -> None:
    """Its model against the listener's, message by message as the server sent them."""
    messages = [json.loads(encode(message)) for message in heard.messages]
    script = """async (messages) => {
        const {Transcript} = await import("/client/transcript.js");
        const transcript = new Transcript();
        for (const message of messages.filter(({type}) => type !== "final")) transcript.apply(message);
        const table = transcript.inOrder();
        const talk = Object.fromEntries(transcript.talk);
        for (const message of messages.filter(({type}) => type === "final")) transcript.apply(message);
        return {table, talk, final: transcript.inOrder().length, revisions: transcript.revisions.length};
    }"""
    with chromium.open(f"http://{server.address}") as page:
        told = page.evaluate(script, messages)
    table = {turn["id"]: (turn["speaker"], turn["start"], turn["end"], turn["committed"]) for turn in told["table"]}
    assert table == {key: (t.speaker, t.start_s, t.end_s, t.committed_s) for key, t in heard.table.items()}
    for speaker, talked_s in told["talk"].items():
        mine = [t.end_s - t.start_s for t in heard.table.values() if str(t.speaker) == speaker]
        assert talked_s == pytest.approx(sum(mine), abs=1e-6)
    assert told["final"] == len(heard.final.turns)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_corrected_turn_moves_to_its_lane(server: Served, chromium: Browser, motion: str) -> None:
    script = """async () => {
        const {Lanes} = await import("/lanes.js");
        document.body.dataset.state = "session";
        const canvas = document.getElementById("canvas");
        const lanes = new Lanes(canvas, (speaker) => speaker === "S1" ? 50 : 120);
        const turn = {id: "T1", speaker: "S2", start: 2, end: 8, committed: 8, state: "committed"};
        const rows = () => {
            lanes.draw([turn], ["S1", "S2"], 0, 10, null);
            const ratio = devicePixelRatio, x = canvas.width / 2;
            const at = (y) => canvas.getContext("2d").getImageData(x, y * ratio, 1, 1).data.slice(0, 3).join();
            return [50, 120].map((y) => at(y) === "86,180,233");
        };
        lanes.moved("T1", "S1", true);
        const first = rows(), busy = lanes.busy;
        await new Promise((done) => setTimeout(done, 700));
        return [first, busy, rows()];
    }"""
    with chromium.open(f"http://{server.address}", reduced_motion=motion) as page:
        first, busy, last = page.evaluate(script)
    assert first == ([True, False] if motion == "no-preference" else [False, True])
    assert busy
    assert last == [False, True]


@pytest.mark.usefixtures("quiet")
def test_narrow_windows_fit_and_a_token_may_come_with_the_address(server: Served, chromium: Browser) -> None:
    with chromium.open(f"http://{server.address}", viewport={"width": 320, "height": 640}) as page:
        page.get_by_text("Options").click()
        assert fits(page)
        page.evaluate("document.body.dataset.state = 'session'")
        assert fits(page)
    with chromium.open(f"http://{server.address}/#token=a.token-of_this~page") as page:
        expect(page.locator("#token")).to_have_value("a.token-of_this~page")
        assert page.url == f"http://{server.address}/"
