"""A sounddevice module without PortAudio, whose devices and streams the test holds in its hands."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    """As sounddevice's own."""


def device(name: str, inputs: int = 1, rate_hz: float = 16000.0, host_api: int = 0) -> dict:
    return {"name": name, "hostapi": host_api, "max_input_channels": inputs, "default_samplerate": rate_hz}


class FakeStream:
    """An input stream; `deliver` is what the sound card does."""

    def __init__(self, **options):
        self.options = options
        self.active = False
        self.closed = False
        self.clock_s = 100.0
        self.broken = False

    def start(self):
        self.active = True

    def abort(self):
        self.active = False
        if self.broken:
            raise PortAudioError("device unavailable")

    def close(self):
        self.closed = True
        if self.broken:
            raise PortAudioError("device unavailable")

    def deliver(self, samples: np.ndarray, overflow: bool = False):
        times = SimpleNamespace(inputBufferAdcTime=self.clock_s)
        self.clock_s += len(samples) / self.options["samplerate"]
        buffer = samples.copy()
        self.options["callback"](buffer, len(samples), times, SimpleNamespace(input_overflow=overflow))
        buffer[:] = np.nan  # PortAudio's memory is used again after the callback

    def unplug(self):
        self.active = False
        self.broken = True
        self.options["finished_callback"]()


def fake_sounddevice(devices: list[dict], default: int = 0) -> ModuleType:
    """The module; the last opened stream is `module.stream`."""
    module = ModuleType("sounddevice")
    module.PortAudioError = PortAudioError
    module.default = SimpleNamespace(device=[default, -1])
    module.query_devices = lambda: devices
    module.query_hostapis = lambda: [{"name": "ALSA"}, {"name": "JACK"}]
    module.stream = None

    def open_stream(**options):
        module.stream = FakeStream(**options)
        return module.stream

    module.InputStream = open_stream
    return module
