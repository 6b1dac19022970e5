"""Choosing an input, and one clear sentence where there is none or no PortAudio."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fake_sounddevice import PortAudioError, device, fake_sounddevice
from turnstream.clients.sources.devices import InputDevice, MicrophoneError, choose_device, input_devices

DEVICES = [
    device("Built-in Output", inputs=0),
    device("Built-in Microphone", rate_hz=44100.0),
    device("USB Mic", inputs=2, rate_hz=48000.0),
    device("USB Mic (rear)", host_api=1),
]


@pytest.fixture
def sounddevice(monkeypatch):
    module = fake_sounddevice(DEVICES, default=2)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_only_inputs_are_listed(sounddevice):
    assert [found.number for found in input_devices()] == [1, 2, 3]
    assert input_devices()[1] == InputDevice(2, "USB Mic", "ALSA", 2, 48000, True)


@pytest.mark.parametrize(
    ("choice", "number"), [(None, 2), (1, 1), ("3", 3), ("built", 1), ("usb mic", 2), ("REAR", 3), (" usb MIC ", 2)]
)
def test_a_device_is_chosen_by_number_or_name(sounddevice, choice, number):
    assert choose_device(choice).number == number


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (0, r"expected the number of an input out of 1 \(Built-in Microphone, ALSA\), .*, got 0"),
        ("99", "got 99"),
        (-1, "got -1"),
        ("webcam", "expected part of the name of an input out of 1 .*, got 'webcam'"),
        ("mic", "'mic' is the name of 3 inputs, choose one by its number: 1 "),
    ],
)
def test_a_choice_that_cannot_be_met_names_what_there_is(sounddevice, choice, message):
    with pytest.raises(MicrophoneError, match=message):
        choose_device(choice)


def test_the_first_input_is_taken_where_there_is_no_default(sounddevice):
    sounddevice.default.device = [-1, -1]
    assert choose_device().number == 1


@pytest.mark.parametrize("devices", [[], DEVICES[:1]])
def test_no_microphone(monkeypatch, devices):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(devices, default=-1))
    assert input_devices() == []
    with pytest.raises(MicrophoneError, match="no microphone was found"):
        choose_device()


def test_devices_that_cannot_be_listed(sounddevice):
    def fail():
        raise PortAudioError("host error")

    sounddevice.query_devices = fail
    with pytest.raises(MicrophoneError, match="cannot be listed: host error"):
        input_devices()


def test_no_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MicrophoneError, match="pip install sounddevice"):
        choose_device()


def test_no_portaudio_is_one_sentence_and_only_when_the_microphone_is_wanted(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import turnstream.clients.sources.file, turnstream.clients.sources.microphone
from turnstream.clients.sources.devices import MicrophoneError
try:
    turnstream.clients.sources.microphone.Microphone()
except MicrophoneError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "apt install libportaudio2" in done.stdout
    assert "brew install portaudio" in done.stdout
    assert done.stdout.count("\n") == 1
