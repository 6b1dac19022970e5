"""Whether the server's websockets are those of RFC 6455: Autobahn's test suite, some 300 cases, and how each ends.

    python -m benchmarks.conformance [--wstest COMMAND] [--cases 1.* 2.* ...] [--json FOLDER]

The suite expects an echo. So it speaks to the server's own listening code, limits of frames included, with an echo in
the place of sessions. COMMAND is the suite's program, `wstest` (`pip install autobahntestsuite==0.8.2` in an
environment of Python 2.7); where it is not installed, nothing is run. Left out are compression (12, 13), which the
server never agrees to, and messages in 4,096 fragments and more (9.3.1 to 3, 9.4.1 to 3), which it does not take. One
case is known to end otherwise than the suite wants, by the choice of the library that reads the frames (`KNOWN`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.results import Figure, Result
from turnstream.diarizer import Diarizer
from turnstream.server.bounded_socket import Socket
from turnstream.server.config import ServerConfig
from turnstream.server.server import Server

CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")
LEFT_OUT = ("9.3.1", "9.3.2", "9.3.3", "9.4.1", "9.4.2", "9.4.3")
KNOWN = ("7.1.5",)  # a close between the fragments of a message is answered with 1002, not with 1000
LONGEST_BYTES = 1 << 25  # the suite sends 16 MiB
AGENT = "turnstream"
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")  # by the suite's own words; the second ones are told


class Echo(Server):
    """The server with an echo in the place of sessions."""

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Socket)
        connection.trust()
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)


async def run(diarizer: Diarizer, command: str, cases: list[str], left_out: list[str], folder: Path) -> None:
    """The suite's reports go into the folder."""
    config = ServerConfig(port=0, max_sessions=1, max_message_bytes=LONGEST_BYTES)
    async with Echo(diarizer, config).listening() as port:
        specification = {
            "outdir": str(folder),
            "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}],
            "cases": cases,
            "exclude-cases": left_out,
            "exclude-agent-cases": {},
        }
        (folder / "specification.json").write_text(json.dumps(specification))
        arguments = ("--mode", "fuzzingclient", "--spec", str(folder / "specification.json"))
        process = await asyncio.create_subprocess_exec(command, *arguments, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 0, f"expected {command} to end with 0, got {process.returncode}"


def judged(cases: Mapping[str, Mapping[str, object]]) -> Counter[str]:
    """How many cases ended how, each by the worse of its behavior and its close; what is not strictly right is told."""
    found: Counter[str] = Counter()
    for number, case in cases.items():
        ends = str(case["behavior"]), str(case["behaviorClose"])
        ended = next((end for end in ends if end not in GOOD), ends[0])
        found["known" if ended not in GOOD and number in KNOWN else ended] += 1
        if ended not in ("OK", "INFORMATIONAL"):
            print(f"{number}: {' and its close '.join(ends)}, closed with {case.get('remoteCloseCode')}")
    return found


def main() -> int:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wstest", default=shutil.which("wstest"), metavar="COMMAND", help="Autobahn's program")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--exclude", nargs="*", default=list(LEFT_OUT))
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    if args.wstest is None:
        print("not run: there is no wstest here")
        return 0
    with tempfile.TemporaryDirectory() as folder, Diarizer() as diarizer:
        asyncio.run(run(diarizer, args.wstest, args.cases, args.exclude, Path(folder)))
        cases = json.loads((Path(folder) / "index.json").read_text())[AGENT]
    found = judged(cases)
    bad = sum(count for ended, count in found.items() if ended not in (*GOOD, "known"))
    print(f"{len(cases)} cases: " + ", ".join(f"{count} {ended}" for ended, count in sorted(found.items())))
    if args.json:
        figures = {
            "cases": Figure(len(cases), "cases", "count", "neither"),
            "not_strict": Figure(found["NON-STRICT"], "cases", "count"),
            "known": Figure(found["known"], "cases", "count"),
            "failed": Figure(bad, "cases", "count"),
        }
        parameters = {"cases": args.cases, "left_out": args.exclude, "suite": "autobahntestsuite 0.8.2"}
        Result("conformance", "python -m benchmarks.conformance", figures, parameters).write(args.json)
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
