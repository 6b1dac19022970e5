"""Servers of one store that are killed, hang and are replaced under clients: is a result wrong, does anything grow?

    python -m benchmarks.soak_deaths --minutes 30 --servers 3 [--seed 0]

Three servers behind HAProxy (docs/cluster.md), of which every ten seconds one or two at a time are killed, hang or are
replaced, under the clients of benchmarks.soak, whose connections end by faults of their own. The results have to be
right nevertheless. The first server only ever hangs, takes over the sessions of the others, and at rest must hold in
the end what it held halfway, as in benchmarks.soak.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import random

from benchmarks.footprint import Footprint, check_flat, figures, footprint
from benchmarks.results import Figure
from benchmarks.serve import metric
from benchmarks.soak import RESUME_S, Tally, Visitor, check, counts, expected_and_visitors, options, rest, soak, write
from benchmarks.soak_servers import Servers, servers


async def soak_dying(
    behind: Servers, args: argparse.Namespace, visitors: list[Visitor], tally: Tally
) -> list[Footprint]:
    """The soak while servers die, in two halves; the first server at rest before, between and after them."""
    await behind.start_all()
    chance = random.Random(f"{args.seed} deaths")
    sample = functools.partial(footprint, behind.processes[behind.ports[0]].pid, behind.addresses[0])
    rests = [await asyncio.to_thread(rest, sample, 0.0)]
    for half in (1, 2):
        behind.over = False
        dying = asyncio.create_task(behind.suffer(chance))
        await soak(behind.footprint, behind.url, rests[-1].minutes, args.minutes / 2, visitors, tally)
        behind.over = True
        await dying
        rests.append(await asyncio.to_thread(rest, sample, half * args.minutes / 2))
    return rests


def deaths(behind: Servers) -> dict[str, Figure]:
    """How many servers what happened to, as `deaths.hung` and so on."""
    return {
        f"deaths.{death.replace(' ', '_')}": Figure(count, "servers", "time", "neither")
        for death, count in sorted(behind.deaths.items())
    }


def main() -> None:
    """Prints a line now and then, and at the end what became of servers and sessions."""
    parser = options(__doc__)
    parser.add_argument("--servers", type=int, default=3, metavar="N")
    args, load, tally = parser.parse_args(), os.getloadavg()[0], Tally()
    visitors = expected_and_visitors(args, tally)
    room = ("--sessions", str(4 * args.clients), "--sessions-per-address", str(4 * args.clients))
    with servers(args.servers, *room, "--resume", str(RESUME_S), "--snapshots", "2") as behind:
        rests = asyncio.run(soak_dying(behind, args, visitors, tally))
        left = sum(metric(url, "sessions") for url in behind.addresses)
    print(f"{', '.join(f'{count} {death}' for death, count in behind.deaths.items())}; {left:g} sessions left")
    found = {**counts(tally, left), **figures(tally.samples, rests), **deaths(behind)}
    write("soak_deaths", args, found, load)
    check(tally, left)
    check_flat(found)


if __name__ == "__main__":
    main()
