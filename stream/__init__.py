"""turnstream: who is speaking now. Streaming speaker diarization that ends equal to the offline result.

    from turnstream import Diarizer

    with Diarizer() as diarizer:
        session = diarizer.session(sample_rate_hz=48_000)
        for chunk in audio:  # NumPy arrays or bytes of any length
            for event in session.feed(chunk):
                print(event)
        print(session.close().to_rttm("meeting"))

For a recording, `diarize("meeting.wav")` is the final result. The names below are the public interface; importing the
package loads none of them before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnstream.clients.one_call import diarize
    from turnstream.clients.remote.client import Client
    from turnstream.clients.remote.connection import ClientError
    from turnstream.clients.words.spoken import Line, SpokenLines, Word

    from .diarizer import Diarizer
    from .errors import AudioError, CorrectionError, EnrollmentError, PeopleError, TurnstreamError, WeightsError
    from .events import Activity, Event, Final, Revision, Speaker, Statistics, Talk, Turn, to_json
    from .people.person import Person
    from .people.store import PeopleStore
    from .protocol.messages import Start, Started, Status
    from .session import Session
    from .stitching.config import StitcherConfig

_HOMES = {
    "clients.one_call": ("diarize",),
    "clients.remote.client": ("Client",),
    "clients.remote.connection": ("ClientError",),
    "diarizer": ("Diarizer",),
    "clients.words.spoken": ("Line", "SpokenLines", "Word"),
    "errors": ("AudioError", "CorrectionError", "EnrollmentError", "PeopleError", "TurnstreamError", "WeightsError"),
    "events": ("Activity", "Event", "Final", "Revision", "Speaker", "Statistics", "Talk", "Turn", "to_json"),
    "people.person": ("Person",),
    "people.store": ("PeopleStore",),
    "protocol.messages": ("Start", "Started", "Status"),
    "session": ("Session",),
    "stitching.config": ("StitcherConfig",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Activity",
    "AudioError",
    "Client",
    "ClientError",
    "CorrectionError",
    "Diarizer",
    "EnrollmentError",
    "Event",
    "Final",
    "Line",
    "PeopleError",
    "PeopleStore",
    "Person",
    "Revision",
    "Session",
    "Speaker",
    "SpokenLines",
    "Start",
    "Started",
    "Statistics",
    "Status",
    "StitcherConfig",
    "Talk",
    "Turn",
    "TurnstreamError",
    "WeightsError",
    "Word",
    "diarize",
    "to_json",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
