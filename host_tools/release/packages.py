"""The engine as packages that MicroPython's own installer takes, mip: one for each kind of chip.

A package is a folder with `package.json`, as micropython-lib's mip and mpremote read it: "urls" is
a list of [path on the board, URL], where a URL without a scheme starts at the folder of the
package.json itself; "version" is text.  "hashes" names files of an index, which this is not, and
"deps" other packages; the engine has none.
"""

from __future__ import annotations

import json
from pathlib import Path

from host_tools.board.build import compiled
from host_tools.shared_firmware import FIRMWARE
from host_tools.version import installed_version

ENGINE = FIRMWARE / "wakeword"
SOURCE = "py"
#: The kinds of machine code, as mpy-cross calls them; xtensawin has the assembler, too.
ARCHITECTURES = ("x64", "xtensawin", "armv6m", "armv7emsp", "rv32imc")
KINDS = (SOURCE, *ARCHITECTURES)
PACKAGE_FILE = "package.json"


def engine_package(kind: str) -> dict[str, bytes]:
    """Return path within the package to bytes: the engine as source or for one architecture.

    Raises HostToolError when mpy-cross refuses a module.
    """
    files = {}
    for path in sorted(ENGINE.rglob("*.py")):
        name = path.relative_to(FIRMWARE).as_posix()
        if kind != SOURCE:
            data = compiled(path, kind)
            if data is not None:
                files[name[: -len(".py")] + ".mpy"] = data
        elif not path.stem.endswith("_xtensa"):  # assembler, which no board takes as source
            files[name] = path.read_bytes()
    return package(files)


def package(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a package and its package.json; each is installed where it stands."""
    listed = {"urls": [[name, name] for name in sorted(files)], "version": installed_version()}
    return {**files, PACKAGE_FILE: (json.dumps(listed, indent=1) + "\n").encode()}


def lay(folder: Path, files: dict[str, bytes]) -> None:
    """Write files, by their path within the folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
