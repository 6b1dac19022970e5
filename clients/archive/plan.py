"""Which recordings a batch has, where their results go, and which of them are there already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf  # type: ignore[import-untyped]

from turnstream.errors import AudioError, TurnstreamError

from ..sources.file import AudioFile

MORE_SUFFIXES = {"aif", "aifc", "oga", "opus", "snd", "wave"}  # beside the names of libsndfile's formats
MANIFEST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Job:
    """One recording and the path of its results, without their suffix."""

    recording: Path
    result: Path

    @property
    def rttm(self) -> Path:
        return self.result.with_name(self.result.name + ".rttm")

    @property
    def json(self) -> Path:
        return self.result.with_name(self.result.name + ".json")

    @property
    def done(self) -> bool:
        """Whether both results are there, and newer than the recording. Raises OSError."""
        paths = (self.rttm, self.json)
        if not all(path.exists() for path in paths):
            return False
        return min(path.stat().st_mtime for path in paths) >= self.recording.stat().st_mtime


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording without results, and why."""

    job: Job
    reason: str


@dataclass(slots=True)
class Plan:
    """`waiting` with their seconds of audio, those `done` before, and what cannot be read."""

    waiting: dict[Job, float]
    done: int
    failures: list[Failure]

    @property
    def total_s(self) -> float:
        """Audio to diarize."""
        return sum(self.waiting.values())


def make_plan(source: Path, out: Path) -> Plan:
    """All recordings of a folder or a manifest. Raises TurnstreamError where there are none."""
    jobs = list(_jobs(source, out))
    if not jobs:
        raise TurnstreamError(f"{source} names no recording: expected 1 or more")
    _check_results(jobs)
    plan = Plan({}, 0, [])
    for job in jobs:
        try:
            if job.done:
                plan.done += 1
                continue
            with AudioFile(job.recording) as file:
                plan.waiting[job] = file.duration_s
        except AudioError as error:
            plan.failures.append(Failure(job, str(error)))
        except OSError as error:
            plan.failures.append(Failure(job, f"{job.recording} cannot be read: {error.strerror or error}"))
    return plan


def _jobs(source: Path, out: Path) -> Iterator[Job]:
    if source.is_dir():
        for path in _recordings(source, out):
            yield Job(path, out / path.relative_to(source).with_suffix(""))
        return
    for line in _lines(source):
        path = Path(line)
        inside = not path.is_absolute() and ".." not in path.parts
        yield Job(source.parent / path, out / (path if inside else Path(path.name)).with_suffix(""))


def _recordings(folder: Path, out: Path) -> Iterator[Path]:
    """Every file with the suffix of an audio format, in order; nothing hidden, and nothing of the results' folder."""
    suffixes = {f".{name.lower()}" for name in sf.available_formats()} - {".raw"} | {f".{n}" for n in MORE_SUFFIXES}
    avoid = out.resolve()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (Path(place) / n).resolve() != avoid)
        yield from (
            Path(place) / n for n in sorted(files) if not n.startswith(".") and Path(n).suffix.lower() in suffixes
        )


def _lines(manifest: Path) -> list[str]:
    try:
        with manifest.open("rb") as file:
            text = file.read(MANIFEST_BYTES).decode()
    except OSError as error:
        raise TurnstreamError(f"{manifest} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TurnstreamError(f"{manifest} is no folder and no list of paths, one a line") from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _check_results(jobs: list[Job]) -> None:
    """Each recording needs results of its own."""
    owner: dict[Path, Path] = {}
    for job in jobs:
        other = owner.setdefault(job.result, job.recording)
        if other != job.recording:
            raise TurnstreamError(f"{other} and {job.recording} would both have {job.rttm}: rename one of them")
