"""Who may import what in firmware/ and boards/: the table of rooms, held over every file.

The core cannot reach the chip or the network, the drivers cannot reach the gate; what the host
shares of the firmware imports in CPython.  For host_tools/: test_host_imports.py.
"""

import ast
from pathlib import Path

import pytest

from host_tools.shared_firmware import FIRMWARE, ROOT, SHARED

PURE = {"micropython", "array", "struct"}
SATELLITE = PURE | {"json", "hashlib", "binascii"}
#: What CPython and MicroPython both have.
IN_CPYTHON = SATELLITE - {"micropython"}
DRIVERS = {
    *("machine", "network", "neopixel", "esp32", "asyncio", "micropython", "array", "struct"),
    *("time", "select", "gc", "os", "tls"),
}
DIAGNOSIS = (
    PURE
    | {"json", "binascii", "hashlib", "asyncio", "errno", "time", "select", "gc", "os", "sys"}
    | {
        *("machine", "board", "wakeword", "satellite", "drivers"),
    }
)
MAIN = None  # the composition root knows everything
LIMITS = {  # longest match wins
    "wakeword/": PURE | {"binascii"},
    "wakeword/model.py": PURE | {"uctypes"},  # whether buffers lie as the vector unit needs
    "wakeword/kernels_vector_xtensa.py": PURE | {"sys"},  # which chip this is
    "satellite/": SATELLITE,
    "satellite/app.py": SATELLITE | {"asyncio", "time", "gc"},
    "satellite/streamer.py": SATELLITE | {"asyncio", "time"},
    "drivers/": DRIVERS,
    "drivers/dns.py": DRIVERS | {"socket"},
    "diagnostics/": DIAGNOSIS,
    "diag.py": DIAGNOSIS | {"board", "diagnostics"},
    "main.py": MAIN,
    "boot.py": {"os", "json", "sys", "machine", "board"},
}
MAY_USE = {  # rooms that a room may import from, besides itself
    "wakeword": set(),
    "satellite": set(),
    "satellite/app.py": {"wakeword"},
    "satellite/streamer.py": {"wakeword"},
    "drivers": set(),
}
FILES = sorted(FIRMWARE.rglob("*.py"))
BOARDS = sorted((ROOT / "boards").glob("*/board.py"))
#: Never on a device that has no open door.
DOORS = {"webrepl", "webrepl_setup", "ftp", "telnetlib", "usocket", "socket", "_thread", "esp"}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, at any depth, `from .` as its own room.

    What stands under `if False:` is for a type checker: MicroPython does not compile it.
    """
    room = path.relative_to(FIRMWARE).parts[0] if path.is_relative_to(FIRMWARE) else ""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    tree.body = [node for node in tree.body if not _is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(room if node.level else (node.module or "").split(".")[0])
        elif isinstance(node, ast.Name) and node.id == "__import__":
            found.add("__import__")
    return found


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "False"


def limit(relative: str):
    """What a file of the firmware may import; KeyError when no rule is for it."""
    rules = [rule for rule in LIMITS if relative == rule or relative.startswith(rule)]
    return LIMITS[max(rules, key=len)]


def breaches(relative: str, names: set[str]) -> set[str]:
    """The names that this file must not import."""
    allowed = limit(relative)
    if allowed is MAIN:
        return names & DOORS
    room = relative.split("/")[0]
    rooms = {room} | MAY_USE.get(relative, MAY_USE.get(room, set()))
    return {name for name in names if name not in allowed and name not in rooms}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FIRMWARE)))
def test_firmware_imports_only_what_its_room_may(path):
    relative = path.relative_to(FIRMWARE).as_posix()
    assert not breaches(relative, imported(path)), relative


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.parent.name)
def test_boards_import_nothing(path):
    assert imported(path) == set()


@pytest.mark.parametrize("module", SHARED)
def test_what_the_host_shares_runs_without_micropython(module):
    """When it is imported; a function for the device alone may import the firmware."""
    path = ROOT / (module.replace(".", "/") + ".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= IN_CPYTHON
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert f"{module.rpartition('.')[0]}.{node.module}" in SHARED
        elif isinstance(node, ast.ImportFrom):
            assert node.module in IN_CPYTHON


def _is_method_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def test_the_one_that_imports_socket_only_looks_up_names():
    """Nothing that could listen or carry a stream: asyncio's client connects, and only it."""
    tree = ast.parse((FIRMWARE / "drivers" / "dns.py").read_text(encoding="utf-8"))
    doors = ("socket", "_thread")
    named = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in doors]
    used = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in doors
    ]
    assert len(named) == len(used), "handed on as a whole"
    called = {node.func.attr for node in ast.walk(tree) if _is_method_call(node)}
    assert not called & {"bind", "listen", "accept", "makefile"}, called
    assert set(used) == {
        *("socket.socket", "socket.AF_INET", "socket.SOCK_DGRAM", "socket.getaddrinfo"),
    }


def test_the_rule_bites():
    for relative, name in (
        ("wakeword/engine.py", "machine"),
        ("wakeword/engine.py", "time"),
        ("wakeword/engine.py", "satellite"),
        ("satellite/gate.py", "asyncio"),
        ("satellite/gate.py", "wakeword"),
        ("satellite/app.py", "network"),
        ("satellite/app.py", "drivers"),
        ("drivers/wifi.py", "satellite"),
        ("drivers/wifi.py", "webrepl"),
        ("drivers/wifi.py", "socket"),
        ("main.py", "webrepl"),
        ("boot.py", "network"),
    ):
        assert breaches(relative, {name}) == {name}, (relative, name)
    assert not breaches("satellite/app.py", {"asyncio", "wakeword", "satellite"})
    assert not breaches("main.py", {"machine", "drivers", "satellite"})
    with pytest.raises(ValueError):
        limit("elsewhere/x.py")
