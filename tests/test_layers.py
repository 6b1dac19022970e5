"""Who may import whom: read from every file's syntax tree, so that a lazy import counts like any other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

LAYERS = {"kernels": {"kernels"}, "stream": {"stream", "kernels"}, "clients": {"stream", "kernels", "clients"}}
PUBLIC_NAMES = "stream/__init__.py"  # names everything public, the client too, and loads it when it is used

# The parts of stream/ and what each may import beside itself.
BASE = {"errors", "files", "json_text", "windows", "limits", "labels", "rttm"}
PARTS: dict[str, set[str]] = {
    "errors": {"limits"},
    "exclusive": {"errors"},
    "files": set(),
    "heap": set(),
    "in_thread": set(),
    "json_text": set(),
    "windows": {"errors", "limits"},
    "limits": set(),
    "wire": {"errors", "json_text", "limits"},
    "labels": {"limits"},
    "rttm": {"errors"},
    "events": {"errors", "limits", "rttm", "windows", "wire"},
    "weights": {"errors", "files", "json_text", "limits", "windows"},
    "protocol": {"errors", "events", "limits", "wire"},
    "audio": {"errors", "limits", "windows"},
    "models": BASE | {"audio", "weights"},
    "stitching": BASE,
    "timeline": BASE | {"events", "stitching"},
    "people": BASE | {"events", "stitching", "timeline"},
    "publisher": BASE | {"events", "models", "timeline"},
    "ahead": BASE | {"audio", "models", "stitching"},
    "edits": {"errors", "events"},
    "roster": BASE | {"edits", "events", "people", "stitching", "timeline"},
    "result": {"edits", "events", "publisher", "roster", "timeline"},
    "pipeline": BASE | {"ahead", "audio", "models", "people", "roster", "stitching", "timeline"},
    "session": BASE
    | {"audio", "events", "exclusive", "in_thread", "models", "people", "pipeline", "publisher", "result"}
    | {"stitching", "timeline"},
    "diarizer": BASE | {"audio", "models", "people", "session", "stitching", "timeline", "weights"},
    "offline": BASE | {"audio", "events", "models", "session", "stitching", "timeline"},
    "snapshot": BASE
    | {"ahead", "audio", "events", "exclusive", "models", "people", "publisher", "session", "stitching", "timeline"},
    "stores": {"errors", "files"},
    "server": BASE
    | {"audio", "diarizer", "events", "heap", "models", "people", "protocol", "session", "snapshot", "stores", "wire"},
}
CLIENTS_NAMED = re.compile(r"turnstream\.clients|\bclients[/\\]|^clients(\.|$)")
HEAVY = ("mlx", "numba", "numpy", "scipy", "soundfile", "soxr")


@dataclass(frozen=True)
class Import:
    """`target` is absolute: turnstream.audio.input and, where a name may be a module, that name behind it."""

    target: str
    relative: bool
    line: int

    @property
    def layer(self) -> str:
        return self.part if self.part in ("kernels", "clients") else "stream"

    @property
    def part(self) -> str:
        return self.target.partition(".")[2].partition(".")[0]


def package_of(path: Path) -> list[str]:
    """The package that a relative import in this file (relative to the root) starts from."""
    layer, *folders = path.parent.parts
    return ["turnstream", *([] if layer == "stream" else [layer]), *folders]


def imports(path: Path, tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, False, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(path)
            start = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", node.level > 0, node.lineno) for alias in node.names)


def own_imports(path: Path, tree: ast.Module) -> Iterator[Import]:
    return (found for found in imports(path, tree) if found.target.split(".")[0] == "turnstream")


def wrong_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    layer = path.parts[0]
    for found in own_imports(path, tree):
        if found.layer not in LAYERS[layer] and str(path) != PUBLIC_NAMES:
            yield f"{path}:{found.line} {layer} imports {found.layer}"
        elif found.relative != (found.layer == layer):
            yield f"{path}:{found.line} relative inside a folder, absolute across: {found.target}"


def wrong_order(path: Path, tree: ast.Module) -> Iterator[str]:
    part = Path(path.parts[1]).stem
    if path.parts[0] != "stream" or str(path) == PUBLIC_NAMES:
        return
    for found in own_imports(path, tree):
        if found.layer == "stream" and found.part not in {part, *PARTS.get(part, ())}:
            yield f"{path}:{found.line} {part} imports {found.part}"


def hidden_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """Modules by name, and paths: the ways around an import statement."""
    if path.parts[0] == "clients" or str(path) == PUBLIC_NAMES:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CLIENTS_NAMED.search(node.value):
            yield f"{path}:{node.lineno} names the clients: {node.value!r}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"{path}:{node.lineno} imports a module by name"


def findings(root: Path) -> list[str]:
    found: list[str] = []
    for file in sorted(file for layer in LAYERS for file in (root / layer).rglob("*.py")):
        path, tree = file.relative_to(root), ast.parse(file.read_text())
        for rule in (wrong_imports, wrong_order, hidden_imports):
            found += rule(path, tree)
    return found


def test_every_import_keeps_to_its_layer() -> None:
    assert findings(ROOT) == []


@pytest.mark.parametrize(
    ("library", "place"), [("ray", "clients/cluster/"), ("redis", "stream/stores/"), ("boto3", "stream/stores/")]
)
def test_what_is_optional_is_imported_in_one_place_and_late(library: str, place: str) -> None:
    importing = re.compile(rf"^( *)(?:import|from) {library}\b", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix(): importing.findall(path.read_text())
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
    }
    found = {path: indents for path, indents in found.items() if indents}
    assert found
    assert all(path.startswith(place) and all(indents) for path, indents in found.items())


def test_every_part_of_stream_is_ordered() -> None:
    parts = {file.stem for file in (ROOT / "stream").glob("*.py")} - {"__init__"}
    parts |= {file.parent.name for file in (ROOT / "stream").glob("*/__init__.py")}
    assert parts == set(PARTS)


def test_the_order_has_no_circle() -> None:
    left = dict(PARTS)
    while free := [part for part, needs in left.items() if not needs & set(left)]:
        for part in free:
            del left[part]
    assert left == {}


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("kernels/lstm.py", "from turnstream.windows import LAYERS", "kernels imports stream"),
        ("kernels/cpu/jit.py", "def f():\n    from ...audio import ring", "kernels imports stream"),
        ("stream/audio/input.py", "import turnstream.clients.cli", "stream imports clients"),
        ("stream/audio/input.py", "from turnstream import clients", "stream imports clients"),
        ("stream/audio/input.py", "from ..clients.cli import main", "stream imports clients"),
        ("stream/audio/ring.py", "from turnstream.errors import AudioError", "relative inside a folder"),
        ("stream/models/embedding.py", "from ..kernels.backend import mx", "relative inside a folder"),
        ("clients/remote/client.py", "from ...errors import TurnstreamError", "relative inside a folder"),
        ("clients/cli.py", "from turnstream.clients.outputs import warn", "relative inside a folder"),
        ("stream/audio/ring.py", "from ..models.batcher import Lane", "audio imports models"),
        ("stream/stitching/stitcher.py", "from ..timeline import timeline", "stitching imports timeline"),
        ("stream/protocol/messages.py", "from .. import server", "protocol imports server"),
        ("stream/wire.py", "from .events import Turn", "wire imports events"),
        ("stream/events.py", "from .timeline.records import TurnRecord", "events imports timeline"),
        ("stream/timeline/records.py", "from ..publisher import Publisher", "timeline imports publisher"),
        ("stream/people/naming.py", "from ..publisher import Publisher", "people imports publisher"),
        ("stream/models/activity.py", "from ..events import Activity", "models imports events"),
        ("stream/__init__.py", "from .clients.remote.client import Client", "relative inside a folder"),
        ("stream/diarizer.py", "from .server.config import ServerConfig", "diarizer imports server"),
        ("stream/server/http.py", "ROOT = 'clients/web'", "names the clients"),
        ("stream/server/http.py", "load = importlib.import_module(name)", "imports a module by name"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, path: str, code: str, says: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(code + "\n")
    (found,) = findings(tmp_path)
    assert says in found


def test_the_public_names_may_name_the_client(tmp_path: Path) -> None:
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream" / "__init__.py").write_text("from turnstream.clients.remote.client import Client\n")
    assert findings(tmp_path) == []


def loaded_by(code: str) -> list[str]:
    """The modules that a fresh interpreter holds after `code`."""
    show = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    "code",
    [
        "import turnstream.clients.remote.client",
        "import turnstream.protocol.messages",
        "from turnstream import Client, ClientError, Start, Started, Status",
        "from turnstream import Turn, Client",
        "from turnstream import Activity, Event, Final, Revision, Speaker, Statistics, Talk, Turn, to_json",
    ],
)
def test_speaking_the_protocol_loads_nothing_heavy(code: str) -> None:
    loaded = loaded_by(code)
    assert "turnstream.events" in loaded
    assert not set(HEAVY) & set(loaded)


def test_the_package_alone_loads_nothing_of_its_own() -> None:
    loaded = loaded_by("import turnstream")
    assert [name for name in loaded if name.split(".")[0] == "turnstream"] == ["turnstream"]
    assert not set(HEAVY) & set(loaded)
