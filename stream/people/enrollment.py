"""Enrolling a voice: the one person who talks in a stream, or an error that says why there is not exactly one."""

from __future__ import annotations

from typing import Protocol

from ..errors import EnrollmentError
from ..events import Final
from ..stitching.profile import Profile

LEAST_CLEAN_S = 3.0  # benchmarks/identify.py: below that, voices heard in a room are missed too often
OTHERS_SHARE = 0.1  # of the clean speech that others may have: more is a second person, not a model error


class Stream(Protocol):
    """The part of a session that enrollment needs."""

    @property
    def voices(self) -> dict[str, Profile]:
        """Voices by speaker, such as S1."""

    def close(self) -> Final:
        """End the stream."""


def sole_voice(stream: Stream) -> Profile:
    """End the stream; returns the voice of the only person who talks in it.

    Raises EnrollmentError if several people talk, or nobody talks long enough.
    """
    stream.close()
    voices = sorted(stream.voices.items(), key=lambda item: -item[1].clean_s)
    total_s = sum(voice.clean_s for _, voice in voices)
    talkers = [(speaker, voice.clean_s) for speaker, voice in voices if voice.clean_s >= OTHERS_SHARE * total_s]
    people = [f"{speaker} for {clean_s:.1f} s" for speaker, clean_s in talkers]
    if len(people) > 1:
        raise EnrollmentError(
            f"expected one person, got {len(people)} ({', '.join(people)}): choose a section in which only one talks"
        )
    return checked_voice(voices[0][1] if voices else None)


def checked_voice(voice: Profile | None) -> Profile:
    """The voice, if it is based on enough speech. Raises EnrollmentError otherwise."""
    clean_s = voice.clean_s if voice else 0.0
    if voice is None or round(clean_s, 1) < LEAST_CLEAN_S:
        raise EnrollmentError(
            f"expected at least {LEAST_CLEAN_S:g} s of one person's clean speech, got {clean_s:.1f} s"
        )
    return voice
