"""The TLS certificate is read again when its files have changed: sessions go on, new connections get the new one."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl

from .config import ServerConfig, ServerError

LOG = logging.getLogger(__name__)
LOOK_S = 5.0
Stamp = tuple[tuple[int, int], ...]


async def renew(config: ServerConfig, context: ssl.SSLContext) -> None:
    """Looks every LOOK_S; files that have changed since the last look may still be being written."""
    read = seen = _stamp(config)
    while True:
        await asyncio.sleep(LOOK_S)
        before, seen = seen, _stamp(config)
        if seen == before != read:
            read = seen
            _read(config, context)


def _read(config: ServerConfig, context: ssl.SSLContext) -> None:
    assert config.tls_certificate is not None
    try:
        config.tls()  # a pair that does not fit would spoil the one in use
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (ServerError, OSError) as error:
        LOG.error("the certificate stays as it was: %s", error)
    else:
        LOG.info("the certificate in %s was read again", config.tls_certificate)


def _stamp(config: ServerConfig) -> Stamp:
    """What changes with every change of the files."""
    try:
        files = [os.stat(path) for path in (config.tls_certificate, config.tls_key) if path is not None]
    except OSError:
        return ()
    return tuple((file.st_mtime_ns, file.st_ino) for file in files)
