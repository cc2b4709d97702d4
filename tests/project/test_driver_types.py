"""The drivers, the examples and what they get from MicroPython, type-checked as on an ESP32-S3.

The stubs (micropython-stubs) stand for the chip's modules and for its standard library, which is
not CPython's; so this is a run of mypy of its own, with the stubs copied to a folder that host
code never sees.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from host_tools.shared_firmware import FIRMWARE, ROOT

EXAMPLES = ROOT / "examples"
BOARD_STUBS = "micropython-esp32-esp32_generic_s3-stubs"
LIBRARY_STUBS = "micropython-stdlib-stubs"
CONFIG = """
[mypy]
python_version = 3.10
check_untyped_defs = true
explicit_package_bases = true
custom_typeshed_dir = {typeshed}
mypy_path = {stubs}:{firmware}
cache_dir = {cache}
exclude = _xtensa\\.py$

# assembler's instructions and registers are names that only the compiler knows
[mypy-drivers.pcm_xtensa]
follow_imports = skip

# viper's types are names that only the compiler knows
[mypy-drivers.overruns,drivers.pcm,drivers.i2s_speaker]
disable_error_code = name-defined

# of the engine the examples see what mypy can tell; it is tested elsewhere
[mypy-wakeword.*]
follow_imports = silent

# the stubs of ssl know no SSLContext.verify_mode; MicroPython has it
[mypy-drivers.tls]
disable_error_code = attr-defined

# the stubs themselves have errors that are not ours
[mypy-machine,network,vfs,_mpy_shed.*]
ignore_errors = true
"""


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """`check(*paths)` -> (exit status, output) of mypy with the ESP32-S3's stubs."""
    try:
        packages = [distribution(BOARD_STUBS), distribution(LIBRARY_STUBS)]
    except PackageNotFoundError as error:
        pytest.skip(f"stubs are missing: {error}")
    folder = tmp_path_factory.mktemp("stubs")
    stubs, typeshed = folder / "board", folder / "typeshed"
    for package in packages:
        for file in package.files or ():
            if file.suffix not in (".pyi", ".py", "") or ".dist-info" in file.parts[0]:
                continue
            inside = file.parts[0] in ("stdlib", "stubs")
            target = (typeshed if inside else stubs) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(package.locate_file(file)), target)
    config = folder / "mypy.ini"
    config.write_text(
        CONFIG.format(typeshed=typeshed, stubs=stubs, firmware=FIRMWARE, cache=folder / "cache")
    )

    def run(*paths: Path):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", str(config), *map(str, paths)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "MYPYPATH": ""},
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_drivers_fit_the_chips_modules(check):
    status, said = check(FIRMWARE / "drivers")
    assert status == 0, said


def test_examples_fit_the_chips_modules(check):
    status, said = check(*sorted(EXAMPLES.glob("*.py")))
    assert status == 0, said


def test_the_check_would_find_a_wrong_call(check, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from machine import I2S, Pin\n\n\ndef start():\n    Pin(4).levl(1)\n"
        "    return I2S(0, sck=Pin(4), clock=Pin(5))\n"
    )
    status, said = check(wrong)
    assert status == 1 and "levl" in said and "I2S" in said, said
