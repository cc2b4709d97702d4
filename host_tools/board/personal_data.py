"""The personal files on a board: which they are, how a new set gets there whole, how they go.

Place: below provision and erase.  `link` is a serial_link.SerialLink; what runs on the board is
plain MicroPython, so a board on which the firmware is broken can be provisioned and erased too.
A set is written beside the old one under other names, verified by SHA-256 on the board, and
becomes valid by one rename, that of config.json: whenever the plug is pulled, the old set counts
or the new one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from firmware.satellite import config as configuration
from host_tools.board.raw_repl import uninterrupted
from host_tools.errors import HostToolError

CONFIG_FILE = configuration.FILE
TEMPORARY = ".new"
#: The cutoffs that the network raised, as firmware/satellite/sensitivity_state.py names the file.
SENSITIVITY_FILE = "sensitivity.state"
#: That the network took consent back, as firmware/satellite/withdrawn_state.py names the file.
WITHDRAWN_FILE = "withdrawn.state"
STAGED_CONFIG = f"new/{CONFIG_FILE}"  # of an installation that was interrupted
#: What a board holds of its owner, besides: device and receiver, mute, consent, what happened.
PERSONAL = (
    *(CONFIG_FILE, "*.der", "mute.state", "consent.state"),
    SENSITIVITY_FILE,
    WITHDRAWN_FILE,
    *("audit.head", "audit*.jsonl", "last_error.txt", "selftest.tmp"),
)
MAX_FILE_BYTES = 8192
#: So many characters of a secret in a row are a part of it.
_PART = 6
#: Firmware, board and models lie in folders or are one of these; they are counted, not listed.
_SYSTEM = ("main.py", "boot.py", "board.py", "diag.mpy", "installed.json")

_LIST = """
import os, json
def _walk(folder):
    for entry in (os.ilistdir(folder) if folder else os.ilistdir()):
        name = folder + "/" + entry[0] if folder else entry[0]
        if entry[0] in (".", ".."):
            continue
        if entry[1] & 0x4000:
            _walk(name)
        else:
            print(json.dumps(name))
_walk("")
"""
_RENAME = """
import os
for _n in %r:
    os.rename(_n + %r, _n)
    if hasattr(os, "sync"):
        os.sync()
"""
_REMOVE = """
import os
for _n in %r:
    try:
        os.remove(_n)
    except OSError as _e:
        if _e.args[0] != 2:
            raise
    if hasattr(os, "sync"):
        os.sync()
"""


class NotWritten(HostToolError):
    """The set was not written; `is_known` is False when the line was lost at the one rename."""

    def __init__(self, message: str, hint: str, is_known: bool) -> None:
        super().__init__(message, hint)
        self.is_known = is_known


@dataclass(frozen=True)
class Hidden:
    """Replaces secrets in a text.  Its own text shows none."""

    secrets: tuple[str, ...]

    def scrub(self, text: str) -> str:
        """The text with each secret, however it is written, replaced; nothing of it at all where
        a part of one is left, as of a line that broke off."""
        for secret in self.secrets:
            forms = _ways_to_write(secret)
            for form in forms:
                text = text.replace(form, "(hidden)")
            parts = {f[at : at + _PART] for f in forms for at in range(len(f) - _PART + 1)}
            if any(part in text for part in parts):
                return "(hidden: it holds a part of a secret)"
        return text

    def __repr__(self) -> str:
        return f"Hidden({len(self.secrets)})"


def _ways_to_write(secret: str) -> list[str]:
    """The secret as JSON, Python and base64 write it, also within one another; longest first."""
    forms = {secret, base64.b64encode(secret.encode()).decode()}
    for _ in range(3):
        forms |= {json.dumps(form)[1:-1] for form in forms}
        forms |= {repr(form)[1:-1] for form in forms}
        forms |= {form.replace("'", "\\'") for form in forms}
    return sorted(forms, key=len, reverse=True)


def is_personal(name: str) -> bool:
    """Whether a file, or half of one, says something about the board's owner."""
    plain = name.removesuffix(TEMPORARY)
    if name == STAGED_CONFIG:
        return True
    return "/" not in name and any(fnmatchcase(plain, pattern) for pattern in PERSONAL)


def is_system(name: str) -> bool:
    """Firmware, board and models: what `earnest install` puts there."""
    return "/" in name or name in _SYSTEM


def names(link: Any) -> list[str]:
    """The paths of all files on the board, sorted; raises HostToolError."""
    lines = link.repeat(_LIST).decode("utf-8", "replace").split("\n")
    try:
        return sorted(json.loads(line) for line in lines if line.strip())
    except ValueError:
        raise HostToolError(
            "the board's list of files cannot be read", "try again; if it stays so: earnest repl"
        ) from None


def write_set(
    link: Any, files: dict[str, bytes], hidden: Hidden, step: Callable[[str], object]
) -> None:
    """Write all files, config.json as the one that makes the others count; then verify.

    `files` are name -> content with CONFIG_FILE last and, of the others, none that the board's
    present configuration names.  Until the last rename Ctrl-C leaves the old set.  Raises
    NotWritten, whose text holds no secret.
    """
    assert list(files)[-1] == CONFIG_FILE
    is_committing = False
    try:
        try:
            for name, content in files.items():
                step(f"writing {name}, {len(content)} bytes")
                link.put(name + TEMPORARY, content)
        except (HostToolError, KeyboardInterrupt):
            _try_remove(link, [name + TEMPORARY for name in files])
            raise
        with uninterrupted():
            is_committing = True
            link.exec(_RENAME % (tuple(files), TEMPORARY))
            for name, content in files.items():
                if link.sha256(name) != hashlib.sha256(content).hexdigest():
                    raise HostToolError(f"{name} on the board is not what was sent", "")
            step("verified on the board")
    except HostToolError as error:
        if is_committing:
            state = "whether the board has the old configuration or the new one is not known"
        else:
            state = "the board has what it had before"
        raise NotWritten(
            hidden.scrub(f"not written: {error.message}; {state}"),
            hidden.scrub(error.hint or "run the same command again"),
            not is_committing,
        ) from None


def remove(link: Any, which: list[str]) -> None:
    """Remove files, in this order; one that is not there is no error.  Raises HostToolError."""
    if which:
        link.repeat(_REMOVE % (tuple(which),))


def _try_remove(link: Any, which: list[str]) -> None:
    """Clean up behind a failure, as far as the line still works."""
    try:
        with uninterrupted():
            remove(link, which)
    except HostToolError:
        pass  # the next run and `earnest erase` remove them
