"""How fast, small and right is turnstream beside other systems that take turns with it in the same run?

    python -m benchmarks.peers [--json FOLDER] [--quick] [--torch PYTHON] [--diart PYTHON] [--senko PYTHON]
                               [--sherpa PYTHON] [RECORDING...]

Every system has a process of its own, of the interpreter given for it (default: this one), and two cores; one that is
not installed there is reported as not run. How to install them, their settings and what the words mean:
benchmarks/README.md, Peers. Each is checked before it is timed. Whole recordings are timed on RECORDING (with its
.rttm beside it, or folders of such), by default on the demo recording; everything else on the demo recording.

--quick: only the networks, in this interpreter, and `turnstream file`; no other system. Takes less than a minute,
in full about five on two quiet cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.recordings import annotated, cache_folder
from benchmarks.peers import report
from benchmarks.peers.aims import aims, timed_command
from benchmarks.peers.groups import OURS, file_group, network_groups, stream_groups
from benchmarks.peers.process import Answer, NotRun, Process
from benchmarks.peers.turns import Group, Outcome, run
from turnstream.clients.evaluation.recordings import LazyModels, Recording
from turnstream.errors import TurnstreamError
from turnstream.weights.store import demo_recording

OPTIONS = {
    "torch": ("PyTorch", "ONNX Runtime"),
    "diart": ("diart", "diart, one trunk"),
    "senko": ("senko",),
    "sherpa": ("sherpa-onnx",),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups one after another, print, write."""
    arguments = parser().parse_args(argv)
    pythons = {OURS: sys.executable, "prepare": sys.executable}
    for option, systems in OPTIONS.items():
        given = None if arguments.quick else getattr(arguments, option)
        pythons |= dict.fromkeys(systems, given or sys.executable)
    load = os.getloadavg()[0]
    report.head(load)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            paths = annotated(arguments.recordings)
            answer = prepare(folder, paths, pythons)
            demo, *recordings = recordings_of([demo_recording()[0], *paths])
            groups = network_groups(folder)
            if not arguments.quick:
                groups += [*stream_groups(answer.result[0]["audio"], demo), file_group(answer.result, demo, recordings)]
            outcomes = [(group, timed(group, pythons, folder)) for group in groups]
            longest = max([demo, *recordings], key=lambda recording: recording.duration_s)
            command = timed_command(sys.executable, folder, longest)
        except (TurnstreamError, NotRun) as error:
            raise SystemExit(f"benchmarks.peers: {error}") from None
    figures = report.figures(outcomes, audio_s(recordings or [demo])) | command.figures()
    met = aims(figures)
    report.end(command, met)
    if arguments.json:
        command_again = report.asked(arguments, list(OPTIONS))
        measured = report.result(outcomes, figures, met, [demo, *recordings], command_again, load)
        print(measured.write(arguments.json))


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("recordings", type=Path, nargs="*", metavar="RECORDING", help="with its .rttm beside it")
    made.add_argument("--json", type=Path, metavar="FOLDER", help="write peers.json there")
    made.add_argument("--quick", action="store_true", help="no other interpreter, under a minute")
    for option, systems in OPTIONS.items():
        made.add_argument(f"--{option}", metavar="PYTHON", help=f"an interpreter that has {systems[0]}")
    return made


def prepare(folder: Path, recordings: Sequence[Path], pythons: dict[str, str]) -> Answer:
    """What the systems are given, written into a folder; the answer says which audio is where."""
    with Process("prepare", pythons["prepare"], folder) as process:
        answer = process.ask("write", recordings=[str(path) for path in recordings])
    try:
        with Process("PyTorch", pythons["PyTorch"], folder) as process:
            process.ask("export")
    except NotRun as reason:
        print(f"no ONNX files, so neither ONNX Runtime nor sherpa-onnx: {reason}")
    return answer


def recordings_of(paths: Sequence[Path]) -> list[Recording]:
    """The recordings with their references."""
    models = LazyModels()
    return [Recording(path, cache_folder(None), models) for path in paths]


def audio_s(recordings: Sequence[Recording]) -> float:
    """Seconds of audio in all of them."""
    return sum(recording.duration_s for recording in recordings)


def timed(group: Group, pythons: dict[str, str], folder: Path) -> Outcome:
    """One group, printed when it is done."""
    outcome = run(group, pythons, folder)
    report.table(group, outcome)
    return outcome


if __name__ == "__main__":
    main()
