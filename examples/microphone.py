"""The default microphone until Ctrl-C: python examples/microphone.py (needs PortAudio: apt install libportaudio2)"""

import queue
import signal
import threading
from collections.abc import Iterator

import numpy as np
import sounddevice

from turnstream import Activity, Diarizer, Turn


def microphone(rate_hz: int) -> Iterator[np.ndarray]:
    """Blocks of 0.1 s, (N, 1) float32, until Ctrl-C."""
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    blocks: queue.Queue[np.ndarray] = queue.Queue()
    heard = sounddevice.InputStream(
        samplerate=rate_hz,
        blocksize=rate_hz // 10,
        channels=1,
        dtype="float32",
        callback=lambda samples, frames, time, status: blocks.put(samples.copy()),
    )
    with heard:
        while not stopped.is_set():
            yield blocks.get()


def main() -> None:
    rate_hz = int(sounddevice.query_devices(kind="input")["default_samplerate"])
    with Diarizer() as diarizer:
        session = diarizer.session(sample_rate_hz=rate_hz, activity=True)
        print(f"listening at {rate_hz} Hz, Ctrl-C ends", flush=True)
        for block in microphone(rate_hz):
            for event in session.feed(block):
                match event:
                    case Turn(state="committed"):
                        print(f"{event.start_s:8.2f} - {event.end_s:8.2f}  {event.speaker or '?'}", flush=True)
                    case Activity(overlap=True):
                        print(f"{event.start_s:8.2f}   two people at once", flush=True)
        print(session.close().to_rttm("microphone"), end="")


if __name__ == "__main__":
    main()
