"""Which benchmarks there are, in the order in which `python -m benchmarks` runs them, and what each needs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter

# In words: {data} and {sim} are folders, {demo} is the demo recording; a word that ends in /*.flac is all such files.
SIM_DEV, AMI = "{data}/sim_dev", "{data}/ami"
SESSIONS = ("1", "8", "16", "20", "24")
STORED = ("--sessions", "20", "--seconds", "35", "--hop", "1", "--repeats", "3", "--snapshots", "20", "--store")
MEETINGS = ("--half", "2/2", "--oracle", "--jobs", "2")
ELEVEN = "ls1998 ls2033 ls2609 ls3080 ls367 so0135 so0482 so0594 so0739 so0813 so1012"


@dataclass(frozen=True, slots=True)
class Step:
    """One benchmark: a module (or a file for pytest), what it is asked, and the results that it writes.

    `instead` is what is run where there is no data for it.
    """

    name: str
    runs: str
    words: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    instead: Step | None = None

    @property
    def needs(self) -> set[str]:
        """Which of `data`, `sim` and `demo` it needs."""
        return {field for word in self.words for _, field, _, _ in Formatter().parse(word) if field}

    def command(self, folders: dict[str, Path], results: Path) -> list[str]:
        """What is started, from the root of the checkout."""
        words = [found for word in self.words for found in _expanded(word, folders)]
        if self.runs.endswith(".py"):
            return [sys.executable, "-m", "pytest", self.runs, "-s", "-q", "--results", str(results), *words]
        return [sys.executable, "-m", self.runs, *words, "--json", str(results)]


def _expanded(word: str, folders: dict[str, Path]) -> list[str]:
    word = word.format_map(folders)
    folder, star, ending = word.partition("/*")
    return [str(path) for path in sorted(Path(folder).glob(f"*{ending}"))] if star else [word]


def _der(name: str, folder: str, *words: str) -> Step:
    return Step(f"der_{name}", "benchmarks.der", (folder, *words, "--name", f"der_{name}"), (f"der_{name}",))


def _activity(table: str, name: str, *files: str) -> Step:
    return Step(name, "benchmarks.activity", (table, *files, "--name", name), (name,))


def _serve(name: str, *words: str) -> Step:
    return Step(name, "benchmarks.serve", (*words, "--name", name), (name,))


DRIFT = ("drift_numeric", "drift_decisions", "drift_clock", "drift_identity")
ENGINE = Step("engine", "benchmarks/bench_engine.py", (), ("engine",))

FULL = (
    ENGINE,
    Step("kernels", "benchmarks/bench_kernels.py", (), ("kernels",)),
    Step("embedding", "benchmarks/bench_embedding.py", (), ("embedding",)),
    Step("roofline", "benchmarks.roofline", (SIM_DEV, AMI), ("roofline",)),
    Step("latency", "benchmarks.latency", (), ("latency",)),
    _serve("serve", "--sessions", *SESSIONS, "--seconds", "20", "--repeats", "3"),
    _serve("serve_store", *STORED),
    _serve("serve_hop_1s", "--find", "--hop", "1", "--seconds", "30"),
    _serve("serve_hop_05s", "--find", "--hop", "0.5", "--seconds", "30"),
    Step("snapshots", "benchmarks.snapshots", (SIM_DEV + "/*.flac",), ("snapshots",)),
    _der("sim_dev", SIM_DEV),
    _der("fresh", "{sim}/test", "{sim}/fresh", "{sim}/b41", "{sim}/b42"),
    _der("unseen", "{sim}/b43", "{sim}/b44"),
    _der("ami", AMI),
    _activity("accuracy", "activity_sim_dev", SIM_DEV + "/*.flac"),
    _activity("accuracy", "activity_ami", AMI + "/*.flac"),
    _activity("cost", "activity_cost", SIM_DEV + "/d00.flac"),
    _activity("gate", "activity_gate", SIM_DEV + "/*.flac"),
    _activity("drift", "activity_drift", SIM_DEV + "/*.flac", "--hours", "1"),
    Step("identify", "benchmarks.identify", ("{data}",), ("identify",)),
    Step("identify_streams", "benchmarks.identify_streams", ("{data}",), ("identify_streams",)),
    Step("drift", "benchmarks.drift", ("all", SIM_DEV), DRIFT),
    Step("peers", "benchmarks.peers", (), ("peers",)),
    Step("meetings", "benchmarks.meetings", ("{sim}/meetings", "--data", "{data}", *MEETINGS), ("meetings",)),
    Step("words", "benchmarks.words", ("{data}",), ("words",)),
    Step("timeline", "benchmarks.timeline_picture", (SIM_DEV + "/d00.flac",), ("timeline",)),
    Step("long_stream", "benchmarks.long_stream", (SIM_DEV + "/*.flac", "--hours", "8"), ("long_stream",)),
    Step("long_file", "benchmarks.long_file", (SIM_DEV + "/*.flac", "--hours", "8"), ("long_file",)),
    Step("soak", "benchmarks.soak", ("--minutes", "30"), ("soak",)),
    Step("soak_deaths", "benchmarks.soak_deaths", ("--minutes", "30", "--clients", "6"), ("soak_deaths",)),
    Step("floods", "benchmarks.floods", (), ("floods",)),
    Step("fuzz", "benchmarks.fuzz", (), ("fuzz",)),
    Step("conformance", "benchmarks.conformance", (), ("conformance",)),
)

QUICK = (
    ENGINE,
    Step("latency", "benchmarks.latency", ("--quick",), ("latency",)),
    _serve("serve", "--sessions", "1", "4", "--seconds", "10"),
    replace(_der("sim_dev", SIM_DEV + "/d00.flac"), instead=_der("demo", "{demo}")),
    Step("drift", "benchmarks.drift", ("all", "--quick"), DRIFT),
    Step("peers", "benchmarks.peers", ("--quick",), ("peers",)),
    Step("timeline", "benchmarks.timeline_picture", (), ("timeline",)),
)

RESULTS = frozenset(result for step in FULL for result in step.results)


def simulated(folder: str, seed: int) -> list[str]:
    """The words of benchmarks.simulate for a set that is reported (benchmarks/README.md)."""
    speech = ["{data}/speakers", "--noise", "{data}/noise", "--rooms", "{data}/rir"]
    size = f"--split 2/2 --minutes 4 6 --conversations 10 --seed {seed} --prefix {folder}".split()
    return [*speech, *size, "--speakers", *ELEVEN.split()]


SEEDS = {"test": 11, "fresh": 31, "b41": 41, "b42": 42, "b43": 43, "b44": 44}
SETS = {folder: simulated(folder, seed) for folder, seed in SEEDS.items()}  # folders of SIM
