"""How long it takes until somebody knows who speaks: what the algorithm waits for, what a machine adds, a cold start.

    python -m benchmarks.latency [--json FOLDER] [--quick] [RECORDING...]

Recordings (default: the demo recording) of any rate are played one after another, again and again. Printed, in order:

    algorithm   what every frame waits for by design, to be told and to be committed; the engine is held to it
    hop         processing time of a hop by stage, events made into messages included
    websocket   emission lag of one live session of `turnstream serve` through loopback
    microphone  emission lag of `turnstream mic` on a virtual microphone
    labels      time to the first label and to the one that stays, of the recordings with an .rttm beside them
    cold        from the start of a process to its first label

Takes about five minutes, with --quick one. What the words mean: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import serve
from benchmarks.results import Figure, Result, quantiles, recording
from benchmarks.speed import algorithm, cold, labels, live_clients, microphone, stages
from turnstream.clients.evaluation.recordings import read_samples
from turnstream.diarizer import Diarizer
from turnstream.weights.store import demo_recording
from turnstream.windows import SAMPLE_RATE_HZ

LATENCIES_S = (0.5, 1.0, 2.0, 5.0)
CHECKED_LATENCY_S = 1.0
Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: seconds of audio, and starts of a process."""

    checked_s: float
    hops_s: float
    live_s: float
    starts: int
    first_ever: bool


FULL = Plan(checked_s=60, hops_s=240, live_s=60, starts=5, first_ever=True)
QUICK = Plan(checked_s=30, hops_s=30, live_s=15, starts=2, first_ever=False)


@dataclass
class Found:
    """What was measured so far."""

    figures: dict[str, Figure] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    def add(self, title: str, figures: Mapping[str, Figure]) -> None:
        """Keep figures and print them."""
        print(f"\n{title}")
        for name, figure in figures.items():
            spread = f"  ({figure.spread[0]:.3g} to {figure.spread[1]:.3g})" if figure.spread else ""
            print(f"  {name:40} {figure.value:9.2f} {figure.unit}{spread}", flush=True)
        self.figures |= figures

    def skip(self, part: str, reason: str) -> None:
        """Say why a part was not run."""
        print(f"\n{part}: not run: {reason}", flush=True)
        self.not_run[part] = reason


def measure(paths: Sequence[Path], plan: Plan) -> Found:
    """Everything, one after another."""
    found = Found()
    speech = np.concatenate([np.round(read_samples(path) * 2**15).clip(-(2**15), 2**15 - 1) for path in paths])
    speech = speech.astype(np.int16)
    compute(found, speech, plan)
    websocket(found, speech, plan)
    through_microphone(found, speech, plan)
    if referenced := [path for path in paths if path.with_suffix(".rttm").exists()]:
        found.add("time to the first label and to the one that stays", labels.figures(referenced, LATENCIES_S))
    else:
        found.skip("labels", "no recording has an .rttm beside it")
    found.add("cold start", cold.figures(paths[0], plan.starts, plan.first_ever))
    return found


def compute(found: Found, speech: Samples, plan: Plan) -> None:
    """In this process: the algorithm held to its formula, and the stages of a hop."""
    with Diarizer() as diarizer:
        floats = looped(speech, plan.checked_s).astype(np.float32) / np.float32(2**15)
        kept = algorithm.check(diarizer.models, floats, CHECKED_LATENCY_S)
        found.add("what the algorithm waits for", algorithm.figures(LATENCIES_S, kept))
        hops = stages.measure(diarizer.models, looped(speech, plan.hops_s))
    at_48k = stages.audio_ms(looped(speech, plan.hops_s), 48_000)
    found.add(f"a hop, {len(hops.ms['whole'])} of them", stages.figures(hops, at_48k))
    found.series["hop_ms"] = {"whole": [round(ms, 2) for ms in hops.ms["whole"]]}


def websocket(found: Found, speech: Samples, plan: Plan) -> None:
    """One live session of a server, which nobody else uses."""
    with serve.running_server(1) as (_, url):
        measured = asyncio.run(live_clients.run(url, 1, plan.live_s, speech))
    assert measured.finals == 1, f"expected a final result, got {measured.finals}"
    lags, behind = ([1e3 * second for second in seconds] for seconds in (measured.lags_s, measured.behind_s))
    assert lags, "expected windows at whose end somebody talks, got none"
    found.add(
        f"through a websocket, {len(lags)} windows",
        {**quantiles("websocket.lag", lags, "ms"), **quantiles("websocket.behind_speech", behind, "ms")},
    )
    found.series["websocket_lag_ms"] = [round(lag, 1) for lag in lags]


def through_microphone(found: Found, speech: Samples, plan: Plan) -> None:
    """`turnstream mic` on a virtual microphone, where there can be one."""
    if reason := microphone.not_here():
        found.skip("microphone", reason)
        return
    try:
        lags, playout_ms = microphone.measure(looped(speech, plan.live_s))
    except microphone.Disturbed as disturbed:
        found.skip("microphone", str(disturbed))
        return
    found.add(f"through a microphone, {len(lags)} windows", microphone.figures(lags, playout_ms))
    found.series["microphone_lag_ms"] = [round(lag, 1) for lag in lags]


def looped(speech: Samples, seconds: float) -> Samples:
    """So many seconds, from the beginning again where they end."""
    return np.resize(speech, round(seconds * SAMPLE_RATE_HZ))


def main() -> None:
    """Measure, print, and write the result where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="*", metavar="RECORDING", help="(default: the demo recording)")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="write latency.json there")
    parser.add_argument("--quick", action="store_true", help="less of everything, about a minute")
    arguments = parser.parse_args()
    paths, load = arguments.recordings or [demo_recording()[0]], os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average at the start {load:.1f}")
    found = measure(paths, QUICK if arguments.quick else FULL)
    if arguments.json:
        command = "python -m benchmarks.latency" + (" --quick" if arguments.quick else "")
        parameters = {"quick": arguments.quick, "latencies_s": LATENCIES_S, "not_run": found.not_run}
        data = [recording(path) for path in paths]
        Result("latency", command, found.figures, parameters, found.series, data, load=load).write(arguments.json)


if __name__ == "__main__":
    main()
