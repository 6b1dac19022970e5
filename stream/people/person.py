"""A known person and their file: JSON, in the format `turnstream person 1`.

It holds the name, the embedding model (hash of its weights) and, for every enrollment, the embedding, the seconds of
clean speech behind it, and the time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PeopleError, TurnstreamError, shown
from ..json_text import DeepError, load_json
from ..limits import EMBEDDING_SIZE
from ..stitching.profile import Profile, mean_profile
from .naming import check_name, name_key

FORMAT = "turnstream person 1"
EXPORT_FORMAT = "turnstream people 1"
UNIT_ERROR = 1e-3  # of the norm of a stored embedding


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A known person: `model` is the hash of the embedding weights, `voices` the enrollments, `times` when (UTC)."""

    name: str
    model: str
    voices: tuple[Profile, ...]
    times: tuple[str, ...]

    @property
    def clean_s(self) -> float:
        """Seconds of clean speech behind the voice."""
        return sum(voice.clean_s for voice in self.voices)

    def profile_for(self, model: str) -> Profile:
        """The voice, all enrollments weighted by their seconds. Raises PeopleError if another model made them."""
        if self.model != model:
            raise PeopleError(
                f"{self.name} was enrolled with another embedding model (expected {model[:8]}, got {self.model[:8]}): "
                "enroll again with --replace, or use that model"
            )
        return mean_profile(self.voices)


def weights_id(weights: Mapping[str, NDArray[Any]]) -> str:
    """Hash of a model's weights, the same for the same numbers under the same names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].shape} {weights[name].dtype}\n".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def format_person(person: Person) -> str:
    """The text of a person's file."""
    return json.dumps(_fields(person), indent=1) + "\n"


def format_export(people: Sequence[Person]) -> str:
    """Several people as one text."""
    return json.dumps({"format": EXPORT_FORMAT, "people": [_fields(person) for person in people]}, indent=1) + "\n"


def rounded(voice: Profile) -> Profile:
    """The voice as it will be read back: the file stores milliseconds."""
    return replace(voice, clean_s=round(voice.clean_s, 3))


def parse_person(text: str, source: str) -> Person:
    """A person from the text of a file. Raises PeopleError, which names `source`, if it is not valid."""
    return _person(_json(text, source), source)


def parse_export(text: str, source: str) -> list[Person]:
    """The people in an exported text, or the one person in their own file. Raises PeopleError."""
    data = _json(text, source)
    if isinstance(data, dict) and data.get("format") == FORMAT:
        return [_person(data, source)]
    if not isinstance(data, dict) or data.get("format") != EXPORT_FORMAT or not isinstance(data.get("people"), list):
        raise PeopleError(f"{source} is not an export of people from turnstream: expected the format {EXPORT_FORMAT!r}")
    people = [_person(entry, source) for entry in data["people"]]
    if len({name_key(person.name) for person in people}) < len(people):
        raise PeopleError(f"{source} is damaged: expected each name once")
    return people


def _json(text: str, source: str) -> Any:
    try:
        return load_json(text)
    except DeepError as error:
        raise PeopleError(f"{source} is damaged: expected {error.expected}") from None
    except ValueError:
        raise PeopleError(f"{source} is damaged: expected JSON") from None


def _person(data: Any, source: str) -> Person:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise PeopleError(f"{source} is damaged: expected the format {FORMAT!r}, got {shown(found)}")
    try:
        name, model, entries = check_name(str(data["name"])), str(data["model"]), list(data["voices"])
        voices = tuple(_voice(entry) for entry in entries)
        times = tuple(str(entry["at"]) for entry in entries)
    except (KeyError, TypeError, ValueError, OverflowError, TurnstreamError) as error:
        raise PeopleError(f"{source} is damaged: {type(error).__name__} {error}") from None
    if not voices:
        raise PeopleError(f"{source} is damaged: expected 1 voice or more, got 0")
    return Person(name, model, voices, times)


def _voice(entry: Any) -> Profile:
    vector, clean_s = np.array(entry["embedding"], np.float64), float(entry["clean_s"])
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(vector)) if vector.ndim == 1 else math.nan
    if not abs(norm - 1) < UNIT_ERROR:
        raise ValueError(f"expected an embedding of length 1, got {norm:.3g}")
    if len(vector) != EMBEDDING_SIZE:
        raise ValueError(f"expected an embedding of {EMBEDDING_SIZE} numbers, got {len(vector)}")
    if not 0 < clean_s < math.inf:
        raise ValueError(f"expected more than 0 s of speech, got {clean_s}")
    return Profile(vector.astype(np.float32), clean_s)


def _fields(person: Person) -> dict[str, Any]:
    entries = [
        {"at": at, "clean_s": round(voice.clean_s, 3), "embedding": [float(f"{x:.9g}") for x in voice.vector.tolist()]}
        for voice, at in zip(person.voices, person.times, strict=True)
    ]
    return {"format": FORMAT, "name": person.name, "model": person.model, "voices": entries}
