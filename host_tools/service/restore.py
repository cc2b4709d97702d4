"""Restores a receiver's folder from a back-up: all of it, checked first, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tarfile
from pathlib import Path
from typing import IO

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.service.backup_format import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Entry,
    Manifest,
    is_name,
    manifest_of,
)

_PIECE_BYTES = 1 << 20


def restore(path: Path, data: Path) -> Manifest:
    """Make the folder `data`, which must be empty or missing, from the back-up `path`.

    Raises:
        HostToolError: the back-up is damaged or cannot be read, or there is something in `data`.
    """
    if data.is_symlink() or (data.exists() and (not data.is_dir() or any(data.iterdir()))):
        raise HostToolError(
            f"{data} is there already", "restore to a new folder, or move this one away"
        )
    try:
        with tarfile.open(path, "r:") as tar:
            manifest = _checked(tar)
            _extract(tar, manifest, data)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(path, "it is no tar file, or cut off") from error
    except OSError as error:
        raise HostToolError(
            f"cannot restore {path} to {data}: {error.strerror}",
            "check permissions and the free space",
        ) from error
    return manifest


def _damaged(path: Path, why: str) -> HostToolError:
    return HostToolError(
        f"{path} cannot be restored: {why}", "nothing was written; use another back-up"
    )


def _checked(tar: tarfile.TarFile) -> Manifest:
    """Return the manifest, after every file was compared with it; raises ValueError."""
    found: dict[str, Entry] = {}
    manifest = None
    for member in tar:
        if not member.isreg() or member.name in found or manifest is not None:
            raise ValueError("it holds what a back-up does not")
        if member.name == MANIFEST:
            if member.size > MAX_MANIFEST_BYTES:
                raise ValueError("its manifest is too large")
            manifest = manifest_of(_file(tar, member).read())
        elif is_name(member.name):
            digest = hashlib.sha256()
            file = _file(tar, member)
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
            found[member.name] = Entry(member.size, digest.hexdigest())
        else:
            raise ValueError("it holds what a back-up does not")
    if manifest is None:
        raise ValueError("it has no manifest at its end: it was cut off")
    if found != manifest.files:
        names = sorted(
            n for n in {*found, *manifest.files} if found.get(n) != manifest.files.get(n)
        )
        raise ValueError(f"{names[0]} is not what the manifest says")
    return manifest


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # a regular file
    return file


def _extract(tar: tarfile.TarFile, manifest: Manifest, data: Path) -> None:
    """Write the files into a folder beside `data`, which then takes its name; raises OSError."""
    owner_only_files.make_folder(data.absolute().parent)
    beside = data.absolute().with_name(f".{data.name}.{secrets.token_hex(4)}.part")
    try:
        owner_only_files.make_folder(beside)
        for member in tar:
            if member.name not in manifest.files:
                continue
            path = beside / member.name
            owner_only_files.make_folder(path.parent)
            _copy(_file(tar, member), path, manifest.files[member.name])
        for folder in [beside, *(p for p in beside.rglob("*") if p.is_dir())]:
            atomic_file.sync_folder(folder)
        if data.exists():
            data.rmdir()  # empty, or something came meanwhile: then this fails
        os.rename(beside, data)
        atomic_file.sync_folder(data.absolute().parent)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(beside)


def _copy(source: IO[bytes], path: Path, entry: Entry) -> None:
    """Write one file for its owner alone, and compare once more: the back-up may have changed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, flags, atomic_file.OWNER_ONLY_MODE), "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise ValueError(f"{path.name} changed while it was read")
