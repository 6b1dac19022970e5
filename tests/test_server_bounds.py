"""What a session may ask for and what waits for it is bounded. The models are stand-ins."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from server_kit import STOP, Listener, closed_with, hear_out, run, serving
from silent_diarizer import SilentDiarizer
from websockets.asyncio.client import connect

from turnstream.protocol.messages import Config, Limits, Start, Started, decode_server, encode
from turnstream.server.audio_queue import QUEUE_BYTES, QUEUE_S
from turnstream.server.server import model_names
from turnstream.server.worker import End, Lost, joined

CONFIG = Config("pcm_s16le", 16_000, 1, 1.0, True, False, ())


@pytest.fixture
def diarizer() -> Any:
    return SilentDiarizer()


def test_silence_that_a_client_skips_to_counts_as_audio_at_once(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, session_s=1000.0, status_s=60.0) as (server, url):
            async with connect(url) as socket:
                await socket.send(encode(Start()))
                session_id = json.loads(await socket.recv())["session"]
            session = server.table.sessions[session_id]
            for number in range(1, 4):
                ahead = {"session": session_id, "position": min(session.position + 600 * 16_000, number * 600 * 16_000)}
                async with connect(url) as socket:
                    await socket.send(json.dumps({"type": "start", **ahead}))
                    await socket.recv()
            assert session.ended == "session_too_long"
            assert session.length_s == 1200.0

    run(client())


@pytest.mark.parametrize("cuts", [[1], [2, 3], [5, 1, 1]])
def test_pieces_of_audio_are_joined_and_nothing_else_is(cuts: list[int]):
    pieces: list[Any] = [bytes([n]) * cut for n, cut in enumerate(cuts)]
    assert joined([*pieces, Lost(5), Lost(6), *pieces, End("stop")]) == [
        b"".join(pieces),
        Lost(5),
        Lost(6),
        b"".join(pieces),
        End("stop"),
    ]


def test_a_session_of_more_samples_than_can_be_mixed_down_is_refused(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer) as (_, url):
            code, last = await closed_with(url, encode(Start(sample_rate_hz=192_000, channels=128)))
            assert (code, last["message"]) == (
                4400,
                "expected sample_rate times channels of at most 3072000, got 24576000",
            )
            assert (await closed_with(url, encode(Start(sample_rate_hz=48_000, channels=64)), STOP))[0] == 1000

    run(client())


def test_the_work_that_a_session_may_ask_for_is_stated(diarizer: Any):
    async def client() -> None:
        async with serving(diarizer, max_values_per_s=32_000) as (_, url), connect(url) as socket:
            await socket.send(encode(Start(sample_rate_hz=16_000, channels=2)))
            assert json.loads(await socket.recv())["limits"]["values_per_s"] == 32_000
            await socket.send(STOP)
            assert await hear_out(socket, Listener()) == 1000

    run(client())


def test_a_server_that_states_no_bound_of_work_is_understood():
    started = Started(1, "a", False, 0, CONFIG, model_names(), Limits(1, 1.0, 1.0, 1.0))
    values = json.loads(encode(started))
    del values["limits"]["values_per_s"]
    assert decode_server(json.dumps(values)) == (None, started)


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 64), (16_000, 1)])
def test_audio_that_waits_is_bounded_in_bytes_and_in_seconds(diarizer: Any, rate_hz: int, channels: int):
    async def client() -> None:
        async with serving(diarizer) as (server, _):
            start = Start(sample_rate_hz=rate_hz, channels=channels, encoding="pcm_f32le")
            anybody = server.config.tenant_of()
            assert anybody
            session, owner, sent = await server.table.open(start, "here", anybody), object(), 0
            session.attach(owner)
            never = asyncio.Event()
            session.intake.in_pool = lambda *_: never.wait()
            piece = bytes(1 << 20)
            with contextlib.suppress(TimeoutError):
                while sent < 40:
                    await asyncio.wait_for(session.put(owner, piece), 0.2)
                    sent += 1
            assert sent * len(piece) <= QUEUE_BYTES + 2 * len(piece)
            assert session.backlog_s <= QUEUE_S + len(piece) / (4 * rate_hz * channels)
            await server.table.close(session)

    run(client())


@pytest.mark.parametrize(("message_bytes", "frames"), [(1 << 20, 4), (1 << 21, 2), (1 << 28, 1), (100, 4)])
def test_frames_that_wait_are_bounded_in_bytes(diarizer: Any, message_bytes: int, frames: int):
    async def client() -> None:
        async with serving(diarizer, max_message_bytes=message_bytes) as (server, url), connect(url):
            while not server._connections:
                await asyncio.sleep(0.001)
            (connection,) = server._connections
            assert connection.max_queue_high == frames

    run(client())
