"""What a flood meets before the server's websockets: TLS of the server's own, or a balancer. Both on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STARTS_S = 10
CLUSTER = Path(__file__).parents[1] / "docs" / "cluster.md"
SUBJECT = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@contextlib.contextmanager
def tls_options(wanted: bool) -> Iterator[tuple[str, ...]]:
    """Options of a server that speaks TLS, with a certificate that this process trusts; none where it is not wanted."""
    if not wanted:
        yield ()
        return
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        command = ["openssl", "req", "-x509", *CURVE, *SUBJECT, "-nodes", "-days", "1", "-keyout", key]
        subprocess.run([*command, "-out", certificate], check=True, capture_output=True)
        before = dict(os.environ)
        os.environ["SSL_CERT_FILE"] = certificate
        try:
            yield "--tls-cert", certificate, "--tls-key", key
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def balanced(port: int) -> Iterator[int]:
    """The port of HAProxy, with the configuration of docs/cluster.md, in front of that of a server."""
    text = re.search(r"```haproxy\n(.*?)```", CLUSTER.read_text(), re.DOTALL)
    assert text, f"expected a configuration in {CLUSTER}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = int(free.getsockname()[1])
    config = re.sub(r"\n *server [bc] .*", "", text[1].replace("bind :8765", f"bind 127.0.0.1:{own}"))
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(config.replace("10.0.0.1:8765", f"127.0.0.1:{port}"))
        file.flush()
        with subprocess.Popen(["haproxy", "-db", "-f", file.name], stderr=subprocess.DEVNULL) as process:
            try:
                _wait_for(own)
                yield own
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + STARTS_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"expected HAProxy on port {port} within {STARTS_S} s")
