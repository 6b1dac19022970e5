"""One recording of a batch: heard as `turnstream file` hears it; its results are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from turnstream.errors import TurnstreamError
from turnstream.events import Final

from ..engine import EngineStream
from ..exports.document import Document
from ..exports.formats import result_json, rttm
from ..options import EngineOptions, NameOptions
from ..people import Names
from ..sources.source import RecordingSource
from .plan import Job

if TYPE_CHECKING:
    from turnstream.diarizer import Diarizer


def diarize(
    job: Job, diarizer: Diarizer, options: EngineOptions, heard: Callable[[float], object] = lambda seconds: None
) -> None:
    """Write the results of a recording; `heard` is told how many seconds of it were heard so far.

    Raises TurnstreamError, and writes nothing, where it cannot be read to its end or a result cannot be written.
    """
    with RecordingSource(job.recording, options.channel, realtime=False) as source:
        stream = EngineStream.open(diarizer, options, source, (), Names(NameOptions()), live=False)
        for _, status in stream.steps(source):
            heard(status.position_s)
        stream.flush()
        write(job, replace(stream.close(), recording=job.recording.stem))


def write(job: Job, final: Final) -> None:
    """Both results of a recording, the RTTM last."""
    try:
        job.rttm.parent.mkdir(parents=True, exist_ok=True)
        document = Document(job.recording.stem, final)
        write_whole(job.json, result_json(document))
        write_whole(job.rttm, rttm(document))
    except OSError as error:
        raise TurnstreamError(f"cannot write {job.rttm}: {error.strerror or error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """A file that readers find whole or not at all, even where two write it at the same time. Raises OSError."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with new.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def clear_leftovers(job: Job) -> None:
    """Remove what a crash left of earlier tries."""
    for path in (job.rttm, job.json):
        for new in path.parent.glob(f".{_literal(path.name)}.*.new"):
            with suppress(OSError):
                new.unlink()


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
