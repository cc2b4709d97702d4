"""Who may import what in host_tools: the floors of the rooms, held over every file.

docs/architecture.md shows the same table.  Each breach names its file and line and says the rule.
"""

import ast
from pathlib import Path

import pytest

from host_tools.shared_firmware import ROOT, SHARED

#: The rooms (folders, and modules that stand alone), the highest floor first.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"simulation", "training", "release"},
    {"board"},
    {"evaluation", "xtensa", "companion"},
    {"models", "answers", "home", "service", "donation", "audit"},
    {"audio", "receiver", "micropython"},
    {"atomic_file", "progress", "places"},
    {"shared_firmware", "errors", "version"},
)
FLOOR = {room: len(FLOORS) - i for i, rooms in enumerate(FLOORS) for room in rooms}
GUESTS = "on_micropython"
#: Arrows inside commands/: a command and the part of it that has a file of its own.
INSIDE_COMMANDS = {
    ("bench", "bench_port"),
    ("companion", "companion_setup"),
    ("provision", "provision_questions"),
    ("receive", "receive_service"),
    ("train", "train_questions"),
    ("train", "train_text"),
}
#: Options that several commands have; every command may import them.
SHARED_BY_COMMANDS = {"options", "tables"}
#: Modules that only MicroPython has, and the firmware's own names there.
ONLY_IN_MICROPYTHON = {
    *("machine", "network", "neopixel", "esp32", "uctypes", "utime", "uasyncio"),
    *("wakeword", "satellite", "drivers", "diagnostics", "boot", "diag", "main", "board"),
}

DOWNWARDS = "rooms import downwards only"
COMMANDS_ALONE = "nobody outside imports commands/"
COMMANDS_APART = "a command does not import another"
GUESTS_APART = "on_micropython/ is never imported by CPython code"
GUESTS_HOME = "what runs inside MicroPython lives in on_micropython/"
GUESTS_ALONE = "what runs inside MicroPython imports nothing of the host"
SHARED_ONLY = "of the firmware the host imports what SHARED lists"
WHOLE_NAMES = "imports are written with the whole name"
NO_CIRCLES = "no circles"
HAS_FLOOR = "every room has a floor in FLOORS"


def module_name(path):
    """host_tools/audio/files.py as host_tools.audio.files; a package by its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(source, modules, package=""):
    """(line, module) of every import in a source, wherever it stands; a name that is one of
    `modules` counts as a module, and an import relative to `package` starts with it and a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in modules or whole in SHARED else base or "."
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            yield from ((node.lineno, name) for name in names)


def room_of(module):
    """The room of host_tools.audio.files: audio."""
    return (module.split(".") + [""])[1]


def guest_breach(target):
    return GUESTS_ALONE if target.split(".")[0] in ("host_tools", "firmware") else None


def firmware_breach(target):
    is_shared = target in SHARED or any(target.startswith(name + ".") for name in SHARED)
    return None if is_shared else SHARED_ONLY


def host_breach(module, target):
    """The rule that an arrow from a module of the host to another breaks, or None."""
    room, wanted = room_of(module), room_of(target)
    if wanted == GUESTS:
        return GUESTS_APART
    if not wanted or wanted == room != "commands":
        return None
    if wanted == "commands":
        if room != "commands":
            return COMMANDS_ALONE
        pair = (module.split(".")[-1], target.split(".")[-1])
        is_allowed = pair in INSIDE_COMMANDS or pair[1] in SHARED_BY_COMMANDS
        return None if is_allowed else COMMANDS_APART
    if wanted not in FLOOR or room not in FLOOR:
        return HAS_FLOOR
    return None if FLOOR[wanted] < FLOOR[room] else DOWNWARDS


def breach(module, target):
    """The rule that this import breaks, or None."""
    top = target.split(".")[0]
    if target.startswith("."):
        return WHOLE_NAMES
    if room_of(module) == GUESTS:
        return guest_breach(target)
    if top == "firmware":
        return firmware_breach(target)
    if top == "host_tools":
        return host_breach(module, target)
    return GUESTS_HOME if top in ONLY_IN_MICROPYTHON else None


def circles(graph):
    """The circles of {name: set of names}: each once, as the sorted names in it."""
    reach = {name: set(graph[name]) for name in graph}
    for middle in graph:
        for name in graph:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    found = {
        tuple(sorted({name} | {other for other in reach[name] if name in reach.get(other, ())}))
        for name in graph
        if name in reach[name]
    }
    return sorted(found)


def breaches(sources):
    """Every breach in {path: source}, as `file:line: module: rule`."""
    paths = {module_name(path): path for path in sources}
    files = {module: set() for module in paths}
    rooms = {room_of(module): set() for module in paths}
    found = []
    for module, path in paths.items():
        for line, target in arrows(sources[path], paths):
            if rule := breach(module, target):
                found.append(f"{path.as_posix()}:{line}: {target}: {rule}")
            if target in files and target != module:
                files[module].add(target)
            if target in files and room_of(target) != room_of(module):
                rooms[room_of(module)].add(room_of(target))
    found += [f"{' <-> '.join(circle)}: {NO_CIRCLES}" for circle in circles(files)]
    found += [f"rooms {' <-> '.join(circle)}: {NO_CIRCLES}" for circle in circles(rooms)]
    return found


def sources_of(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in paths}


def test_every_import_of_the_host_tools_keeps_the_rules():
    assert breaches(sources_of("host_tools")) == []


def test_no_circles_in_the_firmware():
    """In firmware/ a module is imported by its place on the board: `satellite.gate`."""
    sources = {
        module_name(path).removeprefix("firmware."): text
        for path, text in sources_of("firmware").items()
    }
    graph = {
        name: {
            target
            for _, target in arrows(text, sources, name.rpartition(".")[0])
            if target in sources and target != name
        }
        for name, text in sources.items()
    }
    assert graph["main"] > {"satellite.app", "wakeword.engine"}
    assert graph["satellite.streamer"] >= {"satellite.protocol", "satellite.gate"}
    assert circles(graph) == []


@pytest.mark.parametrize(
    "file, statement, rule",
    [
        ("audio/files.py", "from host_tools.models import graph", DOWNWARDS),
        ("audio/files.py", "from host_tools import micropython", DOWNWARDS),
        ("models/graph.py", "from host_tools.xtensa import mpy", DOWNWARDS),
        ("board/build.py", "import host_tools.simulation.runner", DOWNWARDS),
        ("errors.py", "from host_tools import version", DOWNWARDS),
        ("evaluation/cache.py", "from host_tools.commands import bench", COMMANDS_ALONE),
        ("cli.py", "from host_tools.commands.bench import command", COMMANDS_ALONE),
        ("commands/erase.py", "from host_tools.commands import bench", COMMANDS_APART),
        ("commands/bench_port.py", "from host_tools.commands import bench", COMMANDS_APART),
        ("models/graph.py", "from host_tools.on_micropython import ram", GUESTS_APART),
        ("models/graph.py", "import machine", GUESTS_HOME),
        ("models/graph.py", "from wakeword import engine", GUESTS_HOME),
        ("on_micropython/ram.py", "from host_tools import errors", GUESTS_ALONE),
        ("models/graph.py", "from firmware.wakeword import engine", SHARED_ONLY),
        ("models/graph.py", "from firmware import main", SHARED_ONLY),
        ("models/graph.py", "def f():\n    from . import plan", WHOLE_NAMES),
        ("audio/files.py", "importlib.import_module('host_tools.models.graph')", DOWNWARDS),
        ("attic/old.py", "from host_tools import errors", HAS_FLOOR),
    ],
)
def test_a_breach_is_named_with_its_line_and_its_rule(file, statement, rule):
    (found,) = breaches({**_TREE, Path("host_tools", file): f"import sys\n{statement}\n"})
    line = 1 + statement.count("\n") + 1
    assert found.startswith(f"host_tools/{file}:{line}: ") and found.endswith(f": {rule}")


@pytest.mark.parametrize(
    "file, statement",
    [
        ("models/graph.py", "from firmware.wakeword import model_format"),
        ("models/graph.py", "from firmware.wakeword.model_format import check"),
        ("models/graph.py", "from host_tools.audio.files import open_audio"),
        ("models/graph.py", "from host_tools.models import plan"),
        ("models/graph.py", "import json, numpy as np"),
        ("commands/bench.py", "from host_tools.commands import bench_port, options"),
        ("commands/bench.py", "from host_tools.simulation import runner"),
        ("on_micropython/ram.py", "import machine\nfrom wakeword.engine import Engine"),
    ],
)
def test_what_the_rules_allow(file, statement):
    assert breaches({**_TREE, Path("host_tools", file): statement}) == []


def test_a_circle_is_found_in_files_and_in_rooms():
    one = {
        Path("host_tools/models/plan.py"): "from host_tools.models import graph",
        Path("host_tools/models/graph.py"): "def f():\n    from host_tools.models import plan",
    }
    assert breaches(one) == [f"host_tools.models.graph <-> host_tools.models.plan: {NO_CIRCLES}"]
    two = {
        Path("host_tools/models/plan.py"): "from host_tools.audio import files",
        Path("host_tools/audio/files.py"): "from host_tools.models import graph",
        Path("host_tools/models/graph.py"): "",
    }
    assert f"rooms audio <-> models: {NO_CIRCLES}" in breaches(two)


_TREE = {
    Path("host_tools", file): ""
    for file in (
        *("__init__.py", "cli.py", "errors.py", "version.py", "micropython.py"),
        *("audio/__init__.py", "audio/files.py", "models/graph.py", "models/plan.py"),
        *("commands/bench.py", "commands/bench_port.py", "commands/options.py"),
        *("simulation/runner.py", "xtensa/mpy.py", "on_micropython/ram.py"),
    )
}
