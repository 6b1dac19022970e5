"""Servers of one store that are killed, hang and are replaced under clients: is a result wrong, is a session lost?

    python -m benchmarks.soak_deaths --minutes 30 --servers 3 [--seed 0]

Three servers behind HAProxy (docs/cluster.md), of which every ten seconds one or two at a time are killed, hang or are
replaced, under the clients of benchmarks.soak, whose connections end by faults of their own. The results have to be
right nevertheless. Memory is that of all servers; those that die begin anew.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random

from benchmarks.results import Figure
from benchmarks.serve import metric
from benchmarks.soak import RESUME_S, Tally, Visitor, check, counts, expected_and_visitors, options, soak, write
from benchmarks.soak_servers import Servers, servers

FORGOTTEN_S = RESUME_S + 3  # after the last client has left


async def soak_dying(behind: Servers, args: argparse.Namespace, visitors: list[Visitor], tally: Tally) -> float:
    """The soak while servers die; the sessions that are left at the end."""
    await behind.start_all()
    dying = asyncio.create_task(behind.suffer(random.Random(f"{args.seed} deaths")))
    await soak(behind.footprint, behind.url, 0.0, args.minutes, visitors, tally)
    behind.over = True
    await dying
    await asyncio.sleep(FORGOTTEN_S)
    left = [await asyncio.to_thread(metric, f"ws://127.0.0.1:{port}", "sessions") for port in behind.ports]
    return sum(left)


def main() -> None:
    """Prints a line now and then, and at the end what became of servers and sessions."""
    parser = options(__doc__)
    parser.add_argument("--servers", type=int, default=3, metavar="N")
    args, load, tally = parser.parse_args(), os.getloadavg()[0], Tally()
    visitors = expected_and_visitors(args, tally)
    room = ("--sessions", str(4 * args.clients), "--sessions-per-address", str(4 * args.clients))
    with servers(args.servers, *room, "--resume", str(RESUME_S), "--snapshots", "2") as behind:
        left = asyncio.run(soak_dying(behind, args, visitors, tally))
        deaths = {f"deaths.{death.replace(' ', '_')}": count for death, count in sorted(behind.deaths.items())}
    print(f"servers: {', '.join(f'{count} {death}' for death, count in behind.deaths.items())}; {left:g} sessions left")
    died = {name: Figure(count, "servers", "time", "neither") for name, count in deaths.items()}
    write("soak_deaths", args, {**counts(tally, left), **died}, load)
    check(tally, left)


if __name__ == "__main__":
    main()
