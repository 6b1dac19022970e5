"""Opening a connection to a server: addresses as people write them, and one sentence for whatever goes wrong."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    InvalidHandshake,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.typing import Subprotocol

from turnstream.errors import TurnstreamError
from turnstream.protocol.messages import SUBPROTOCOL

SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
REFUSALS = {
    401: "it wants a token, or another one",
    403: "it does not allow this",
    404: "nothing answers at this path",
    426: "the websocket did not get through: a proxy in front has to pass on Upgrade and Connection",
    503: "it is stopping or full",
}


class ClientError(TurnstreamError):
    """The server cannot be reached or refuses, or the session is lost for good."""


class LostError(ClientError):
    """No connection just now; another try may bring it back."""


def websocket_url(address: str) -> str:
    """`ws://localhost:8765/v1` for `localhost:8765`, `http://localhost:8765/` and the like. Raises ClientError."""
    wrong = ClientError(f"expected an address such as ws://127.0.0.1:8765, got {address}")
    scheme, colon, rest = address.partition("://")
    if not colon:
        scheme, rest = "ws", address
    if scheme.lower() not in SCHEMES:
        raise wrong
    try:
        parts = urlsplit(f"{SCHEMES[scheme.lower()]}://{rest}")
        good = parts.hostname and (parts.port is None or parts.port > 0) and not parts.fragment
    except ValueError:
        raise wrong from None
    if not good or any(letter.isspace() for letter in address):
        raise wrong
    return parts._replace(path="/v1" if parts.path in ("", "/") else parts.path).geturl()


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this address; none for this machine, whatever it says."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    if _is_loopback(host) or proxy_bypass(f"{host}:{parts.port or (443 if secure else 80)}"):
        return None
    named = getproxies()
    kinds = ("wss", "socks", "https") if secure else ("ws", "socks", "https", "http")
    found = next((named[kind] for kind in kinds if kind in named), None)
    return found.replace("http:", "socks5h:", 1) if found and found == named.get("socks") else found


async def open_socket(url: str, token: str | None) -> ClientConnection:
    """An open connection. Raises LostError where another try may help, else ClientError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    protocols = [Subprotocol(SUBPROTOCOL)]
    proxy = proxy_for(url)
    through = f" through the proxy {_without_secrets(proxy)}" if proxy else ""
    try:
        return await connect(
            url,
            subprotocols=protocols,
            additional_headers=headers,
            proxy=proxy,
            max_size=None,
            compression=None,
            ping_interval=None,  # an answer would wait behind the audio that a busy server has not read yet
        )
    except InvalidStatus as error:
        raise _refusal(url, error.response.status_code) from None
    except InvalidProxyStatus as error:
        raise LostError(f"cannot connect to {url}{through}: it refuses (HTTP {error.response.status_code})") from None
    except InvalidProxy:
        raise ClientError(f"cannot connect to {url}{through}: expected http://, https:// or socks5h://") from None
    except ProxyError:
        raise LostError(f"cannot connect to {url}{through}: it does not answer as a proxy does") from None
    except ImportError:
        raise ClientError(f"cannot connect to {url}{through}: pip install 'python-socks[asyncio]'") from None
    except InvalidURI as error:
        raise ClientError(f"cannot connect to {url}: {error}") from None
    except TimeoutError:
        raise LostError(f"{url} does not answer{through}") from None
    except (InvalidHandshake, EOFError):
        raise LostError(f"{url} does not answer as a websocket server does{through}") from None
    except OSError as error:
        raise LostError(f"cannot connect to {url}{through}: {_reason(error)}") from None


def _refusal(url: str, status: int) -> ClientError:
    kind = LostError if status >= 500 else ClientError
    return kind(f"{url} refuses the connection: {REFUSALS.get(status, 'no reason known')} (HTTP {status})")


def _reason(error: OSError) -> str:
    if error.errno is None:  # several addresses were tried
        return "nothing answers there"
    return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost")


def _without_secrets(proxy: str) -> str:
    """Its address without a user and a password."""
    return "//".join([*proxy.split("//")[:-1], proxy.split("//")[-1].rpartition("@")[2]])
