"""What a command was asked to do: frozen values that clients/cli.py makes of the command line and others only read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from turnstream.edits import Edit
from turnstream.server.config import ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOptions:
    """Own checkpoints; None is the published one."""

    segmentation: str | None = None
    embedding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions(WeightOptions):
    """What a session of the engine is opened with. `channel` counts from 1, None mixes all."""

    hop_s: float = 0.5
    latency_s: float = 1.0
    channel: int | None = None
    activity: bool = False
    min_speakers: int | None = None
    max_speakers: int | None = None
    speaker_per_channel: bool = False
    force_speaker: bool = False
    revision_interval_s: float = 1.0
    revision_reach_s: float = math.inf
    stitcher: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameOptions:
    """`known`: people to recognize, () is all of them, None nobody. `save`: (speaker, name) pairs, named at the end."""

    known: tuple[str, ...] | None = None
    save: tuple[tuple[str, str], ...] = ()
    replace: bool = False
    people: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where results go beside the screen. {name} in a path is the recording's name.

    out, picture: files in the format of their ending. keep: a folder for results that can be named later. words: a
    transcript whose words get speakers. renumber: in files, speakers have numbers without gaps.
    """

    json: bool = False
    out: tuple[str, ...] = ()
    picture: tuple[str, ...] = ()
    live_rttm: str | None = None
    keep: Path | None = None
    words: str | None = None
    renumber: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrophoneOptions:
    """Which microphone, for how long, and the WAV file that keeps its audio."""

    device: str | None = None
    seconds: float | None = None
    record: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What standard input holds: a WAV, or bare samples (`raw`) of this rate, these channels and this encoding."""

    raw: bool = False
    rate_hz: int = 16_000
    channels: int = 1
    encoding: str = "pcm_s16le"


@dataclass(frozen=True, slots=True)
class FileOptions:
    """`turnstream file`; and `demo`, whose path is the demo recording's. A path of - is standard input."""

    paths: tuple[Path, ...]
    realtime: bool
    stdin: InputOptions = field(default_factory=InputOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    names: NameOptions = field(default_factory=NameOptions)
    outputs: OutputOptions = field(default_factory=OutputOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """`turnstream batch`: a folder or a manifest, and the folder of the results. `jobs`: None is one a core."""

    source: Path
    out: Path
    jobs: int | None = None
    retries: int = 2
    ray: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True, slots=True)
class MicOptions:
    """`turnstream mic`."""

    microphone: MicrophoneOptions
    engine: EngineOptions
    names: NameOptions
    outputs: OutputOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """`turnstream connect`; `file` is None for the microphone. `known` are people whom the server knows."""

    url: str
    file: Path | None
    realtime: bool
    token_file: str | None
    hop_s: float
    latency_s: float
    channel: int | None
    activity: bool
    min_speakers: int | None
    max_speakers: int | None
    known: tuple[str, ...]
    microphone: MicrophoneOptions
    outputs: OutputOptions


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """`turnstream serve`; with `ray`, the address of a cluster, `replicas` are the least and the most servers there."""

    config: ServerConfig
    weights: WeightOptions = field(default_factory=WeightOptions)
    log_level: str = "info"
    log_format: str = "text"
    ray: str | None = None
    replicas: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollOptions:
    """`turnstream enroll`: the part of the recordings from `begin_s` to `end_s`; `channel` counts from 1."""

    name: str
    paths: tuple[Path, ...]
    begin_s: float | None
    end_s: float | None
    channel: int | None
    replace: bool
    people: str | None
    weights: WeightOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleOptions:
    """`turnstream people`: an action on names, or on files for import."""

    action: str
    names: tuple[str, ...]
    to: str | None
    people: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """`turnstream name` and `words`: a kept or written result, names and corrections, a transcript, outputs.

    save: keep the voices too, in the store `people`, in place of known ones where `replace` says so.
    """

    result: Path
    outputs: OutputOptions
    corrections: tuple[tuple[str, str | None] | Edit, ...] = ()
    save: bool = False
    replace: bool = False
    people: str | None = None

    @property
    def names(self) -> tuple[tuple[str, str | None], ...]:
        """The names by speaker."""
        return tuple(one for one in self.corrections if isinstance(one, tuple))

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The corrections that are no names."""
        return tuple(one for one in self.corrections if not isinstance(one, tuple))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """`turnstream score`: RTTM files or results, and the parts of the recordings that count (UEM)."""

    reference: Path
    hypothesis: Path
    uem: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """`turnstream models`: an action on weights by name, () is all."""

    action: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions(WeightOptions):
    """`turnstream tune`."""

    paths: tuple[str, ...]
    out: str | None = None
    trials: int = 60
    hop_s: float = 0.5
    latency_s: float = 1.0
    held_out: float = 0.4
    seed: int = 0
