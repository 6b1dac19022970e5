"""The inputs of this machine, through PortAudio, and how a user names one of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from turnstream.errors import TurnstreamError


class MicrophoneError(TurnstreamError):
    """No PortAudio, no such device, or one that cannot be opened."""


@dataclass(frozen=True)
class InputDevice:
    """One input as PortAudio describes it."""

    number: int
    name: str
    host_api: str
    channels: int
    rate_hz: int
    is_default: bool


def portaudio() -> ModuleType:
    """The sounddevice module, imported on first use: everything but the microphone works without PortAudio."""
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise MicrophoneError("the microphone needs sounddevice: pip install sounddevice") from None
    except OSError:
        raise MicrophoneError(
            "the microphone needs the PortAudio library: install it with `apt install libportaudio2` (Debian, Ubuntu) "
            "or `brew install portaudio` (macOS)"
        ) from None
    except Exception as error:
        raise MicrophoneError(f"PortAudio does not start: {error}") from None


def input_devices() -> list[InputDevice]:
    """Every device with an input, in PortAudio's order; empty where there is none."""
    sounddevice = portaudio()
    try:
        host_apis = [api["name"] for api in sounddevice.query_hostapis()]
        default = sounddevice.default.device[0]
        return [
            InputDevice(
                number=number,
                name=device["name"],
                host_api=host_apis[device["hostapi"]],
                channels=device["max_input_channels"],
                rate_hz=round(device["default_samplerate"]),
                is_default=number == default,
            )
            for number, device in enumerate(sounddevice.query_devices())
            if device["max_input_channels"] > 0
        ]
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(f"the inputs of this machine cannot be listed: {error}") from None


def choose_device(choice: int | str | None = None) -> InputDevice:
    """The default input, or the one with this number, or the one whose name is or contains `choice` (case ignored)."""
    devices = input_devices()
    if not devices:
        raise MicrophoneError("no microphone was found: connect one and check that the system lists it as an input")
    if choice is None:
        return next((device for device in devices if device.is_default), devices[0])
    if isinstance(choice, int) or choice.strip().isdecimal():
        return _by_number(devices, int(choice))
    return _by_name(devices, choice.strip())


def _by_number(devices: list[InputDevice], number: int) -> InputDevice:
    for device in devices:
        if device.number == number:
            return device
    raise MicrophoneError(f"expected the number of an input out of {_listed(devices)}, got {number}")


def _by_name(devices: list[InputDevice], name: str) -> InputDevice:
    wanted = name.casefold()
    same = [device for device in devices if device.name.casefold() == wanted]
    found = same or [device for device in devices if wanted in device.name.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise MicrophoneError(f"expected part of the name of an input out of {_listed(devices)}, got '{name}'")
    raise MicrophoneError(f"'{name}' is the name of {len(found)} inputs, choose one by its number: {_listed(found)}")


def _listed(devices: list[InputDevice]) -> str:
    return ", ".join(f"{device.number} ({device.name}, {device.host_api})" for device in devices)
