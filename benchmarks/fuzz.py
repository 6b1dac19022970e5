"""Whether the decoders of what strangers send or hand over take anything, and answer it with the documented error.

    python -m benchmarks.fuzz [--messages 1000002] [--only NAME...] [--seed 1] [--json FOLDER]

Messages are shared among the decoders, each of which runs in a process of its own. Where atheris is installed
(`pip install atheris`), it makes them from examples, guided by the coverage of turnstream; else they are examples with
random changes. An answer is good if it is a value, or the documented error with one sentence; of the others the first
are shown, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Figure, Result

if TYPE_CHECKING:
    from benchmarks.fuzzing.targets import Target

NAMES = ("decode_client", "decode_server", "start_of_query", "parse_export", "from_json", "parse_rttm")
LONGEST_BYTES = 4096
DICTIONARY_BYTES = 64  # of a word that libFuzzer takes
MEMORY = Path("/dev/shm")  # for the files that are read: a disk would take most of the time
TOLD = 5  # complaints shown of each decoder
WORDS = (
    *(b"[", b"]", b"{", b"}", b'"', b":", b",", b"null", b"true", b"1e999", b"-1", b"NaN", b"\\ud800", b"\xff", b"\n"),
    *(b'"type":', b'"start"', b'"speakers":', b"9" * 400, b"[" * 40, b'{"a":' * 40, b"%FF", b"&", b"=", b"SPEAKER "),
)


def changed(examples: list[bytes], rng: random.Random) -> bytes:
    """An example with a few changes."""
    data = bytearray(rng.choice(examples))
    for _ in range(rng.randint(0, 4)):
        at, length = rng.randint(0, len(data)), rng.choice((0, 1, 1, 8, 64))
        other = rng.choice(examples)
        new = rng.choice((rng.choice(WORDS), rng.randbytes(2), other[rng.randint(0, len(other)) :], b""))
        data[at : at + length] = new
    return bytes(data[:LONGEST_BYTES])


class Count:
    """Gives messages to a target, up to `messages`; then it prints what came of them and ends the process."""

    def __init__(self, target: Target, messages: int):
        self._target, self._left = target, messages
        self._complaints: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def __call__(self, data: bytes) -> None:
        if complaint := self._target.complaint(data):
            self._complaints[complaint] += 1
            self._examples.setdefault(complaint, repr(data[:300]))
        self._left -= 1
        if self._left == 0:
            shown = [(said, self._examples[said]) for said, _ in self._complaints.most_common(TOLD)]
            print(json.dumps({"bad": self._complaints.total(), "shown": shown}), flush=True)
            os._exit(0)


def by_chance(name: str, messages: int, seed: int) -> None:
    """Examples with random changes, in this process."""
    from benchmarks.fuzzing.targets import targets

    target, rng = targets()[name], random.Random(seed)
    count = Count(target, messages)
    while True:
        count(changed(list(target.examples), rng))


def by_coverage(name: str, messages: int, seed: int) -> None:
    """What atheris makes, in this process."""
    import atheris

    with atheris.instrument_imports(include=["turnstream"]):
        from benchmarks.fuzzing.targets import targets
    target = targets()[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(target.examples):
            (Path(folder) / str(number)).write_bytes(example)
        words = Path(folder).with_suffix(".dict")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS if len(word) <= DICTIONARY_BYTES))
        options = [f"-seed={seed}", f"-max_len={LONGEST_BYTES}", f"-dict={words}", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, folder], Count(target, messages))
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def measure(name: str, messages: int, seed: int) -> tuple[int, float]:
    """How many bad answers there were, which are shown, and seconds."""
    begun_s = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.fuzz", "--messages", str(messages), "--seed", str(seed)]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        environment = {**os.environ, "TMPDIR": folder}
        command += ["--target", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = json.loads(done.stdout.splitlines()[-1])
    taken_s = time.monotonic() - begun_s
    print(f"{name:16} {messages:9,d} messages {told['bad']:7,d} bad {taken_s:7.1f} s", flush=True)
    for said, example in told["shown"]:
        print(f"    {said}\n        {example}")
    return told["bad"], taken_s


def main() -> int:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_002, help="in all (default: 1000002, as many for each)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    parser.add_argument("--target", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    guided = importlib.util.find_spec("atheris") is not None
    if args.target:
        (by_coverage if guided else by_chance)(args.target, args.messages, args.seed)
    print(f"messages are made by {'atheris, guided by coverage' if guided else 'chance'}")
    share = args.messages // len(args.only)
    found = {name: measure(name, share, args.seed) for name in args.only}
    if args.json:
        figures = {f"{name}.bad": Figure(bad, "answers", "count") for name, (bad, _) in found.items()}
        figures["bad"] = Figure(sum(bad for bad, _ in found.values()), "answers", "count")
        figures["messages"] = Figure(share * len(args.only), "messages", "count", "neither")
        figures["seconds"] = Figure(sum(taken_s for _, taken_s in found.values()), "s", "time")
        parameters = {"messages": args.messages, "only": list(args.only), "guided": guided}
        command = f"python -m benchmarks.fuzz --messages {args.messages} --seed {args.seed}"
        Result("fuzz", command, figures, parameters, seed=args.seed).write(args.json)
    return int(any(bad for bad, _ in found.values()))


if __name__ == "__main__":
    sys.exit(main())
