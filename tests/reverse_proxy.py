"""nginx and Caddy with the configurations of deploy/, on ports and files of a test; a skip where one is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from benchmarks.ports import free_port

KINDS = ("nginx", "caddy")
DEPLOY = ROOT / "deploy"
STARTS_S, ENDS_S = 20, 10
NAME = "talk.example.org"
CERTIFICATE = "/etc/letsencrypt/live/talk.example.org/fullchain.pem"
NO_EDITS: Mapping[str, str] = {}
NO_UPGRADE = {"proxy_set_header Upgrade $http_upgrade;": ""}
OTHER_HOST = {
    "proxy_pass http://turnstream": "proxy_pass http://127.0.0.1:8765",
    "proxy_set_header Host $http_host;": "",
}
KEY = "/etc/letsencrypt/live/talk.example.org/privkey.pem"


@dataclass(frozen=True)
class Front:
    """A proxy that runs. `trusting` accepts its certificate."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    trusting: ssl.SSLContext

    @property
    def origin(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def url(self) -> str:
        return self.origin.replace("https", "wss")

    def lead_to(self, port: int) -> None:
        """Reloads nginx with another server behind it, as an operator does for an upgrade."""
        workers = psutil.Process(self.process.pid).children()
        (self.folder / "site.conf").write_text(nginx_site(self.folder, self.port, port, NO_EDITS))
        self.process.send_signal(signal.SIGHUP)
        while not all("shutting down" in " ".join(worker.cmdline()) for worker in workers):
            time.sleep(0.02)
        time.sleep(0.1)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this name that is its own authority, and its key: `cert.pem` and `key.pem`."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", *curve, "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def changed(text: str, **changes: str) -> str:
    """The text with each of these replaced, which have to be in it."""
    for old, new in changes.items():
        assert old in text, f"{old} is not in the configuration"
        text = text.replace(old, new)
    return text


def nginx_site(folder: Path, port: int, behind: int, edits: Mapping[str, str]) -> str:
    """deploy/nginx.conf with these edits, on `port`, with the server on port `behind`."""
    return changed(
        changed((DEPLOY / "nginx.conf").read_text(), **edits),
        **{
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "127.0.0.1:8765": f"127.0.0.1:{behind}",
            CERTIFICATE: str(folder / "cert.pem"),
            KEY: str(folder / "key.pem"),
        },
    )


def _nginx(folder: Path, port: int, behind: int, edits: Mapping[str, str]) -> list[str]:
    (folder / "site.conf").write_text(nginx_site(folder, port, behind, edits))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [
        "user root;" if os.geteuid() == 0 else "",
        f"pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/error.log; daemon off;",
        "events {}",
        "http { access_log off;",
        *(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
        "include site.conf; }",
    ]
    (folder / "nginx.conf").write_text("\n".join(lines))
    return ["-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")]


def _caddy(folder: Path, port: int, behind: int) -> list[str]:
    tls = f"{{\n\ttls {folder}/cert.pem {folder}/key.pem"
    site = changed(
        (DEPLOY / "Caddyfile").read_text(),
        **{"talk.example.org {": f"https://{NAME}:{port} {tls}", "127.0.0.1:8765": f"127.0.0.1:{behind}"},
    )
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
    return ["run", "--adapter", "caddyfile", "--config", str(file)]


@contextlib.contextmanager
def reverse_proxy(
    kind: str, folder: Path, behind: int, *, edits: Mapping[str, str] = NO_EDITS, listen: int = 0
) -> Iterator[Front]:
    """nginx or Caddy on port `listen`, or a free one, before `behind`; nginx with `edits` to its configuration."""
    program = shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{kind} is not installed (Debian: apt install {kind})")
    folder = folder / kind
    folder.mkdir(exist_ok=True)
    certificate, _ = make_certificate(folder, NAME)
    port = listen or free_port()
    arguments = _nginx(folder, port, behind, edits) if kind == "nginx" else _caddy(folder, port, behind)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, env=environment)
    try:
        _await(port, process, folder)
        yield Front(port, folder, process, ssl.create_default_context(cafile=certificate))
    finally:
        process.terminate()
        process.wait(ENDS_S)


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    end_s = time.monotonic() + STARTS_S
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"the proxy does not start: {(folder / 'log').read_text()}")
