"""What the words of a command line stand for: each function makes a value of one, or says what was expected."""

from __future__ import annotations

import argparse
import re

from turnstream.edits import NEW, Assign, Edit, Merge
from turnstream.errors import TurnstreamError
from turnstream.events import speaker_name, speaker_number
from turnstream.limits import MAX_HOP_S, MAX_LATENCY_S, MIN_HOP_S, MIN_LATENCY_S
from turnstream.people.naming import check_name


def hop(text: str) -> float:
    """Seconds that the engine allows for a hop."""
    value = _number(text)
    if not MIN_HOP_S <= value <= MAX_HOP_S:
        raise argparse.ArgumentTypeError(f"hop must be {MIN_HOP_S:g} to {MAX_HOP_S:g} s, got {text}")
    return value


def latency(text: str) -> float:
    """Seconds that the engine allows for a latency."""
    value = _number(text)
    if not MIN_LATENCY_S <= value <= MAX_LATENCY_S:
        raise argparse.ArgumentTypeError(f"latency must be {MIN_LATENCY_S:g} to {MAX_LATENCY_S:g} s, got {text}")
    return value


def not_negative(text: str) -> float:
    """Seconds, 0 or more; inf too."""
    value = _number(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"expected 0 seconds or more, got {text}")
    return value


def seconds(text: str) -> float:
    """More than 0 seconds."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected more than 0 seconds, got {text}")
    return value


def moment(text: str) -> float:
    """Seconds from the start of a recording."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected 0 seconds or more, got {text}")
    return value


def saved(text: str) -> tuple[str, str]:
    """A speaker and a name: S2=Anna."""
    speaker, name = naming(text)
    if name is None:
        raise argparse.ArgumentTypeError(f"expected a speaker and a name like S2=Anna, got {text}")
    return speaker, name


def naming(text: str) -> tuple[str, str | None]:
    """The same; S2= takes a name away."""
    tag, equals, name = text.partition("=")
    speaker = speaker_name(speaker_number(tag))
    if speaker is None or not equals:
        raise argparse.ArgumentTypeError(f"expected a speaker and a name like S2=Anna, got {text}")
    try:
        return speaker, check_name(name) if name else None
    except TurnstreamError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def correction(text: str) -> tuple[str, str | None] | Edit:
    """A name as in `naming`; or S3=S1, who are one person; or T5=S2 and T5=new, whose a turn is."""
    tag, _, whose = text.partition("=")
    speaker = speaker_name(speaker_number(whose))
    if re.fullmatch(r"[tT][1-9]\d{0,18}", tag):
        if speaker is None and whose != NEW:
            raise argparse.ArgumentTypeError(f"expected a turn and whose it is, like T5=S2 or T5=new, got {text}")
        return Assign(tag.upper(), speaker or NEW)
    gone = speaker_name(speaker_number(tag))
    return Merge(gone, speaker) if gone and speaker else naming(text)


def share(text: str) -> float:
    """Between 0 and 1."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
    return value


def whole(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text}")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def replicas(text: str) -> tuple[int, int]:
    """A number from 1, or a least and a most one: 2-8."""
    least, dash, most = text.partition("-")
    found = count(least), count(most if dash else least)
    if found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"expected at least as many as {found[0]} after the dash, got {text}")
    return found


def channel(text: str) -> int:
    """The number of a channel, from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a channel number from 1, got {text}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text}") from None
