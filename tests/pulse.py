"""A microphone without hardware: a private PulseAudio server whose null sink is played into and recorded from.

Used as `with pulse_server(tmp_path) as pulse:`. Programs started with `pulse.env` see one input, the sink's monitor,
as their default ALSA device; `pulse.play(path)` plays a recording into it at real-time speed.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDED = ("pulseaudio", "pactl", "paplay")
PULSE_ALSA_PLUGIN = "libasound_module_pcm_pulse.so"
LIBRARIES = (Path("/usr/lib"), Path("/usr/lib64"))
ASOUNDRC = """pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.pulse { type pulse }
ctl.pulse { type pulse }
"""


@dataclass(frozen=True)
class PulseServer:
    """A running server: `env` for every program that shall hear it."""

    env: dict[str, str]
    process: subprocess.Popen[bytes]

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Start playing a recording (any format paplay reads) into the microphone; wait() on what is returned."""
        return subprocess.Popen(["paplay", "--latency-msec=500", "--device=sink", str(path)], env=self.env)

    def unplug(self) -> None:
        """Take the microphone away in the middle of everything: the whole server dies."""
        self.process.kill()
        self.process.wait()


def missing() -> str | None:
    """Why there can be no virtual microphone here, or None."""
    for program in NEEDED:
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: pulseaudio pulseaudio-utils)"
    if ctypes.util.find_library("portaudio") is None:
        return "the PortAudio library is not installed (Debian: libportaudio2)"
    if not any(any(folder.glob(f"**/alsa-lib/{PULSE_ALSA_PLUGIN}")) for folder in LIBRARIES):
        return f"{PULSE_ALSA_PLUGIN} is not installed (Debian: libasound2-plugins)"
    return None


@contextlib.contextmanager
def pulse_server(folder: Path) -> Iterator[PulseServer]:
    """A server of its own in `folder` (short path: its socket lives there); skips the test where there can be none."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"no virtual microphone: {reason}")
    env = _environment(folder)
    process = subprocess.Popen(_command(folder), env=env, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, env)
        yield PulseServer(env, process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    (folder / ".asoundrc").write_text(ASOUNDRC)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "ALSA_", "DBUS_"))}
    return env | {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PULSE_SERVER": f"unix:{runtime}/native",
        "PULSE_SOURCE": "sink.monitor",
        "PULSE_SINK": "sink",
    }


def _command(folder: Path) -> list[str]:
    modules = [
        f"module-native-protocol-unix auth-anonymous=1 socket={folder}/run/native",
        "module-null-sink sink_name=sink rate=48000 channels=2",
    ]
    loads = [f"--load={module}" for module in modules]
    return ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=no", *loads]


def _wait_until_ready(process: subprocess.Popen[bytes], env: dict[str, str], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        asked = subprocess.run(["pactl", "list", "short", "sources"], env=env, capture_output=True, text=True)
        if "sink.monitor" in asked.stdout:
            return
        time.sleep(0.1)
    pytest.fail(f"pulseaudio did not start within {limit_s} s (exit code {process.poll()})")
