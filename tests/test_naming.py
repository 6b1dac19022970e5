"""Names for live speakers, on made-up voices: properties of the matching and of what a listener is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.errors import TurnstreamError
from turnstream.people.naming import Known, Naming, NamingConfig, check_name, confidences, name_key
from turnstream.stitching.clustering import unit
from turnstream.stitching.config import frames
from turnstream.stitching.profile import Profile, mean_profile
from turnstream.timeline.records import SpeakerRecord
from turnstream.wire import ProtocolError, name_text

CONFIG = NamingConfig()
HOP, STEPS = frames(0.5), 60
DIMENSION = 192
NAMES = ("Anna", "Ben", "Chris")


def voice(
    rng: np.random.Generator, clean_s: float = 20.0, of: np.ndarray | None = None, cosine: float = 0.85
) -> Profile:
    """A random voice, or one with this cosine to `of`."""
    fresh = unit(rng.normal(size=DIMENSION).astype(np.float32))
    if of is None:
        return Profile(fresh, clean_s)
    across = unit(fresh - (fresh @ of) * of)
    return Profile((cosine * of + np.sqrt(1 - cosine**2) * across).astype(np.float32), clean_s)


def known(rng: np.random.Generator, count: int = 3) -> list[Known]:
    return [Known(name, voice(rng)) for name in NAMES[:count]]


class Listener:
    """Applies the records as the rules say, and holds them to the rules at every one of them."""

    def __init__(self) -> None:
        self.names: dict[int, tuple[str, float | None]] = {}

    def hear(self, records: list[SpeakerRecord]) -> None:
        for record in records:
            assert record.state == "named"
            before = self.names.pop(record.id, None)
            if record.name is not None:
                assert record.confidence is None or 0 < record.confidence <= 1
                self.names[record.id] = (record.name, record.confidence)
                held = [name_key(name) for name, _ in self.names.values()]
                assert len(held) == len(set(held)), "two speakers have one name"
            else:
                assert record.confidence is None
                assert before is not None, "a name taken back that was not there"


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_no_two_speakers_have_one_name_and_changes_are_rare(seed: int):
    """Voices that wander between people, in streams where speakers come, go and come back."""
    rng = np.random.default_rng(seed)
    people, listener = known(rng), Listener()
    naming = Naming(people)
    changes: dict[int, list[int]] = {}
    for step in range(STEPS):
        live = {}
        for speaker in rng.permutation(5)[: rng.integers(6)].tolist():
            like = people[int(rng.integers(3))].profile.vector
            live[speaker + 1] = voice(rng, float(rng.uniform(0.2, 40)), like, float(rng.uniform(0.2, 0.95)))
        frame = step * HOP
        records = naming.update(live, frame)
        assert all(record.name is None or record.confidence is not None for record in records)  # nobody said so
        listener.hear(records)
        assert sorted(listener.names.items()) == [*naming.names.items()]
        for speaker in {record.id for record in records}:
            changes.setdefault(speaker, []).append(frame)
    gaps = [gap for times in changes.values() for gap in np.diff(times)]
    assert min(gaps, default=10**6) >= frames(CONFIG.change_s)
    assert changes


def test_a_known_voice_is_named_and_a_stranger_is_not():
    rng = np.random.default_rng(1)
    people = known(rng)
    naming = Naming(people)
    live = {1: voice(rng), 2: voice(rng, of=people[1].profile.vector), 3: voice(rng)}
    (record,) = naming.update(live, 100)
    assert (record.id, record.at_frame, record.name) == (2, 100, "Ben")
    assert record.confidence is not None
    assert record.confidence >= CONFIG.give
    assert naming.update(live, 100 + HOP) == []


def test_too_little_speech_has_no_name_yet():
    rng = np.random.default_rng(2)
    people = known(rng)
    naming = Naming(people)
    assert naming.update({1: voice(rng, CONFIG.live_s - 0.1, people[0].profile.vector, 0.95)}, 0) == []
    assert [
        e.name for e in naming.update({1: voice(rng, CONFIG.live_s + 0.1, people[0].profile.vector, 0.95)}, HOP)
    ] == ["Anna"]


def test_a_name_moves_to_whom_it_fits_better_by_way_of_nobody():
    rng = np.random.default_rng(3)
    people = known(rng)
    anna, listener, naming = people[0].profile.vector, Listener(), Naming(people)
    listener.hear(naming.update({1: voice(rng, 3, anna, 0.75), 2: voice(rng)}, 0))
    assert listener.names[1][0] == "Anna"
    later = {1: voice(rng, 20, anna, 0.3), 2: voice(rng, 20, anna, 0.9)}
    assert naming.update(later, HOP) == []  # not so soon
    records = naming.update(later, frames(CONFIG.change_s) + 1)
    assert [(record.id, record.name) for record in records] == [(1, None), (2, "Anna")]


def test_a_name_is_kept_on_weaker_evidence_than_it_was_given():
    rng = np.random.default_rng(4)
    people = known(rng)
    anna = people[0].profile
    cosines = np.linspace(0, 0.95, 400)
    probe = np.random.default_rng(0)
    sure = [confidences([voice(probe, 20, anna.vector, c)], [anna], CONFIG)[0, 0] for c in cosines]
    between = float(cosines[int(np.argmin(np.abs(np.array(sure) - (CONFIG.give + CONFIG.keep) / 2)))])
    weak = voice(rng, 20, anna.vector, between)
    assert Naming(people[:1]).update({1: weak}, 0) == []
    naming = Naming(people[:1])
    naming.update({1: voice(rng, 20, anna.vector, 0.9)}, 0)
    naming.update({1: weak}, 10 * frames(CONFIG.change_s))
    assert [name for name, _ in naming.names.values()] == ["Anna"]


def test_a_speaker_who_is_heard_of_no_more_keeps_the_name_until_another_has_it():
    rng = np.random.default_rng(5)
    people = known(rng)
    anna, naming = people[0].profile.vector, Naming(people)
    naming.update({1: voice(rng, 20, anna)}, 0)
    assert naming.update({2: voice(rng)}, 1000) == []
    assert [(e.id, e.name) for e in naming.update({2: voice(rng, 20, anna)}, 2000)] == [(1, None), (2, "Anna")]


def test_what_the_user_says_is_not_overruled():
    rng = np.random.default_rng(6)
    people = known(rng)
    anna, naming, listener = people[0].profile.vector, Naming(people), Listener()
    listener.hear(naming.update({1: voice(rng, 20, anna), 2: voice(rng)}, 0))
    records = naming.choose(2, " anna ", 10)
    listener.hear(records)
    assert [(e.id, e.name, e.confidence) for e in records] == [(1, None, None), (2, "anna", None)]
    listener.hear(naming.choose(1, None, 20)) if 1 in listener.names else naming.choose(1, None, 20)
    live = {1: voice(rng, 30, anna), 2: voice(rng, 30, people[1].profile.vector)}
    assert naming.update(live, 10_000) == []
    naming.finish(live, 20_000)
    assert naming.names == {2: ("anna", None)}


def test_final_names_do_not_depend_on_the_live_ones():
    rng = np.random.default_rng(7)
    people = known(rng)
    final = {n: voice(rng, 30, p.profile.vector) for n, p in enumerate(people, 1)}
    straight, wandering = Naming(people), Naming(people)
    wandering.update({1: final[2], 2: final[3], 3: final[1]}, 0)
    for naming in (straight, wandering):
        naming.finish(final, 10)
    assert straight.names == wandering.names
    assert [name for name, _ in straight.names.values()] == list(NAMES)


def test_confidence_is_a_probability_that_grows_with_likeness():
    rng = np.random.default_rng(8)
    people = [person.profile for person in known(rng)]
    live = [voice(np.random.default_rng(0), 10, people[0].vector, cosine) for cosine in np.linspace(0, 0.95, 20)]
    one_by_one = np.concatenate([confidences([profile], people, CONFIG) for profile in live])
    assert (one_by_one >= 0).all()
    assert (one_by_one.sum(axis=1) <= 1 + 1e-9).all()
    assert (np.diff(one_by_one[:, 0]) >= -1e-9).all()
    assert one_by_one[0, 0] < 0.01
    assert one_by_one[-1, 0] > 0.95


def test_a_voice_like_two_people_is_neither():
    rng = np.random.default_rng(9)
    one = voice(rng)
    twins = [one, voice(rng, 20, one.vector, 0.98)]
    assert confidences([voice(rng, 20, one.vector, 0.9)], twins, CONFIG).max() < 0.9
    assert confidences([voice(rng, 20, one.vector, 0.9)], twins[:1], CONFIG).max() > 0.9


def test_strangers_who_are_all_alike_the_person_take_evidence_away():
    """One room: everybody there sounds a little like somebody enrolled in it."""
    rng = np.random.default_rng(10)
    anna = voice(rng)
    live = voice(rng, 20, anna.vector, 0.55)
    far = [voice(rng, 20, anna.vector, 0.0) for _ in range(3)]
    near = [voice(rng, 20, anna.vector, 0.55) for _ in range(3)]
    beside_far, beside_near = (confidences([live, *others], [anna], CONFIG)[0, 0] for others in (far, near))
    assert beside_far > 0.9
    assert beside_near < 0.5


def test_mean_profile_weighs_by_seconds():
    rng = np.random.default_rng(11)
    a, b = voice(rng, 30), voice(rng, 10)
    mean = mean_profile([a, b])
    assert mean.clean_s == 40
    assert np.linalg.norm(mean.vector) == pytest.approx(1, abs=1e-6)
    assert mean.vector @ a.vector > mean.vector @ b.vector
    np.testing.assert_allclose(mean_profile([a]).vector, a.vector, atol=1e-6)


INVISIBLE_NAMES = ["\u200d", "\u200c \u200d", "\u3164", "\u2800", "\u115f", "\ufe0f", "\u034f", "\u0301", "\u202eabc"]


@pytest.mark.parametrize(
    "name",
    ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0dc1\u0dca\u200d\u0dbb\u0dd3", "👩\u200d🔬", "❤\ufe0f"],
)
def test_persian_sinhala_and_emoji_are_names(name: str):
    assert check_name(name) == name
    assert name_text(64)(name) == name


def test_what_is_not_seen_makes_no_other_name():
    assert len({name_key(name) for name in ("Anna", "An\u200dna", "Anna\ufe0f", "Anna\u3164")}) == 1


@pytest.mark.parametrize("name", INVISIBLE_NAMES)
def test_the_protocol_refuses_what_cannot_be_seen(name: str):
    with pytest.raises(ProtocolError, match="a name of 1 to 64 printable characters"):
        name_text(64)(name)


@pytest.mark.parametrize(
    "name",
    ["", "  ", "S1", "s12", "unknown", "Unknown", "?", "a" * 81, "a\x00b", "\x1b[31m", "\udcff", *INVISIBLE_NAMES],
)
def test_names_that_cannot_be_used(name: str):
    with pytest.raises(TurnstreamError, match=r"^expected a name .*, got "):
        check_name(name)


@given(st.text(max_size=80))
def test_checked_names_stay_as_they_are_and_have_one_key(text: str):
    try:
        name = check_name(text)
    except TurnstreamError:
        return
    assert check_name(name) == name
    assert name_key(name) == name_key(text) == name_key(name.upper().casefold())
    assert not set("\t\n") & set(name)


def test_one_name_in_different_spellings():
    assert len({name_key(name) for name in ("Anna Maria", "anna  maria", "ANNA_MARIA", " Anna Maria ")}) == 1
    assert name_key("Zoe\u0308") == name_key("Zo\u00eb")
    with pytest.raises(TurnstreamError, match="twice"):
        Naming([Known("Ben", voice(np.random.default_rng(0))), Known("BEN", voice(np.random.default_rng(1)))])


def test_a_name_by_the_user_goes_where_the_speaker_was_merged() -> None:
    naming = Naming()
    naming.choose(1, "Anna", 0)
    assert [(e.id, e.name) for e in naming.merge(1, 3, 50)] == [(1, None), (3, "Anna")]
    assert naming.names == {3: ("Anna", None)}
    naming.choose(2, "Ben", 60)
    assert [(e.id, e.name) for e in naming.merge(2, 3, 70)] == [(2, None)]
    assert naming.names == {3: ("Anna", None)}
    assert naming.merge(4, 3, 80) == []
