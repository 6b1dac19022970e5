"""Standard input as a source: WAVs with and without an end, bare samples, Ctrl-C, and one sentence for the rest."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from turnstream.clients.options import InputOptions
from turnstream.clients.sources.stdin import StdinSource
from turnstream.errors import AudioError


class Feed:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def feed(self, samples: np.ndarray) -> list[Any]:
        self.blocks.append(samples)
        return []

    def gap(self, samples: int) -> list[Any]:
        raise AssertionError


class Pipe(io.BytesIO):
    """Gives no more than `most` bytes at once, as a pipe may."""

    def __init__(self, data: bytes, most: int = 1000):
        super().__init__(data)
        self.most = most

    def read1(self, size: int = -1) -> bytes:
        return super().read1(min(size, self.most))


def noise(samples: int, channels: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((samples, channels))).astype(np.float32)


def wav(samples: np.ndarray, subtype: str, size_said: int | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 44_100, subtype, format="WAV", **options)
    data = bytearray(file.getvalue())
    if size_said is not None:
        at = data.index(b"data") + 4
        data[at : at + 4] = size_said.to_bytes(4, "little")
    return bytes(data)


def heard(source: StdinSource) -> np.ndarray:
    feed = Feed()
    with source:
        positions = [status.position_s for _, status in source.steps(feed)]
    assert positions == sorted(positions)
    scale = 2.0**15 if feed.blocks[0].dtype == np.int16 else 2.0**31 if feed.blocks[0].dtype == np.int32 else 1.0
    return np.concatenate(feed.blocks) / scale


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("size_said", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_is_heard_whatever_length_it_claims(subtype: str, size_said: int | None) -> None:
    samples = noise(5_000, 2)
    source = StdinSource(InputOptions(), None, False, Pipe(wav(samples, subtype, size_said), 997))
    assert (source.rate_hz, source.channels, source.total_s) == (44_100, 2, None)
    found = heard(source)[:5_000]  # without a length, what follows the samples is taken for some
    np.testing.assert_allclose(found, samples, atol=2**-15)


def test_what_follows_the_samples_is_not_heard() -> None:
    data = wav(noise(100, 1), "PCM_16") + b"LIST\x0a\0\0\0INFOabcdef"
    assert len(heard(StdinSource(InputOptions(), None, False, Pipe(data)))) == 100


@pytest.mark.parametrize(("encoding", "dtype"), [("pcm_s16le", "<i2"), ("pcm_s32le", "<i4"), ("pcm_f32le", "<f4")])
def test_bare_samples_are_what_they_are_said_to_be(encoding: str, dtype: str) -> None:
    options = InputOptions(raw=True, rate_hz=8_000, channels=3, encoding=encoding)
    samples = noise(700, 3) * {"<i2": 2**15, "<i4": 2**31}.get(dtype, 1)
    data = samples.astype(dtype).tobytes() + b"\0"  # the last sample is cut off
    source = StdinSource(options, 2, False, Pipe(data))
    assert (source.rate_hz, source.channels, source.channel) == (8_000, 3, 1)
    np.testing.assert_allclose(heard(source), noise(700, 3), atol=2**-15)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "standard input is empty: expected a WAV"),
        (b"fLaC" + bytes(100), "standard input is no WAV: expected a WAV with samples of 16, 24 or 32 bits, or --raw"),
        (wav(noise(10, 1), "PCM_U8"), "got format 1 with 8 bits on standard input"),
        (wav(noise(10, 1), "DOUBLE"), "got format 3 with 64 bits on standard input"),
        (wav(noise(10, 1), "PCM_16")[:30], "a WAV without samples"),
    ],
)
def test_what_cannot_be_heard_is_one_sentence(data: bytes, said: str) -> None:
    with pytest.raises(AudioError, match=said):
        StdinSource(InputOptions(), None, False, Pipe(data))


def test_a_rate_and_a_channel_that_cannot_be_are_refused() -> None:
    for options, channel, said in (
        (InputOptions(raw=True, rate_hz=4_000), None, "a rate in Hz of 8000 to 192000, got 4000"),
        (InputOptions(raw=True), 2, "expected a channel of standard input from 1 to 1, got 2"),
    ):
        with pytest.raises(AudioError, match=said):
            StdinSource(options, channel, False, Pipe(b"\0"))


def test_ctrl_c_ends_it_with_what_came() -> None:
    class Endless(Pipe):
        def read1(self, size: int = -1) -> bytes:
            return bytes(size)

    source = StdinSource(InputOptions(raw=True), None, False, Endless(b""))
    feed = Feed()
    with source:
        for n, _ in enumerate(source.steps(feed)):
            if n == 2:
                os.kill(os.getpid(), signal.SIGINT)
    assert source.stopped
    assert len(feed.blocks) == 3


def test_samples_are_heard_as_they_come() -> None:
    """Not when a block is full: a pipe may be live."""
    asked: list[int] = []

    class Slow(Pipe):
        def read1(self, size: int = -1) -> bytes:
            asked.append(len(feed.blocks))
            return super().read1(200)

    feed = Feed()
    with StdinSource(InputOptions(raw=True), None, False, Slow(bytes(1000))) as source:
        list(source.steps(feed))
    assert asked == [0, 1, 2, 3, 4, 5]


def test_a_terminal_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(Pipe):
        def isatty(self) -> bool:
            return True

    with pytest.raises(AudioError, match=r"^standard input is a terminal: expected audio, as in `arecord"):
        StdinSource(InputOptions(), None, False, Terminal(b""))


def test_it_keeps_the_pace_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    paces: list[int] = []

    def paced(blocks: Iterator[np.ndarray], rate_hz: int) -> Iterator[np.ndarray]:
        paces.append(rate_hz)
        return blocks

    monkeypatch.setattr("turnstream.clients.sources.stdin.paced", paced)
    for realtime in (False, True):
        heard(StdinSource(InputOptions(raw=True), None, realtime, Pipe(bytes(100))))
    assert paces == [16_000]
