"""`make release`: builds the release folder and says what is in it.

python -m host_tools.release [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.release.build import RELEASE, SUMS, build


def main(arguments: list[str]) -> int:
    """Build into the folder that is named, or into build/release; return the exit status."""
    folder = Path(arguments[0]) if arguments else RELEASE
    try:
        lines = build(folder)
    except HostToolError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    print(f"{folder}: {len(lines)} files, their SHA-256 in {SUMS}")
    for line in lines:
        if line.endswith(("package.json", ".ewm")):
            print(" ", line[:12], line.partition("  ")[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
