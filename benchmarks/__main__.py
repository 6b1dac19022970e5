"""Runs the benchmarks one after another, each as a process of its own, and makes summary and pictures of the results.

    python -m benchmarks [--quick] [--data DATA] [--sim SIM] [--only NAME...] [--results FOLDER]
                         [--peers 'WORDS']

DATA has the annotated recordings (sim_dev/, ami/, speakers/, rir/, noise/); what needs it is not run where there is
none. The conversations of benchmarks/README.md, "Conversations made anew", are made into SIM where they are missing.
The interpreters of other systems are named by --peers '--diart PYTHON ...', words for benchmarks.peers.
With --quick a representative part, in less than five minutes on two quiet cores, into a folder that is not kept.
A benchmark that fails does not stop the others; exit status 1 says that one did. README is not touched: see
benchmarks/readme.py.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import plan, summary
from benchmarks.results import FOLDER
from turnstream.weights.cache import cache_dir
from turnstream.weights.store import demo_recording

ROOT = Path(__file__).parent.parent


def chosen(steps: Sequence[plan.Step], only: Sequence[str]) -> list[plan.Step]:
    """Those named, or all. Raises ValueError for a name that there is not."""
    names = [step.name for step in steps]
    if unknown := [name for name in only if name not in names]:
        raise ValueError(f"expected names of {', '.join(names)}, got {', '.join(unknown)}")
    return [step for step in steps if not only or step.name in only]


def asked_more(steps: Sequence[plan.Step], name: str, words: Sequence[str]) -> list[plan.Step]:
    """With more words for one of them."""
    return [replace(step, words=(*step.words, *words)) if step.name == name else step for step in steps]


def folders_for(steps: Sequence[plan.Step], data: Path | None, sim: Path) -> dict[str, Path]:
    """What is there of `data` and `sim`, and `demo`; the sets in `sim` are made where a step needs them."""
    if data is None:
        return {"demo": demo_recording()[0]}
    words = [word for step in steps for word in step.words]
    for folder in [folder for folder in plan.SETS if any(word.startswith("{sim}/" + folder) for word in words)]:
        if not any((sim / folder).glob("*.rttm")):
            asked = [word.format(data=data) for word in plan.SETS[folder]]
            command = [sys.executable, "-m", "benchmarks.simulate", str(sim / folder), "--speech", *asked]
            if status := subprocess.run(command, cwd=ROOT).returncode:
                raise ValueError(f"could not make {sim / folder}: benchmarks.simulate ended with {status}")
    return {"data": data, "sim": sim, "demo": demo_recording()[0]}


def run_all(steps: Sequence[plan.Step], folders: dict[str, Path], results: Path) -> tuple[list[str], list[str]]:
    """Names that failed, and names that were not run for want of data."""
    began, failed, left_out = time.monotonic(), [], []
    environment = {**os.environ, **({"TURNSTREAM_DATA": str(folders["data"])} if "data" in folders else {})}
    for number, step in enumerate(steps, 1):
        at = time.monotonic() - began
        if step.instead and step.needs - set(folders):
            step = step.instead
        if step.needs - set(folders):
            left_out.append(step.name)
            print(f"{clock(at)}  {number}/{len(steps)} {step.name}: not run: no DATA", flush=True)
            continue
        command = step.command(folders, results)
        print(f"\n{clock(at)}  {number}/{len(steps)} {step.name}: {' '.join(command[1:])}", flush=True)
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        missing = [name for name in step.results if not (results / f"{name}.json").exists()]
        if status or missing:
            failed.append(step.name)
        told = [f"{step.name}: exit {status} after {clock(time.monotonic() - began - at)}"]
        print(*told, *(f"no {name}.json" for name in missing), sep="; ", flush=True)
    return failed, left_out


def clock(seconds: float) -> str:
    """As 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def pictures(results: Path, quick: bool) -> None:
    """Beside the results for a quick run, in docs/bench for a whole one."""
    command = [sys.executable, "-m", "benchmarks.pictures", "--results", str(results)]
    subprocess.run([*command, *(["--out", str(results / "pictures")] if quick else [])], cwd=ROOT)


def main() -> None:
    """Run everything that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = ROOT.parent / "shared" / "data"
    parser.add_argument("--quick", action="store_true", help="a representative part")
    parser.add_argument("--data", type=Path, default=beside if beside.is_dir() else None, help="annotated recordings")
    parser.add_argument("--sim", type=Path, default=cache_dir() / "sim", help="where conversations are made anew")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these benchmarks alone")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="(default: benchmarks/results; quick/ in it)")
    parser.add_argument("--peers", default="", metavar="WORDS", help="options of benchmarks.peers, in one word")
    arguments = parser.parse_args()
    results = (arguments.results or (FOLDER / "quick" if arguments.quick else FOLDER)).resolve()
    try:
        steps = chosen(plan.QUICK if arguments.quick else plan.FULL, arguments.only)
        steps = asked_more(steps, "peers", shlex.split(arguments.peers))
        data = arguments.data.resolve() if arguments.data else None
        folders = folders_for(steps, data, arguments.sim.resolve())
    except ValueError as error:
        parser.error(str(error))
    results.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    failed, left_out = run_all(steps, folders, results)
    print(f"\n{clock(time.monotonic() - began)}  written: {summary.write(results)}")
    pictures(results, arguments.quick)
    for title, names in (("not run, no DATA", left_out), ("failed", failed)):
        if names:
            print(f"{title}: {', '.join(names)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
