"""One recording of a batch: heard as `turnstream file` hears it; its results are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from turnstream.errors import TurnstreamError
from turnstream.events import Final
from turnstream.files import leftovers, write_whole

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


def clear_leftovers(job: Job) -> None:
    """Remove what a crash left of earlier tries."""
    for path in (job.rttm, job.json):
        for new in leftovers(path):
            with suppress(OSError):
                new.unlink()
