"""The client library: its buffer by properties, itself against the real server over a network that breaks."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from server_kit import file_run, follow, pcm, serving
from tcp_proxy import Proxy, proxy_to
from websockets.asyncio.server import ServerConnection, serve

from turnstream.clients.remote.client import MOST_OPENINGS, PIECE_BYTES, Client, Event
from turnstream.clients.remote.connection import ClientError, websocket_url
from turnstream.clients.remote.inbox import Inbox
from turnstream.clients.remote.send_buffer import SendBuffer
from turnstream.diarizer import Diarizer
from turnstream.errors import TurnstreamError
from turnstream.events import Final, Speaker, Turn
from turnstream.protocol.messages import Start, Started, Status
from turnstream.weights.store import demo_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """9 s of the demo recording in which both speakers talk: (N,) float32 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    return samples[100_000:244_000]


steps = st.lists(
    st.tuples(st.sampled_from(["append", "take", "lose", "acknowledge"]), st.integers(0, 50), st.floats(0, 1))
)


@given(steps=steps, frame_bytes=st.integers(1, 8))
def test_however_connections_break_the_server_gets_every_byte_once(
    steps: list[tuple[str, int, float]], frame_bytes: int
) -> None:
    """The server has `received`; what of it was an unfinished sample is forgotten when the connection is lost."""
    buffer, given_bytes, received = SendBuffer(frame_bytes), bytearray(), bytearray()
    for step, size, part in [*steps, ("lose", 0, 0.0), ("take", 10**6, 1.0)]:
        if step == "append":
            data = bytes((len(given_bytes) + n) % 251 for n in range(size))
            given_bytes += data
            buffer.append(data)
        elif step == "take":
            received += buffer.take(size)
        elif step == "acknowledge":
            buffer.acknowledge(int(len(received) // frame_bytes * part))
        else:
            del received[int(len(received) * part) if len(received) * part > buffer.start else len(received) :]
            del received[len(received) // frame_bytes * frame_bytes :]
            assert buffer.rewind(len(received) // frame_bytes)
        assert buffer.start <= len(received) == buffer.sent <= buffer.end == len(given_bytes)
    assert received == given_bytes


def test_audio_that_is_not_kept_or_never_came_cannot_be_sent_again() -> None:
    buffer = SendBuffer(2)
    buffer.append(bytes(100))
    buffer.take(100)
    buffer.acknowledge(30)
    assert buffer.start == 60
    assert not buffer.rewind(29)
    assert not buffer.rewind(51)
    assert buffer.rewind(50)


def _turn(number: int, end_s: float) -> Turn:
    return Turn(f"T{number}", "S1", None, 0.0, end_s, 0.0, "provisional")


def test_a_crowded_inbox_keeps_the_newest_of_each_turn_in_order() -> None:
    inbox = Inbox(many=4)
    events: list[Event] = [_turn(1, 1.0), _turn(2, 1.0), _turn(1, 2.0), _turn(3, 1.0), _turn(1, 3.0), _turn(3, 2.0)]
    for event in events:
        inbox.put(event)
    assert len(inbox) == 4
    assert [inbox.take() for _ in range(5)] == [_turn(1, 1.0), _turn(2, 1.0), _turn(1, 3.0), _turn(3, 2.0), None]


def test_an_inbox_that_is_not_crowded_keeps_everything() -> None:
    inbox = Inbox()
    events: list[Event] = [_turn(n % 3 + 1, float(n)) for n in range(100)]
    for event in events:
        inbox.put(event)
    assert [inbox.take() for _ in range(100)] == events


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("localhost:8765", "ws://localhost:8765/v1"),
        ("ws://10.0.0.1:1/", "ws://10.0.0.1:1/v1"),
        ("https://example.org/diarize/v1", "wss://example.org/diarize/v1"),
        ("HTTP://[::1]:80", "ws://[::1]:80/v1"),
    ],
)
def test_addresses_as_people_write_them(address: str, url: str) -> None:
    assert websocket_url(address) == url


@pytest.mark.parametrize("address", ["", "ftp://x", "ws://", "host:notaport", "host:99999", "a b", "ws://x#y"])
def test_what_is_no_address_is_said_in_one_sentence(address: str) -> None:
    with pytest.raises(ClientError, match="expected an address such as ws://"):
        websocket_url(address)


async def _collect(client: Client) -> list[Event]:
    return [event async for event in client]


async def _talk(client: Client, audio: bytes, sizes: random.Random) -> tuple[Final, list[Event]]:
    """A whole session: audio in pieces of random sizes, every event, the final result."""
    hearing = asyncio.create_task(_collect(client))
    at = 0
    while at < len(audio):
        size = sizes.choice([1, 77, 9_600, 50_000])
        await client.send(audio[at : at + size])
        at += size
        await asyncio.sleep(0.01)
    return await client.finish(), await hearing


def _table(events: list[Event]) -> dict[str, Turn]:
    table: dict[str, Turn] = {}
    for event in events:
        follow(event, table)
    return table


def test_a_session_is_what_the_engine_says(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio, start = pcm(speech, "pcm_s24le", 22_050), Start(encoding="pcm_s24le", sample_rate_hz=22_050)

    async def session() -> tuple[Final, list[Event]]:
        async with serving(diarizer) as (_, url), Client(url, start) as client:
            return await _talk(client, audio, random.Random(0))

    final, events = asyncio.run(session())
    turns, table = file_run(diarizer, audio, start)
    assert final.turns == turns
    assert _table(events[:-1]) == table
    assert isinstance(events[0], Started)
    assert events[-1] == final


@pytest.mark.parametrize("seed", range(2))
def test_cut_connections_lose_and_double_nothing(diarizer: Diarizer, speech: np.ndarray, seed: int) -> None:
    audio, chance = pcm(speech, "pcm_s24le"), random.Random(seed)
    start = Start(encoding="pcm_s24le")

    async def cutting(proxy: Proxy) -> None:
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            proxy.cut()
            proxy.down = True
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            proxy.down = False

    async def session() -> tuple[Final, list[Event], int]:
        async with serving(diarizer) as (_, url), proxy_to(url) as proxy, Client(proxy.url, start) as client:
            cuts = asyncio.create_task(cutting(proxy))
            result = await _talk(client, audio, chance)
            cuts.cancel()
            return *result, proxy.connections

    final, events, connections = asyncio.run(session())
    assert connections > 1
    assert sum(isinstance(event, Started) and event.resumed for event in events) >= 1
    turns, table = file_run(diarizer, audio, start)
    assert final.turns == turns
    assert final.statistics.dropped_s == 0
    assert final.duration_s == pytest.approx(len(audio) / 3 / 16_000, abs=0.001)
    committed = {key: turn for key, turn in table.items() if turn.committed_s > turn.start_s}
    assert {key: turn for key, turn in _table(events[:-1]).items() if turn.committed_s > turn.start_s} == committed


def test_a_name_given_without_a_connection_arrives_when_it_is_back(diarizer: Diarizer, speech: np.ndarray) -> None:
    async def session() -> tuple[Final, list[Event]]:
        async with serving(diarizer) as (_, url), proxy_to(url) as proxy, Client(proxy.url) as client:
            await client.send(pcm(speech, "pcm_s16le"))
            async for event in client:
                if isinstance(event, Speaker):
                    break
            proxy.down = True
            proxy.cut()
            while client.trouble is None:
                await asyncio.sleep(0.01)
            naming = asyncio.create_task(client.name("S1", "Anna Ångström"))
            await asyncio.sleep(0.1)
            proxy.down = False
            await naming
            return await client.finish(), await _collect(client)

    final, events = asyncio.run(session())
    assert any(isinstance(event, Speaker) and event.name == "Anna Ångström" for event in events)
    assert {talk.name for talk in final.speakers if talk.speaker == "S1"} == {"Anna Ångström"}
    assert {turn.name for turn in final.turns if turn.speaker == "S1"} == {"Anna Ångström"}


def test_a_full_buffer_makes_send_wait_and_loses_nothing(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech, "pcm_s16le")

    async def session() -> tuple[Final, int]:
        async with (
            serving(diarizer) as (_, url),
            proxy_to(url) as proxy,
            Client(proxy.url, buffer_bytes=3 * PIECE_BYTES) as client,
        ):
            proxy.stall(True)
            sending = asyncio.create_task(client.send(audio))
            await asyncio.sleep(0.5)
            assert not sending.done()
            kept = client._exchange.buffer.end - client._exchange.buffer.start
            proxy.stall(False)
            await sending
            return await client.finish(), kept

    final, kept = asyncio.run(session())
    assert kept <= 3 * PIECE_BYTES
    assert final.turns == file_run(diarizer, audio, Start())[0]


def test_a_connection_that_is_only_silent_is_given_up(
    diarizer: Diarizer, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: nothing is closed, nothing arrives; the client tries again and is heard once the network is back."""
    monkeypatch.setattr("turnstream.clients.remote.client.SILENT_S", 0.8)
    audio = pcm(speech, "pcm_s16le")

    async def session() -> Final:
        async with serving(diarizer, resume_s=30.0) as (_, url), proxy_to(url) as proxy, Client(proxy.url) as client:
            await client.send(audio[:50_001])
            proxy.stall(True)
            await client.send(audio[50_001:])
            while client.trouble is None:
                await asyncio.sleep(0.05)
            assert "does not answer" in client.trouble
            proxy.stall(False)
            return await client.finish()

    final = asyncio.run(session())
    assert final.statistics.resumes >= 1
    assert final.turns == file_run(diarizer, audio, Start())[0]


def test_a_speaker_who_is_not_there_cannot_be_named(diarizer: Diarizer) -> None:
    async def session() -> None:
        async with serving(diarizer) as (_, url), Client(url) as client:
            with pytest.raises(ClientError, match=r"expected a speaker of this session \(none.*\), got S1"):
                await client.name("S1", "Anna")
            with pytest.raises(TurnstreamError, match="expected a speaker such as S1"):
                await client.name("Anna", "Anna")
            assert (await client.finish()).turns == ()

    asyncio.run(session())


def test_a_connection_that_does_not_come_back_is_an_error(diarizer: Diarizer, speech: np.ndarray) -> None:
    async def session() -> None:
        async with serving(diarizer, resume_s=0.5) as (_, url), proxy_to(url) as proxy, Client(proxy.url) as client:
            await client.send(pcm(speech[:16_000], "pcm_s16le"))
            proxy.down = True
            proxy.cut()
            with pytest.raises(ClientError, match=r"did not come back within 0\.5 s"):
                await client.finish()

    asyncio.run(session())


def test_a_session_that_the_server_ends_has_its_result(diarizer: Diarizer, speech: np.ndarray) -> None:
    """The server hears nothing for longer than it likes; the client is told so and sends no more."""

    async def session() -> Final:
        async with serving(diarizer, idle_s=0.5) as (_, url), Client(url) as client:
            await client.send(pcm(speech, "pcm_s16le"))
            events = await _collect(client)
            assert any(isinstance(event, Status) for event in events)
            with pytest.raises(ClientError, match="the audio has ended"):
                await client.send(bytes(2))
            return await client.finish()

    final = asyncio.run(session())
    assert final.reason == "idle"
    assert final.turns


async def _fails(url: str, **options: str) -> str:
    with pytest.raises(ClientError) as raised:
        async with Client(url, **options):  # type: ignore[arg-type]
            pass
    return str(raised.value)


def test_servers_that_refuse_say_why(diarizer: Diarizer) -> None:
    async def sessions() -> list[str]:
        token = "a-token-of-the-tests"
        async with serving(diarizer, token=token) as (_, url):
            async with Client(url, token=token):
                pass
            return [await _fails(url), await _fails(url, token="another-one"), await _fails(f"{url}/nowhere")]

    without, wrong, nowhere = asyncio.run(sessions())
    assert "expected the server's token" in without
    assert "expected the server's token" in wrong
    assert "nothing answers at this path (HTTP 404)" in nowhere


def test_what_is_no_turnstream_server_is_said() -> None:
    async def hello(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def sessions() -> list[str]:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nobody = await _fails(f"127.0.0.1:{unused.getsockname()[1]}")
        async with serve(hello, "127.0.0.1", 0) as other, await asyncio.start_server(silent, "127.0.0.1", 0) as mute:
            ports = [server.sockets[0].getsockname()[1] for server in (other, mute)]
            return [nobody, *[await _fails(f"127.0.0.1:{port}") for port in ports]]

    nobody, other, mute = asyncio.run(sessions())
    assert "Connection refused" in nobody
    assert "does not speak this protocol: expected a JSON object" in other
    assert "does not answer as a websocket server does" in mute


def test_a_server_that_dies_before_the_session_began_is_asked_again() -> None:
    """Behind the address may be another one by now; where there is none, it ends."""
    openings = 0

    async def dying(connection: ServerConnection) -> None:
        nonlocal openings
        openings += 1
        connection.transport.abort()

    async def session() -> str:
        async with serve(dying, "127.0.0.1", 0) as server:
            return await _fails(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert "closed the connection" in asyncio.run(session())
    assert openings == MOST_OPENINGS
