"""Backs up the receiver's folder, also while it runs.

Files are replaced whole there, so each is read whole; databases are copied by SQLite, with what
was committed and nothing else.  Recordings come before the keys that open them, and those that
came meanwhile after: what the copied keys open is there, and what was deleted meanwhile is silent.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import os
import secrets
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.service.backup_format import (
    MANIFEST,
    Entry,
    Manifest,
    is_left_out,
    is_name,
    is_of_recordings,
)

_DATABASE = ".sqlite"
_BUSY_S = 30.0
#: How often the small files are read anew because one of them changed meanwhile.
_TRIES = 5


def back_up(data: Path, path: Path, *, has_recordings: bool) -> tuple[Manifest, list[str]]:
    """Write a back-up of the folder `data` to the new file `path`, for its owner alone.

    Returns:
        What it holds, and what of the folder it left out though it may matter to its owner.

    Raises:
        HostToolError: `data` is no receiver's folder, `path` exists or cannot be written.
    """
    if not (data / "authority").is_dir():
        raise HostToolError(f"{data} is not a receiver's folder", "name it with --data")
    if path.absolute().resolve().is_relative_to(data.absolute().resolve()):
        raise HostToolError(
            f"{path} lies in the receiver's folder itself", "write the back-up somewhere else"
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, atomic_file.OWNER_ONLY_MODE), "wb") as file:
            manifest, others = _write(data, file, path.parent, has_recordings)
            file.flush()
            os.fsync(file.fileno())
        os.close(os.open(path, flags, atomic_file.OWNER_ONLY_MODE))  # fails where a file is
        os.replace(part, path)
    except FileExistsError as error:
        raise HostToolError(f"{path} exists already", "give another name") from error
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HostToolError(
            f"cannot back up {data} to {path}: {reason}", "check permissions and the free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone after the replacement, or never made
            part.unlink()
    return manifest, others


def _write(
    data: Path, file: IO[bytes], beside: Path, has_recordings: bool
) -> tuple[Manifest, list[str]]:
    """Write the tar file; raises OSError, sqlite3.Error, HostToolError."""
    files: dict[str, Entry] = {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        names, others = _names(data)
        small = [n for n in names if not is_of_recordings(n) and not n.endswith(_DATABASE)]
        for name, content in _read_together(data, small).items():
            files[name] = _add(tar, name, content)
        databases = [name for name in names if name.endswith(_DATABASE)]
        if has_recordings:
            _add_recordings(tar, data, names, files)
        else:
            databases = [name for name in databases if not is_of_recordings(name)]
        for name in databases:
            with _copied(data / name, beside) as content:
                files[name] = _add(tar, name, content)
        if has_recordings:  # those whose key came meanwhile
            _add_recordings(tar, data, _names(data)[0], files)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        manifest = Manifest(now, has_recordings, files)
        _add(tar, MANIFEST, manifest.to_json())
    return manifest, others


def _names(data: Path) -> tuple[list[str], list[str]]:
    """Return the files that belong to a back-up, and what else lies there: links, odd names."""
    names: list[str] = []
    others: list[str] = []
    for path in sorted(data.rglob("*")):
        name = path.relative_to(data).as_posix()
        if is_left_out(name) or (path.is_dir() and not path.is_symlink()):
            continue
        is_ours = is_name(name) and path.is_file() and not path.is_symlink()
        (names if is_ours else others).append(name)
    return names, others


def _read_together(data: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the files' contents of one moment: a certificate goes with its key."""
    for _ in range(_TRIES):
        before = {name: _stamp(data / name) for name in names}
        found = {}
        for name in before:
            with contextlib.suppress(FileNotFoundError):
                found[name] = (data / name).read_bytes()
        if before == {name: _stamp(data / name) for name in names}:
            return found
    raise HostToolError("the receiver's folder keeps changing", "try again in a minute")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _add_recordings(
    tar: tarfile.TarFile, data: Path, names: Iterable[str], files: dict[str, Entry]
) -> None:
    """Add the recordings that are not there yet, one at a time."""
    for name in names:
        if name in files or name.endswith(_DATABASE) or not is_of_recordings(name):
            continue
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            files[name] = _add(tar, name, (data / name).read_bytes())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> Entry:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = atomic_file.OWNER_ONLY_MODE
    tar.addfile(member, io.BytesIO(content))
    return Entry(len(content), hashlib.sha256(content).hexdigest())


@contextlib.contextmanager
def _copied(database: Path, beside: Path) -> Iterator[bytes]:
    """Give a copy of a database that others may write to meanwhile; nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix=".earnest-", dir=beside) as folder:
        path = Path(folder) / "copy"
        path.touch(mode=atomic_file.OWNER_ONLY_MODE)
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        copy = sqlite3.connect(path)
        try:
            source.execute(f"PRAGMA busy_timeout = {round(_BUSY_S * 1000)}")
            copy.execute("PRAGMA journal_mode = MEMORY")
            source.backup(copy)
            [(answer,)] = copy.execute("PRAGMA quick_check(1)").fetchall()
            if answer != "ok":
                raise HostToolError(f"{database} is damaged: {answer}", "nothing was written")
        finally:
            copy.close()
            source.close()
        try:
            yield path.read_bytes()
        finally:
            with open(path, "r+b") as file:  # it may hold keys
                file.write(bytes(path.stat().st_size))
                os.fsync(file.fileno())
