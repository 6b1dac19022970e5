"""What the stability figures are made of: a listener's own account against the timeline's, and against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy.stability import Listener, Stability, labels_of, summary
from tests.test_timeline import label_streams
from turnstream.labels import Labels
from turnstream.rttm import parse_rttm
from turnstream.timeline.records import RevisionRecord, TurnRecord
from turnstream.timeline.timeline import Timeline
from turnstream.windows import FRAME_OFFSET_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(label_streams(), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_listener_knows_first_last_and_committed_labels_of_every_frame(
    stream: list[tuple[Labels, int]], latency_s: float
) -> None:
    end = stream[-1][1]
    timeline, listener = Timeline(latency_s), Listener(end)
    states, first = [], np.zeros(end, np.int64)
    heard = 0
    for hop, (labels, horizon) in enumerate(stream):
        listener.hear(timeline.update(labels, horizon), horizon, float(hop))
        states.append(labels_of(timeline.turns, end))
        first[heard:horizon] = states[-1][heard:horizon]
        heard = horizon
    np.testing.assert_array_equal(listener.now, states[-1])
    np.testing.assert_array_equal(listener.first, first)
    told = np.stack([np.zeros(end, np.int64), *states])
    changed = told[1:] != told[:-1]
    last = np.where(changed.any(axis=0), len(changed) - 1 - changed[::-1].argmax(axis=0), np.nan)
    np.testing.assert_array_equal(listener.changed_s, last)
    spoken = told[1:] != 0
    np.testing.assert_array_equal(
        listener.first_s, np.where(spoken.any(axis=0), spoken.argmax(axis=0).astype(float), np.nan)
    )
    np.testing.assert_array_equal(listener.committed, _labels_of_rttm(timeline.live_rttm("x"), end))
    final = timeline.finish(replace(stream[-1][0], changes=()), end)
    listener.end(final.turns, float(len(stream)))
    np.testing.assert_array_equal(listener.committed, _labels_of_rttm(timeline.live_rttm("x"), end))
    np.testing.assert_array_equal(listener.final, labels_of(final.turns, end))


def _labels_of_rttm(text: str, end: int) -> np.ndarray:
    labels = np.zeros(end, np.int64)
    for turn in parse_rttm(text).get("x", []):
        bit = 0 if turn.speaker == "unknown" else int(turn.speaker[1:])
        start, stop = (
            round((s * SAMPLE_RATE_HZ - FRAME_OFFSET_SAMPLES) / FRAME_SAMPLES) for s in (turn.start_s, turn.end_s)
        )
        labels[max(0, start) : stop] |= 1 << bit
    return labels


def test_the_end_settles_what_it_changes() -> None:
    listener = Listener(100)
    listener.hear([TurnRecord(1, 1, 10, 30, 30, "committed"), TurnRecord(2, 1, 50, 60, 60, "committed")], 60, 2.0)
    listener.hear([RevisionRecord((1,), 1, 2, "reassigned", 90)], 90, 3.0)
    assert listener.revised_s == pytest.approx(20 * FRAME_SAMPLES / SAMPLE_RATE_HZ)
    assert set(listener.changed_s[10:30]) == {3.0}
    listener.end(
        [
            TurnRecord(1, 2, 10, 30, 30, "final"),
            TurnRecord(2, 3, 50, 60, 60, "final"),
            TurnRecord(3, 1, 80, 85, 85, "final"),
        ],
        9.0,
    )
    assert set(listener.changed_s[10:30]) == {3.0}
    assert set(listener.changed_s[50:60]) == {9.0}
    assert set(listener.first_s[50:60]) == {2.0}
    assert set(listener.first_s[80:85]) == {9.0}
    assert listener.committed[10] == 1 << 1
    assert listener.final[10] == 1 << 2


def test_pooling_weighs_frames_not_recordings() -> None:
    one = Stability(np.full(30, 1.0), np.full(30, 2.0), 40, 10, 3.0, 1800.0)
    other = Stability(np.full(70, 3.0), np.full(70, 6.0), 60, 0, 1.0, 1800.0)
    pooled = summary([one, other])
    assert pooled["first_label_median_s"] == 3.0
    assert pooled["stable_label_p90_s"] == 6.0
    assert pooled["committed_not_final_share"] == pytest.approx(0.1)
    assert pooled["revised_s_per_hour"] == pytest.approx(4.0)
