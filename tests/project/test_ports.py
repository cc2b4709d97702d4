"""satellite/ports.py is true: every driver has these methods with these arguments, and no app asks
for more.

Read from the source, so that the board's drivers are held too, which run on no host.
"""

import ast

import pytest

from host_tools.shared_firmware import FIRMWARE, ROOT

PORTS = FIRMWARE / "satellite" / "ports.py"
SIMULATED = ROOT / "host_tools" / "on_micropython"
WORLD = SIMULATED / "simulated_world.py"
DRIVERS = FIRMWARE / "drivers"
#: Who is behind each port: (file, class).
BEHIND = {
    "Hardware": [
        (DRIVERS / "hardware.py", "Hardware"),
        (SIMULATED / "simulated_device.py", "Drivers"),
    ],
    "Microphone": [(DRIVERS / "i2s_microphone.py", "I2SMicrophone"), (WORLD, "Microphone")],
    "Speaker": [
        (DRIVERS / "i2s_speaker.py", "I2SSpeaker"),
        (SIMULATED / "simulated_speaker.py", "Speaker"),
    ],
    "LightDriver": [
        (DRIVERS / "lights.py", "NeoPixelLight"),
        (DRIVERS / "lights.py", "APA102Light"),
        (DRIVERS / "lights.py", "PWMLight"),
        (WORLD, "LightDriver"),
    ],
    "Controls": [(DRIVERS / "controls.py", "Controls"), (WORLD, "Controls")],
    "Clock": [(DRIVERS / "clock.py", "Clock"), (WORLD, "Clock")],
    "Watchdog": [(DRIVERS / "watchdog.py", "Watchdog"), (WORLD, "Watchdog")],
    "Storage": [(DRIVERS / "storage.py", "Files"), (WORLD, "Disk")],
    "Wifi": [(DRIVERS / "wifi.py", "Wifi"), (WORLD, "Wifi")],
}
CASES = [(port, path, name) for port, drivers in BEHIND.items() for path, name in drivers]
#: Where the satellite keeps a driver, and which port that is.
HELD_AS = {
    "mic": "Microphone",
    "speaker": "Speaker",
    "_speaker": "Speaker",
    "controls": "Controls",
    "clock": "Clock",
    "watchdog": "Watchdog",
    "_clock": "Clock",
    "_storage": "Storage",
    "_driver": "LightDriver",
}


def classes(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def methods(path, name):
    """{method: its argument names} of a class, those of its base in the drivers included."""
    node = classes(path)[name]
    found = {}
    for base in node.bases:
        assert isinstance(base, ast.Name) and base.id == "Files", base
        found.update(methods(DRIVERS / "storage.py", "Files"))
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            found[item.name] = [argument.arg for argument in item.args.args[1:]]
    return found


def attributes(path, name):
    """Names set on the class or on self, and properties."""
    found = set()
    for item in ast.walk(classes(path)[name]):
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
            found.add(item.attr)
        elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
            found.add(item.id)
        elif isinstance(item, ast.FunctionDef) and item.decorator_list:
            found.add(item.name)
    return found


@pytest.mark.parametrize(
    "port, path, name", CASES, ids=lambda case: str(getattr(case, "stem", case))
)
def test_a_driver_has_what_its_port_declares(port, path, name):
    has = methods(path, name)
    given = attributes(path, name)
    for method, arguments in methods(PORTS, port).items():
        if method == "connect":  # made by `join`, when the network is known
            assert method in given, (name, method)
        else:
            assert has.get(method) == arguments, (name, method, has.get(method))
    assert attributes(PORTS, port) <= given, attributes(PORTS, port) - given


def test_every_port_is_behind_something_and_explained():
    assert set(classes(PORTS)) == set(BEHIND)
    for node in classes(PORTS).values():
        for item in [node, *(i for i in node.body if isinstance(i, ast.FunctionDef))]:
            assert ast.get_docstring(item), (node.name, item.name)


def test_the_satellite_asks_for_nothing_that_no_port_declares():
    asked = set()
    for path in [*(FIRMWARE / "satellite").glob("*.py"), FIRMWARE / "main.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            held = node.value
            port = HELD_AS.get(getattr(held, "attr", getattr(held, "id", "")))
            if isinstance(held, ast.Name) and held.id == "drivers":
                port = "Hardware"
            if port:
                asked.add((port, node.attr))
    assert {"Microphone", "Storage", "LightDriver", "Hardware"} <= {port for port, _ in asked}
    loose = {("Watchdog", "loosen")}  # main, of the real one, for the person at the cable
    for port, name in asked - loose:
        declared = set(methods(PORTS, port)) | attributes(PORTS, port)
        assert name in declared, f"{port}.{name} is used and not declared in satellite/ports.py"


def test_ports_cost_the_board_nothing():
    for path in FIRMWARE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "name")]
            module = getattr(node, "module", "") or ""
            assert not module.endswith("ports") and "ports" not in names, path


def test_the_fakes_of_the_tests_take_the_same_arguments():
    """They may have less; what they have is called as the port says."""
    for name in ("Bench", "Memory"):
        has = methods(ROOT / "tests" / "firmware" / "test_app.py", name)
        ports = ("Storage",) if name == "Memory" else ("Microphone", "LightDriver", "Controls")
        agreed = 0
        for port in ports:
            for method, arguments in methods(PORTS, port).items():
                agreed += method in has
                assert has.get(method, arguments) == arguments, (name, method)
        assert agreed >= 3, name


@pytest.mark.parametrize(
    "name",
    ("simulated_device", "simulated_world", "simulated_network", "simulated_cable", "traced"),
)
def test_the_simulated_device_reads_nothing_private(name):
    """A leading underscore is for `self`; a subclass may call what it overrides."""
    for node in ast.walk(ast.parse((SIMULATED / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            owner = node.value
            is_own = isinstance(owner, ast.Name) and owner.id in ("self", "Files", "Gate")
            assert is_own, f"{name}.py:{node.lineno}: {ast.unparse(node)}"
