"""The header with which a proxy says whose connection it passes on: the PROXY protocol, versions 1 and 2.

https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from ..errors import TurnstreamError

TEXT, BINARY = b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"  # how version 1 and version 2 begin
TEXT_BYTES, BINARY_BYTES = 107, 4096  # at most; a version 2 header may hold more than addresses
FIXED = struct.Struct(">BBH")  # version and command, family and transport, length of the rest
LOCAL, PROXIED = 0x20, 0x21
ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, and over IPv6: source and destination, and both their ports


class ProxyHeaderError(TurnstreamError):
    """The bytes are no such header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """`client` is None where the proxy speaks for itself, as to ask how the server is; `size` in bytes."""

    client: str | None
    size: int


def read_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of a connection; None where more has to come. Raises ProxyHeaderError."""
    if data.startswith(BINARY):
        return _read_binary(data)
    if data.startswith(TEXT):
        return _read_text(data)
    if BINARY.startswith(data) or TEXT.startswith(data):
        return None
    raise ProxyHeaderError("expected a PROXY header, got none")


def _read_text(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:TEXT_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= TEXT_BYTES:
            raise ProxyHeaderError(f"expected a PROXY header of at most {TEXT_BYTES} bytes, got a longer one")
        return None
    size = len(line) + len(end)
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader(None, size)
        case [_, b"TCP4" | b"TCP6" as family, source, _, _, _]:
            return ProxyHeader(_parsed(source, int(family[3:])), size)
    raise ProxyHeaderError("expected PROXY TCP4 or TCP6 with two addresses and two ports, got another header")


def _parsed(source: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(source.decode("ascii"))
    except ValueError:
        raise ProxyHeaderError(f"expected an address in the PROXY header, got {source!r}") from None
    if address.version != version:
        raise ProxyHeaderError(f"expected an IPv{version} address in the PROXY header, got {address}")
    return str(address)


def _read_binary(data: bytes) -> ProxyHeader | None:
    begin = len(BINARY) + FIXED.size
    if len(data) < begin:
        return None
    command, kind, length = FIXED.unpack_from(data, len(BINARY))
    size = begin + length
    if command not in (LOCAL, PROXIED):
        raise ProxyHeaderError(f"expected version 2 and a command of 0 or 1 in the PROXY header, got {command:#04x}")
    if size > BINARY_BYTES:
        raise ProxyHeaderError(f"expected a PROXY header of at most {BINARY_BYTES} bytes, got {size}")
    width = ADDRESS_BYTES.get(kind, 0) if command == PROXIED else 0
    if length < 2 * width + (4 if width else 0):
        raise ProxyHeaderError(f"expected {2 * width + 4} bytes of addresses in the PROXY header, got {length}")
    if len(data) < size:
        return None
    return ProxyHeader(str(ipaddress.ip_address(data[begin : begin + width])) if width else None, size)
