"""The socket that accepts connections: a few at a time, and only those that say something.

A client of any kind speaks first. Where the system can hold a connection back until it does (Linux), one that is
silent costs this process nothing for a moment.
"""

from __future__ import annotations

import resource
import socket

from .config import ServerConfig, ServerError

BUFFER_BYTES = 1 << 18  # of a socket, each way: what a client may send or leave unread beyond the queues
BACKLOG = 1024  # connections to be accepted; where it is full, newcomers try again only after a second
ACCEPTED_AT_ONCE = 8  # then other work has its turn, and requests of those accepted before are read
SPEAKS_WITHIN_S = 2  # a silent connection is accepted after about this time


class Listener(socket.socket):
    """Keeps a long queue whatever asyncio asks for, which is how many it accepts at once."""

    def listen(self, backlog: int = BACKLOG, /) -> None:
        """As socket.socket's."""
        super().listen(BACKLOG)


def listening_socket(config: ServerConfig) -> socket.socket:
    """Bound to the address, and as bounded as it says. Raises ServerError."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = Listener(family)
    for option, value in (
        (socket.SO_REUSEADDR, 1),
        (socket.SO_RCVBUF, BUFFER_BYTES),
        (socket.SO_SNDBUF, BUFFER_BYTES),
    ):
        listener.setsockopt(socket.SOL_SOCKET, option, value)  # connections inherit the buffers
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SPEAKS_WITHIN_S)
    try:
        listener.bind((config.host, config.port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"cannot listen on {config.host} port {config.port}: {reason}") from None
    return listener


def within_descriptors(most: int, part: int = 4) -> int:
    """A quarter, or another part, of the files that this process may open, at most."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else min(most, max(8, soft // part))
