"""What a user can cause: every such error is one clear sentence and derives from TurnstreamError."""

from __future__ import annotations

import unicodedata

from .limits import JOINERS, RefusalCode


class TurnstreamError(Exception):
    """An error of the user's input or surroundings; the message is one sentence that says what to do.

    `str` of it is safe to print and to log: names and text of files and of the network in it obey `printable`.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class AudioError(TurnstreamError):
    """Audio that cannot be taken as it is: wrong type, shape, rate or encoding."""


class WeightsError(TurnstreamError):
    """Weights that cannot be had, or that are not what they should be."""


class EnrollmentError(TurnstreamError):
    """Speech from which no voice can be learned: too little of it, or more than one person's."""


class CorrectionError(TurnstreamError):
    """A correction that cannot be made; `code` says why, for programs.

    speaker: who has the name, where another speaker has it already.
    """

    def __init__(self, code: RefusalCode, message: str, speaker: str | None = None):
        super().__init__(message)
        self.code, self.speaker = code, speaker


class PeopleError(TurnstreamError):
    """A person who is not in the store, or a file of it that is damaged or of another model."""


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey instead of show (control characters, changes of the
    writing direction, line ends) as escapes such as `\\x1b`.
    """
    return "".join(letter if _is_harmless(letter) else letter.encode("unicode_escape").decode() for letter in text)


def shown(value: object) -> str:
    """A short form for error messages that is safe to print and to send: one line, at most 60 characters."""
    plain = value if isinstance(value, str) and value.isidentifier() else ascii(value)
    return plain if len(plain) <= 60 else plain[:57] + "..."


def _is_harmless(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs" or JOINERS.match(letter) is not None
