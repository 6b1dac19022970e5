"""Clients at real time: they send speech as it is spoken and note when what follows from it arrives.

A window is complete with a known sample, and a turn that goes on at its end is told with the time of the window's last
frame, so the message names its window. Emission lag is the time from when that sample was due to be sent (not when a
late client sent it) to when the message arrived; what the algorithm must wait for lies before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from turnstream.events import Final, Turn
from turnstream.protocol.messages import decode_server
from turnstream.windows import (
    FRAME_OFFSET_SAMPLES,
    FRAME_SAMPLES,
    HOP_FRAMES,
    SAMPLE_RATE_HZ,
    WINDOW_FRAMES,
    WINDOW_SAMPLES,
    WindowSchedule,
    hop_seconds,
)

CHUNK_S = 0.1
WARM_S = 3.0  # at the start of each session, not counted: all begin within it
BEHIND_S = (WINDOW_SAMPLES - WINDOW_FRAMES * FRAME_SAMPLES - FRAME_OFFSET_SAMPLES) / SAMPLE_RATE_HZ
MASK_BYTES = 4  # of every frame that a client sends


@dataclass
class Measured:
    """What the clients of one run saw.

    hop_frames: of their sessions
    lags_s, behind_s: from when a window's last sample was due to be sent, and from when its last frame was spoken, to
        when what it tells arrived
    down, up_bytes: bytes on the wire, frame headers included; down by type of message
    """

    hop_frames: int = HOP_FRAMES
    lags_s: list[float] = field(default_factory=list)
    behind_s: list[float] = field(default_factory=list)
    finals: int = 0
    down: Counter[str] = field(default_factory=Counter)
    up_bytes: int = 0


def window_end_s(turn_end_s: float, state: str, hop_frames: int = HOP_FRAMES) -> float | None:
    """End of the window that told a turn like this, if somebody talks up to its last frame; else None."""
    first_end_s, hop_s = (
        samples / SAMPLE_RATE_HZ for samples in (WindowSchedule(hop_frames).next_end, hop_frames * FRAME_SAMPLES)
    )
    end_s = turn_end_s + BEHIND_S
    number = round((end_s - first_end_s) / hop_s)
    return end_s if abs(end_s - first_end_s - number * hop_s) < 0.0015 and state == "provisional" else None


def frame_bytes(payload: int) -> int:
    """Bytes of an unmasked websocket frame (RFC 6455, 5.2)."""
    return payload + (2 if payload < 126 else 4 if payload < 1 << 16 else 10)


async def session(url: str, audio: bytes, wait_s: float, measured: Measured, query: str = "") -> None:
    """One client at real time."""
    await asyncio.sleep(wait_s)
    async with connect(f"{url}/v1{query}", max_size=None, ping_timeout=None) as socket:
        begun_s = time.monotonic()
        listening = asyncio.create_task(listen(socket, begun_s, measured))
        chunk_bytes = round(CHUNK_S * SAMPLE_RATE_HZ) * 2
        for number in range(len(audio) // chunk_bytes):
            due_s = begun_s + (number + 1) * CHUNK_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            with contextlib.suppress(ConnectionClosed):
                await socket.send(audio[number * chunk_bytes : (number + 1) * chunk_bytes])
                measured.up_bytes += frame_bytes(chunk_bytes) + MASK_BYTES
        with contextlib.suppress(ConnectionClosed):
            await socket.send('{"type":"stop"}')
        await listening


async def listen(socket: ClientConnection, begun_s: float, measured: Measured) -> None:
    """Notes when each window's turns arrive."""
    seen: set[float] = set()
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            now_s = time.monotonic() - begun_s
            message = decode_server(text)[1]
            measured.down[type(message).__name__.lower()] += frame_bytes(len(str(text).encode()))
            told = isinstance(message, Turn) and window_end_s(message.end_s, message.state, measured.hop_frames)
            if told and told not in seen:
                seen.add(told)
                due_s = -(-round(told * SAMPLE_RATE_HZ) // round(CHUNK_S * SAMPLE_RATE_HZ)) * CHUNK_S
                if told > WARM_S:
                    measured.lags_s.append(now_s - due_s)
                    measured.behind_s.append(now_s - told + BEHIND_S)
            measured.finals += isinstance(message, Final)


async def run(url: str, sessions: int, seconds: float, speech: np.ndarray, hop_frames: int = HOP_FRAMES) -> Measured:
    """So many clients at once, each with another part of the speech, begun at random moments of two hops.

    The server may not make their hops longer.
    """
    chance, measured = random.Random(sessions), Measured(hop_frames)
    samples, hop_s = round(seconds * SAMPLE_RATE_HZ), hop_seconds(hop_frames)
    query = f"?hop={hop_s}&max_hop={hop_s}"
    clients = []
    for number in range(sessions):
        part = np.roll(speech, -number * len(speech) // sessions)
        audio = np.resize(part, samples).astype("<i2").tobytes()
        clients.append(session(url, audio, chance.uniform(0, 2 * hop_s), measured, query))
    await asyncio.gather(*clients)
    return measured


async def both_kinds_of_turns(url: str, speech: np.ndarray) -> dict[str, Measured]:
    """What one session with provisional turns and one without sends and gets; their windows share calls."""
    queries = {"provisional": "?provisional=true", "committed": "?provisional=false"}
    seen, audio = {name: Measured() for name in queries}, speech.astype("<i2").tobytes()
    await asyncio.gather(*(session(url, audio, 0.0, seen[name], query) for name, query in queries.items()))
    assert all(measured.finals == 1 for measured in seen.values()), "expected a final result of each session"
    return seen
