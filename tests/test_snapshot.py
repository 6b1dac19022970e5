"""Snapshots: a session that was moved, however often, is the one that never was; what is no snapshot is told."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from server_kit import pcm
from silent_diarizer import SilentModels
from tone_speakers import TONES_HZ, conversation

from turnstream.audio.input import AudioInput
from turnstream.diarizer import Diarizer
from turnstream.errors import CorrectionError, TurnstreamError
from turnstream.events import Event, Speaker, to_json
from turnstream.people.naming import Known, Naming
from turnstream.session import Models, Session
from turnstream.snapshot.codec import FORMAT, MOST_BYTES, SnapshotError, Writer
from turnstream.snapshot.session import KINDS, Written, read, write
from turnstream.stitching.config import StitcherConfig
from turnstream.stitching.profile import Profile
from turnstream.timeline.timeline import Timeline
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

ORDINARY = (TurnstreamError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError, AttributeError)


class Moving:
    """A session that can be moved to other models, as to another machine; its past is written in pieces."""

    def __init__(self, session: Session, models: Any):
        self.session, self.models = session, models
        self.past: list[bytes] = []
        self.extents: tuple[tuple[int, int], ...] = ()
        self.events: list[Event] = []

    def hear(self, audio: bytes) -> None:
        self.events += self.session.feed(audio)

    def move(self) -> Written:
        written = write(self.session, self.models, self.extents)
        self.past.append(written.past)
        self.session, self.extents = read(written.head, self.past, self.models)
        return written

    def end(self) -> list[str]:
        """Every event of it, the final result last."""
        ended = [*self.session.flush(), self.session.close()]
        return [to_json(event) for event in (*self.events, *ended)]


def hums(seed: int, seconds: float = 14.0) -> np.ndarray:
    """A conversation of tones."""
    samples = 1e-4 * np.random.default_rng(seed).standard_normal(int(seconds * SAMPLE_RATE_HZ))
    for start, end, tone in conversation(seed, 12):
        place = np.arange(int(start * SAMPLE_RATE_HZ), min(len(samples), int(end * SAMPLE_RATE_HZ)))
        samples[place] += 0.1 * np.sin(2 * np.pi * TONES_HZ[tone] * place / SAMPLE_RATE_HZ)
    return samples


@dataclass(frozen=True)
class Format:
    """Of the audio that comes in."""

    encoding: str
    rate_hz: int
    channels: int


FORMATS = st.builds(
    Format,
    st.sampled_from(["pcm_s16le", "pcm_s24le"]),
    st.sampled_from([8000, 16_000, 44_100, 48_000]),
    st.integers(1, 2),
)


def humming(format: Format) -> Moving:
    models = SilentModels()
    audio = AudioInput(format.rate_hz, format.channels, format.encoding)
    known = [Known("Anna", Profile(models._centres[0].astype(np.float32), 9.0))]
    timeline = Timeline(0.6, revision_interval_s=0.5)
    return Moving(Session(models, audio, StitcherConfig(), timeline, Naming(known)), models)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 99), format=FORMATS, data=st.data())
def test_a_session_moved_anywhere_is_the_one_that_stayed(seed: int, format: Format, data: st.DataObject) -> None:
    """Cut in the middle of samples, with known people, and with names and corrections that the user gives."""
    audio = pcm(hums(seed), format.encoding, format.rate_hz, format.channels)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(audio)), min_size=1, max_size=6)))
    stayed, moved = humming(format), humming(format)
    for start, end in zip([0, *cuts], [*cuts, len(audio)], strict=True):
        for one in (stayed, moved):
            one.hear(audio[start:end])
            if named := [event.id for event in one.events if isinstance(event, Speaker)]:
                one.events += one.session.name(named[-1], f"Guest {start}")
        correct(data.draw(st.sampled_from(["nothing", "assign", "merge", "undo"])), stayed, moved)
        if data.draw(st.booleans()):
            moved.move()
    moved.move()
    assert moved.end() == stayed.end()


def correct(what: str, *sessions: Moving) -> None:
    """The same in each of them, where there is anything to correct."""
    for one in sessions:
        session = one.session
        with contextlib.suppress(CorrectionError):
            if what == "assign" and session.timeline.turns:
                one.events += session.assign(f"T{session.timeline.turns[-1].id}", "new")
            elif what == "merge":
                one.events += session.merge("S2", "S1")
            elif what == "undo":
                one.events += session.undo()


@pytest.fixture(scope="module")
def diarizer() -> Iterator[Diarizer]:
    with Diarizer() as engine:
        yield engine


@pytest.mark.slow
@pytest.mark.parametrize(("rate_hz", "activity"), [(16_000, False), (8000, True), (44_100, True)])
def test_with_the_real_models_too(diarizer: Diarizer, rate_hz: int, activity: bool) -> None:
    speech, _ = soundfile.read(demo_recording()[0], start=88_000, stop=88_000 + 14 * SAMPLE_RATE_HZ)
    audio = pcm(speech, "pcm_s16le", rate_hz)
    stayed, moved = (
        Moving(diarizer.session(sample_rate_hz=rate_hz, activity=activity), diarizer.models) for _ in range(2)
    )
    for number, start in enumerate(range(0, len(audio), step := rate_hz // 3 * 2 + 1)):
        for one in (stayed, moved):
            one.hear(audio[start : start + step])
        if number % 5 == 2:
            moved.move()
    lines = moved.end()
    assert lines == stayed.end()
    assert any(json.loads(line)["type"] == "turn" for line in lines)


@pytest.fixture(scope="module")
def written() -> Written:
    """Of 14 s."""
    moving = humming(Format("pcm_s16le", 8000, 1))
    moving.hear(pcm(hums(3), "pcm_s16le", 8000))
    return moving.move()


def parts(head: bytes) -> tuple[dict[str, Any], bytes]:
    whole = zlib.decompress(head)
    (length,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def packed(text: dict[str, Any], arrays: bytes) -> bytes:
    said = json.dumps(text).encode()
    return zlib.compress(struct.pack("<Q", len(said)) + said + arrays)


def models() -> Models:
    return SilentModels()  # type: ignore[return-value]


def reading(head: bytes, past: list[bytes]) -> Session:
    session, _ = read(head, past, models())
    assert isinstance(session, Session)
    return session


def tree(node: Any, arrays: bytes = b"", kinds: Any = ()) -> bytes:
    return packed({"format": FORMAT, "kinds": list(kinds), "tree": node}, arrays)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "damaged"),
        (b"x" * 100, "damaged"),
        (zlib.compress(b""), "empty"),
        (zlib.compress(bytes(MOST_BYTES + 1)), "more than 256 MiB"),
        (zlib.compress(struct.pack("<Q", 1 << 60) + b"{}"), "another format"),
        (
            packed({"format": "turnstream snapshot 99", "kinds": [], "tree": None}, b""),
            "expected a turnstream snapshot 1",
        ),
        (tree(["z"]), "damaged"),
        (tree({"a": 1}), "damaged"),
        (tree(["r", 5]), "damaged"),
        (tree(["r", -1]), "damaged"),
        (tree(["a", "float32", [1 << 30, 1 << 30]]), "damaged"),
        (tree(["a", "float32", [-4]], b"1234"), "damaged"),
        (tree(["a", "object", [1]], b"12345678"), "damaged"),
        (tree(["b", 3], b"12345"), "2 bytes are left over"),
        (tree(["o", 0], kinds=[["os.system"]]), "damaged"),
        (tree(["o", 0, 1], kinds=[["labels.Labels", "first_frame"]]), "of other fields"),
        (tree(["d", ["l"], 1]), "damaged"),
        (tree(["d", 1]), "damaged"),
        (tree(["m", "secrets"]), "damaged"),
    ],
)
def test_what_is_no_snapshot_is_told_in_one_sentence(head: bytes, says: str) -> None:
    with pytest.raises(SnapshotError, match=says) as told:
        read(head, [], models())
    assert "\n" not in str(told.value)


def test_levels_are_bounded() -> None:
    node: Any = 1
    for _ in range(100):
        node = ["l", node]
    with pytest.raises(SnapshotError, match="levels"):
        read(tree(node), [], models())
    deep = b'{"format":"' + FORMAT.encode() + b'","kinds":[],"tree":' + b"[" * 10**5 + b"]" * 10**5 + b"}"
    with pytest.raises(SnapshotError, match="damaged"):
        read(zlib.compress(struct.pack("<Q", len(deep)) + deep), [], models())


def test_a_past_that_is_missing_or_another_one_is_told(written: Written) -> None:
    with pytest.raises(SnapshotError, match="not complete"):
        reading(written.head, [])
    for past in (b"", tree(["l", ["t", 1, 2, 3]]), tree(["l", ["t", ["l", 1], ["l"], ["l"]]]), tree(5)):
        with pytest.raises(SnapshotError):
            reading(written.head, [past])
    text, arrays = parts(written.past)
    for shorter in (arrays[:-8], arrays[:40] + arrays[48:]):
        with pytest.raises(SnapshotError):
            reading(written.head, [packed(text, shorter)])
    longer = reading(written.head, [written.past, written.past])  # a piece that came after the head is left out
    assert longer.close() == reading(written.head, [written.past]).close()


def test_a_session_of_another_version_is_told(written: Written) -> None:
    text, arrays = parts(written.head)
    kinds = [list(kind) for kind in text["kinds"]]
    (place,) = [n for n, kind in enumerate(kinds) if kind[0] == "timeline.timeline.Timeline"]
    kinds[place][1] += "_of_old"
    with pytest.raises(SnapshotError, match="another version"):
        reading(packed({**text, "kinds": kinds}, arrays), [written.past])


def test_a_session_is_written_as_one_object_whatever_it_is_made_of(written: Written) -> None:
    """Servers of other versions read it."""
    text, _ = parts(written.head)
    (attributes,) = [kind[1:] for kind in text["kinds"] if kind[0] == "session.Session"]
    heard = ["audio", "timeline", "_models", "_activity", "_schedule", "_ring", "_fbank", "_live", "_stitchers"]
    decided = ["_roster", "_ahead", "_state", "_end_sample", "_named_frame", "_result", "_publisher", "_alone"]
    assert attributes == heard + decided


def changed(node: Any, rng: np.random.Generator) -> Any:
    """One value somewhere in it is another one."""
    if isinstance(node, list) and len(node) > 1:
        place = int(rng.integers(len(node)))
        return [*node[:place], changed(node[place], rng), *node[place + 1 :]]
    values: list[Any] = [None, True, -1, 1 << 70, 1e300, float("nan"), "text", ["l"], ["d"], ["r", 3], "a", "o"]
    return values[int(rng.integers(len(values)))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_one_that_was_changed_is_refused_or_is_only_its_own_problem(written: Written, seed: int) -> None:
    """A value of the right type may be a wrong one: what that breaks is this session, with an ordinary error."""
    text, arrays = parts(written.head)
    rng, refused = np.random.default_rng(seed), 0
    for _ in range(40):
        try:
            session = reading(packed({**text, "tree": changed(text["tree"], rng)}, arrays), [written.past])
        except SnapshotError:
            refused += 1
            continue
        with contextlib.suppress(*ORDINARY):
            session.feed(bytes(16_000))
    assert refused > 10


def test_what_cannot_be_written_is_told() -> None:
    writer = Writer(KINDS, lambda value: None)
    for value in (object(), np.zeros(2, complex), [lambda: 1], {1: pytest}):
        with pytest.raises(SnapshotError, match="expected"):
            writer.bytes_of(value)


def test_shared_things_are_one_thing_afterwards() -> None:
    profile = Profile(np.arange(4, dtype=np.float32), 1.5)
    value = {
        "both": [profile, profile],
        "sets": ({1, 2}, b"bytes", np.float64(0.1), deque([3])),
        3: -0.0,
        None: float("inf"),
    }
    found, _ = read(Writer(KINDS, lambda part: None).bytes_of(value), [], models())
    assert found["both"][0] is found["both"][1]
    assert type(found["sets"][2]) is np.float64
    assert replace(profile, vector=found["both"][0].vector) is not profile
    np.testing.assert_array_equal(found["both"][0].vector, profile.vector)
    assert {key: value[key] for key in ("sets", 3, None)} == {key: found[key] for key in ("sets", 3, None)}
