"""Copies a set of files onto a board so that it has the old set or the new one, never a half.

Place: below `earnest install`.  The steps, any of which may be the last before the plug is pulled:

1. What an interrupted copy left is finished, when it was complete (firmware/boot.py does that), or
   else kept in /new for this one to use as far as it fits.
2. boot.py itself, by one rename: it will finish what follows, also without this computer.
3. Every changed file into /new, compared by the SHA-256 that the device computes.
4. /new/installed.json, by one rename: from here on the new set counts.
5. boot.py's `finish`, which moves all into place and the manifest last.

Nothing of the old set is touched before step 4, and from then on the device comes to the new set
by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from host_tools.board.build import MANIFEST
from host_tools.board.serial_link import SerialLink
from host_tools.errors import HostToolError

STAGE = "new"
BOOT = "boot.py"
BLOCK_BYTES = 4096
SPARE_BYTES = 32 * 1024  # left for configuration, certificates and the audit log
MODELS = "models"
#: What may come along with an installation and is its owner's.
OWNER_FILES = ("config.json",)

_LIST = """import os, json
def _walk(d, top):
 try:
  es = list(os.ilistdir(d))
 except OSError:
  return
 for e in es:
  p = (d + "/" if d else "") + e[0]
  if e[1] & 0x4000:
   if not top or e[0] in FOLDERS:
    _walk(p, 0)
  else:
   print("[%s,%s]" % (json.dumps(p), json.dumps(_earnest_hash(p))))
_walk("", 1)
s = os.statvfs("/")
print("[null,%d]" % (s[0] * s[3]))
"""
_REMOVE = """import os
for n in {names!r}:
 try:
  os.remove(n)
 except OSError as e:
  if e.args[0] != 2:
   raise
"""
_RENAME = """import os
try:
 os.rename({old!r}, {new!r})
except OSError as e:
 if e.args[0] != 2:
  raise
 os.stat({new!r})
"""
# Not its text over the line: the file was compared, and a spoiled byte could move half a version.
_FINISH = "exec(open('boot.py').read(), {})"
_FOLDERS = """import os
for n in {names!r}:
 try:
  os.mkdir(n)
 except OSError as e:
  if e.args[0] != 17:
   raise
"""
_TIDY = """import os
try:
 for e in os.listdir("new"):
  os.remove("new/" + e)
 os.rmdir("new")
except OSError as e:
 if e.args[0] != 2:
  raise
"""


@dataclass(frozen=True)
class Plan:
    """What has to be done: names to copy, bytes to send, names to remove, free bytes now."""

    copy: tuple[str, ...]
    staged: tuple[str, ...]  # of these, already in /new from an interrupted copy
    remove: tuple[str, ...]
    send_bytes: int
    free_bytes: int
    needs_manifest: bool

    @property
    def is_nothing(self) -> bool:
        return not self.copy and not self.remove and not self.needs_manifest


def read_manifest(link: SerialLink) -> dict[str, Any]:
    """The device's installed.json; empty when there is none or it is damaged."""
    data = link.get(MANIFEST, 1 << 16)
    try:
        manifest = json.loads(data or b"{}")
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def finish_interrupted(link: SerialLink, boot: bytes) -> None:
    """Step 1: what was complete takes its place."""
    link.repeat(boot.decode(), timeout_s=60)


def make_plan(
    link: SerialLink,
    files: dict[str, bytes],
    manifest: dict[str, Any],
    owner_files: Mapping[str, bytes] = MappingProxyType({}),
) -> Plan:
    """Compare by hashes that the device computes; nothing is written.

    Args:
        link: the board's line.
        files: name -> content of what is installed.
        manifest: what installed.json shall say; `files`, `owner_files` and `remove` are set here.
        owner_files: name -> content of the owner's own that shall come together with them.  The
            manifest names them without their hash, since they change later.

    Raises:
        HostToolError: the board's flash is too full.
    """
    link.sha256("")  # defines the function
    known = read_manifest(link)
    old = known.get("files", {})
    own = {name.split("/")[0] for name in [*files, *old] if "/" in name} - {MODELS}
    folders = sorted({*own, MODELS, STAGE})
    there: dict[str, str] = {}
    free_bytes = 0
    listed = link.repeat(f"FOLDERS={folders!r}\n" + _LIST, 120, _rows)
    for name, value in _rows(listed) or []:
        if name is None:
            free_bytes = value
        else:
            there[name] = value
    every = {**files, **owner_files}
    want = {name: hashlib.sha256(data).hexdigest() for name, data in every.items()}
    stale = {name for name in old if name not in want and name in there}
    for name in there:
        is_source = name.endswith(".py") and name[:-3] + ".mpy" in want  # would be imported
        if name not in want and (is_source or ("/" in name and name.split("/")[0] in own)):
            stale.add(name)
    copy = tuple(name for name in sorted(want) if there.get(name) != want[name])
    staged = tuple(name for name in copy if there.get(_staged(name)) == want[name])
    manifest["files"] = {name: want[name] for name in files}
    manifest["owner_files"], manifest["remove"] = list(OWNER_FILES), sorted(stale)
    send = {name: len(every[name]) for name in copy if name not in staged}
    in_blocks = sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in send.values())
    short_bytes = in_blocks + SPARE_BYTES - free_bytes
    if send and short_bytes > 0:
        raise HostToolError(
            f"the board's flash is too full: {in_blocks + SPARE_BYTES} bytes are needed to copy "
            f"{len(send)} files, {free_bytes} are free",
            "remove your own files from it (earnest repl), or erase everything: earnest flash",
        )
    return Plan(
        copy, staged, tuple(sorted(stale)), sum(send.values()), free_bytes, known != manifest
    )


def carry_out(
    link: SerialLink,
    files: dict[str, bytes],
    manifest: dict[str, Any],
    plan: Plan,
    progress: Callable[[str, int], object],
) -> None:
    """Steps 2 to 5.

    Args:
        link: the board's line.
        files: everything that was planned, the owner's files too.
        manifest: as make_plan left it.
        plan: what make_plan returned.
        progress: gets a file's name and the bytes of it written since it was last called.
    """
    keep = {_staged(name) for name in plan.staged}
    link.repeat(_FOLDERS.format(names=[STAGE]))
    waiting = link.exec_json("import os, json\nprint(json.dumps(os.listdir('new')))")
    useless = [f"{STAGE}/{name}" for name in waiting if f"{STAGE}/{name}" not in keep]
    link.repeat(_REMOVE.format(names=useless))
    for name in [BOOT, *plan.copy] if BOOT in plan.copy else plan.copy:
        if name in plan.staged if name != BOOT else _is_there(link, files[BOOT]):
            continue
        link.put(_staged(name), files[name], partial(progress, name))
        if name == BOOT:
            _rename(link, _staged(BOOT), BOOT)
    link.repeat(_FOLDERS.format(names=_folders(files)))
    text = json.dumps(manifest, sort_keys=True).encode()
    link.put(f"{STAGE}/part", text)
    _rename(link, f"{STAGE}/part", f"{STAGE}/{MANIFEST}")
    link.repeat(_FINISH, timeout_s=60)
    link.repeat(_TIDY)
    _verify(link, files)


def _is_there(link: SerialLink, boot: bytes) -> bool:
    return link.sha256(BOOT) == hashlib.sha256(boot).hexdigest()


def _rename(link: SerialLink, old: str, new: str) -> None:
    """When it is repeated, it may have been done."""
    link.repeat(_RENAME.format(old=old, new=new))


def _rows(output: bytes) -> list[list[Any]] | None:
    """What _LIST printed; None when the line spoiled it."""
    try:
        rows = [json.loads(line) for line in output.splitlines()]
        return rows if rows[-1][0] is None and all(len(row) == 2 for row in rows) else None
    except (ValueError, LookupError, TypeError):
        return None


def _verify(link: SerialLink, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        if link.sha256(name) != hashlib.sha256(data).hexdigest():
            raise HostToolError(f"{name} on the board is not what was copied", "install again")


def _staged(name: str) -> str:
    """As firmware/boot.py names it."""
    return f"{STAGE}/{name.replace('/', '~')}"


def _folders(files: dict[str, bytes]) -> list[str]:
    """Every folder of the names, the outer before the inner."""
    found: set[str] = set()
    for name in files:
        parts = name.split("/")[:-1]
        found.update("/".join(parts[: count + 1]) for count in range(len(parts)))
    return sorted(found)
