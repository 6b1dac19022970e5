"""The server on real sockets, real models: the engine's own results, for many at once and after lost connections."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from server_kit import Listener, closed_with, file_run, hear_out, pcm, serving, talk
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from turnstream.diarizer import Diarizer
from turnstream.events import Revision, Speaker, Turn
from turnstream.protocol.messages import Start, Started, Status, encode
from turnstream.rttm import parse_rttm
from turnstream.weights.store import demo_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """17 s of the demo recording with both speakers: (N,) float32 at 16 kHz."""
    samples, _ = soundfile.read(demo_recording()[0], dtype="float32")
    return samples[100_000:372_000]


def test_twenty_clients_at_once_get_what_the_file_run_gets(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Each with its own audio, rate, encoding, channels, latency and size of messages."""
    rates = [8_000, 16_000, 22_050, 44_100, 48_000]
    encodings = ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"]
    starts = [
        Start(encoding=encodings[n % 4], sample_rate_hz=rates[n % 5], channels=1 + n % 3 // 2, latency_s=0.5 + n % 4)
        for n in range(20)
    ]
    pieces = [speech[10_000 * n : 10_000 * n + 52_000] for n in range(20)]
    audio = [pcm(piece, s.encoding, s.sample_rate_hz, s.channels) for piece, s in zip(pieces, starts, strict=True)]

    async def together() -> list[Listener]:
        async with serving(diarizer) as (_, url):
            sizes = [997 + 1_201 * n for n in range(20)]
            return await asyncio.gather(*map(talk, [url] * 20, audio, starts, sizes))

    for listener, data, start in zip(asyncio.run(together()), audio, starts, strict=True):
        turns, table = file_run(diarizer, data, start)
        assert listener.final.turns == turns
        assert listener.table == table
        assert {t.speaker for t in turns} == {t.speaker for t in listener.final.speakers}


def test_nobody_beyond_the_number_of_people_is_reported(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Two people talk; who says that it is one, and who says that it is two, is believed."""

    async def speakers(start: Start) -> tuple[set[str | None], set[str | None], Started]:
        async with serving(diarizer) as (_, url):
            listener = await talk(url, pcm(speech, "pcm_s16le"), start)
        told = {event.id for event in listener.messages if isinstance(event, Speaker)}
        return told, {turn.speaker for turn in listener.final.turns}, listener.started

    told, final, started = asyncio.run(speakers(Start(min_speakers=1, max_speakers=1)))
    assert (told, final - {None}) == ({"S1"}, {"S1"})
    assert (started.config.min_speakers, started.config.max_speakers) == (1, 1)
    told, final, _ = asyncio.run(speakers(Start(min_speakers=2, max_speakers=2)))
    assert (told, final - {None}) == ({"S1", "S2"}, {"S1", "S2"})


@pytest.mark.parametrize("seed", range(3))
def test_lost_connections_lose_and_double_nothing(diarizer: Diarizer, speech: np.ndarray, seed: int) -> None:
    """The connection is cut at random moments, mid-sample too; each time the client comes back and goes on."""
    chance = random.Random(seed)
    audio = pcm(speech[: 16_000 * 9], "pcm_s24le")
    start = Start(encoding="pcm_s24le", provisional=True)
    listener, cuts = Listener(), 0

    async def connection(url: str, first: Start) -> bool:
        """One connection up to a cut or the end; True at the end."""
        async with connect(url + "/v1", max_size=None, ping_timeout=None) as socket:
            await socket.send(encode(first))
            listener.hear(await socket.recv())
            hearing = asyncio.create_task(hear_out(socket, listener))
            at, lasts = 3 * listener.started.position, chance.randint(1, 6)
            while at < len(audio) and lasts:
                size = chance.choice([1, 2, 100, 9_600, 50_000])
                await socket.send(audio[at : at + size])
                await asyncio.sleep(chance.choice([0, 0, 0.05, 0.3]))
                at, lasts = at + size, lasts - (size > 1_000)
            if at >= len(audio):
                await socket.send(chance.choice(['{"type":"stop"}', b""]))
                await asyncio.sleep(chance.choice([0, 0.5]))
                if cuts > 12 or chance.random() < 0.5:
                    return await hearing == 1000
            socket.transport.abort()
            return await hearing == 1000

    async def client() -> None:
        nonlocal cuts
        async with serving(diarizer) as (server, url):
            first = start
            while not await connection(url, first):
                cuts += 1
                first = Start(session=listener.started.session, seq=listener.seq)
            await asyncio.sleep(0.1)
            assert not server.table.sessions

    asyncio.run(client())
    assert cuts
    turns, table = file_run(diarizer, audio, start)
    assert listener.final.turns == turns
    assert {key: turn for key, turn in listener.table.items() if turn.committed_s > turn.start_s} == {
        key: turn for key, turn in table.items() if turn.committed_s > turn.start_s
    }
    assert listener.final.statistics.resumes <= cuts
    assert listener.final.statistics.dropped_bytes == 0


def test_a_client_that_lost_everything_is_told_everything_again(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech[: 16_000 * 6], "pcm_s16le")
    first, second = Listener(), Listener()

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            async with connect(url) as socket:
                await socket.send(audio)
                while not first.messages or not _processed(first, 5.9):
                    first.hear(await socket.recv())
                socket.transport.abort()
            async with connect(f"{url}/v1?session={first.started.session}&seq=0") as socket:
                await socket.send(b"")
                assert await hear_out(socket, second) == 1000

    asyncio.run(client())
    assert second.started.resumed
    assert second.started.position == len(audio) // 2
    turns, table = file_run(diarizer, audio, Start())
    assert second.table == table
    assert second.final.turns == turns


def _processed(listener: Listener, seconds: float) -> bool:
    return any(isinstance(message, Status) and message.processed_s >= seconds for message in listener.messages)


def test_a_stated_position_skips_what_is_there_and_fills_what_is_not(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech[: 16_000 * 5], "pcm_s16le")
    listener = Listener()

    async def client() -> None:
        async with serving(diarizer) as (_, url):
            async with connect(url) as socket:
                await socket.send(audio[:64_000])
                session = json.loads(await socket.recv())["session"]
            for position, data in ((1_000, audio[2_000:80_001]), (41_000, audio[82_000:])):
                async with connect(url) as socket:
                    await socket.send(encode(Start(session=session, position=position)))
                    listener.hear(await socket.recv())
                    await socket.send(data)
                    if position == 41_000:
                        await socket.send(b"")
                        await hear_out(socket, listener)
                listener.seq = 0

    asyncio.run(client())
    silenced = audio[:80_000] + bytes(2_000) + audio[82_000:]
    assert listener.final.turns == file_run(diarizer, silenced, Start())[0]
    assert listener.final.duration_s == 5.0
    assert listener.final.statistics.dropped_s == round(1_000 / 16_000, 3)


def test_a_newer_connection_takes_the_session_over(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech[:64_000], "pcm_s16le")
    old, new = Listener(), Listener()

    async def client() -> None:
        async with serving(diarizer) as (_, url), connect(url) as first:
            await first.send(audio[:64_000])
            old.hear(await first.recv())
            async with connect(url) as second:
                await second.send(encode(Start(session=old.started.session, seq=old.seq)))
                assert await hear_out(first, old) == 4409
                new.hear(await second.recv())
                await second.send(audio[2 * new.started.position :])
                await second.send('{"type":"Terminate"}')
                assert await hear_out(second, new) == 1000

    asyncio.run(client())
    assert new.final.turns == file_run(diarizer, audio, Start())[0]


def test_only_committed_turns_where_provisional_is_off(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech, "pcm_s16le")

    async def client(provisional: bool) -> Listener:
        async with serving(diarizer) as (_, url):
            return await talk(url, audio, Start(provisional=provisional))

    listener = asyncio.run(client(False))
    told = [message for message in listener.messages if isinstance(message, Turn)]
    assert told
    assert {turn.state for turn in told} == {"committed"}
    assert all(turn.end_s == turn.committed_s for turn in told)
    turns, table = file_run(diarizer, audio, Start())
    assert listener.final.turns == turns
    assert {(t.id, t.speaker, t.start_s, t.end_s) for t in listener.table.values()} == {
        (t.id, t.speaker, t.start_s, t.committed_s) for t in table.values() if t.committed_s > t.start_s
    }


def test_a_named_speaker_has_the_name_from_then_on(diarizer: Diarizer, speech: np.ndarray) -> None:
    audio = pcm(speech[: 16_000 * 8], "pcm_s16le")
    listener = Listener()

    async def client() -> None:
        async with serving(diarizer) as (_, url), connect(url) as socket:
            await socket.send(audio[:160_000])
            while not any(isinstance(message, Speaker) for message in listener.messages):
                listener.hear(await socket.recv())
            await socket.send('{"type":"name","speaker":"S1","name":"Anna Ödegård"}')
            while not any(isinstance(m, Speaker) and m.state == "named" for m in listener.messages):
                listener.hear(await socket.recv())
            await socket.send(audio[160_000:])
            await socket.send('{"type":"stop"}')
            assert await hear_out(socket, listener) == 1000

    asyncio.run(client())
    named = next(m for m in listener.messages if isinstance(m, Speaker) and m.state == "named")
    assert (named.id, named.name, named.confidence) == ("S1", "Anna Ödegård", None)
    after = [m for m in listener.messages[listener.messages.index(named) :] if isinstance(m, Turn)]
    assert {turn.name for turn in after if turn.speaker == "S1"} == {"Anna Ödegård"}
    assert {(t.speaker, t.name) for t in listener.final.speakers} >= {("S1", "Anna Ödegård")}


def test_the_first_message_may_be_audio_a_start_a_query_or_the_end(diarizer: Diarizer) -> None:
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            listener = await talk(url, b"\0" * 9_601, Start(), query="?sample_rate=48000&latency=2&provisional=0")
            assert (listener.started.config.sample_rate_hz, listener.started.config.latency_s) == (48_000, 2.0)
            assert (listener.final.duration_s, listener.final.statistics.dropped_bytes) == (0.1, 1)
            assert (await closed_with(url, b""))[0] == 1000
            code, last = await closed_with(url, '{"type":"KeepAlive"}', '{"type":"end_of_stream"}')
            assert (code, last["type"], last["turns"]) == (1000, "final", [])

    asyncio.run(client())


def test_the_rttm_of_the_result_holds_its_turns_and_not_the_session_which_is_a_secret(
    diarizer: Diarizer, speech: np.ndarray
) -> None:
    async def client() -> tuple[str, str]:
        async with serving(diarizer) as (_, url), connect(url, max_size=None) as socket:
            await socket.send(pcm(speech[:64_000], "pcm_s16le"))
            await socket.send(b"")
            session, last = json.loads(await socket.recv())["session"], ""
            with contextlib.suppress(ConnectionClosed):
                while True:
                    last = str(await socket.recv())
        return session, last

    session, text = asyncio.run(client())
    assert session not in text
    last = json.loads(text)
    assert last["turns"]
    segments = parse_rttm(last["rttm"])["stream"]
    told = sorted((turn["start"], turn["end"], turn["speaker"]) for turn in last["turns"])
    assert [(segment.start_s, segment.end_s, segment.speaker) for segment in segments] == told


def test_status_says_what_was_received_and_that_it_is_silent(diarizer: Diarizer) -> None:
    async def client() -> Status:
        listener = Listener()
        async with serving(diarizer) as (_, url), connect(url) as socket:
            await socket.send(bytes(16_000 * 3))
            while not _processed(listener, 1.5):
                listener.hear(await socket.recv())
        return listener.last(Status)

    status = asyncio.run(client())
    assert (status.received_s, status.processed_s, status.backlog_s, status.silent_s) == (1.5, 1.5, 0.0, 1.5)
    assert status.realtime_factor > 0


def test_a_live_client_is_served_beside_greedy_ones(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Three send 32 s at once; the live one has its result before theirs, though it began later."""
    audio = pcm(speech[:32_000], "pcm_s16le")
    greedy = audio * 16

    async def live(url: str) -> float:
        await asyncio.sleep(0.5)
        begun_s = time.monotonic()
        async with connect(url) as socket:
            for begin in range(0, len(audio), 6_400):
                await asyncio.sleep(max(0.0, begun_s + begin / 32_000 - time.monotonic()))
                await socket.send(audio[begin : begin + 6_400])
            await socket.send(b"")
            listener = Listener()
            assert await hear_out(socket, listener) == 1000
        return time.monotonic()

    async def eager(url: str) -> float:
        await talk(url, greedy, Start(), 100_000)
        return time.monotonic()

    async def together() -> list[float]:
        async with serving(diarizer) as (_, url):
            return await asyncio.gather(live(url), eager(url), eager(url), eager(url))

    first, *others = asyncio.run(together())
    assert first < min(others)


def test_revisions_reach_the_client(diarizer: Diarizer, speech: np.ndarray) -> None:
    async def client() -> Listener:
        async with serving(diarizer) as (_, url):
            return await talk(url, pcm(speech, "pcm_s16le"), Start(latency_s=0.5))

    listener = asyncio.run(client())
    revisions = [message for message in listener.messages if isinstance(message, Revision)]
    assert revisions
    assert listener.final.statistics.revisions == len(revisions)
    assert listener.final.statistics.resumes == 0


def test_the_server_goes_on_after_a_defect_of_one_session(
    diarizer: Diarizer, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secrets: list[str] = []

    async def client() -> None:
        async with serving(diarizer) as (server, url):
            async with connect(url) as socket:
                await socket.send(bytes(3_200))
                await socket.recv()
                session = next(iter(server.table.sessions.values()))
                secrets.append(session.id)
                assert session.intake.worker
                monkeypatch.setattr(session.intake.worker.engine, "feed", lambda data: 1 / 0)
                await socket.send(bytes(3_200))
                assert await hear_out(socket, Listener()) == 4500
            await asyncio.sleep(0.2)
            assert not server.table.sessions
            assert (await talk(url, pcm(speech[:48_000], "pcm_s16le"), Start())).final.turns

    asyncio.run(client())
    assert "ZeroDivisionError" in caplog.text
    assert f"session {secrets[0][:6]} failed" in caplog.text
    assert secrets[0] not in caplog.text


def test_nothing_is_kept_of_a_session_that_is_over(diarizer: Diarizer, speech: np.ndarray) -> None:
    """Neither of one that ended as it should, nor of one whose client left and did not come back."""
    kept: list[weakref.ref[object]] = []

    async def client() -> None:
        async with serving(diarizer, resume_s=0.5) as (server, url):
            for ends in (True, False):
                async with connect(url) as socket:
                    await socket.send(pcm(speech[:24_000], "pcm_s16le"))
                    await socket.recv()
                    session = next(iter(server.table.sessions.values()))
                    assert session.intake.worker
                    kept.extend([weakref.ref(session), weakref.ref(session.intake.worker.engine)])
                    del session
                    if ends:
                        await socket.send(b"")
                        assert await hear_out(socket, Listener()) == 1000
            while server.table.sessions:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            gc.collect()
            assert [reference() for reference in kept] == [None] * 4

    asyncio.run(asyncio.wait_for(client(), 60))
