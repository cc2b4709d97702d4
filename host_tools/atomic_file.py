"""Writes a file whole or not at all: the one way in which host tools replace a file's content."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from host_tools.errors import HostToolError

#: What everybody may read, and what only the owner may.
DEFAULT_MODE = 0o666
OWNER_ONLY_MODE = 0o600


def write(
    path: Path, content: bytes, *, mode: int = DEFAULT_MODE, may_replace: bool = True
) -> None:
    """Write `content` to `path`; a reader and a power loss see the old file or the new one.

    Args:
        path: The file; its folder must exist.
        content: All of it.
        mode: The rights from the first byte on; the process's umask is taken off.
        may_replace: False refuses to overwrite a file that exists.

    Raises:
        HostToolError: the file cannot be written, or exists and may not be replaced.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not may_replace:  # take the name, which fails where a file is; a rename does not
            os.close(os.open(path, flags, mode))
        os.replace(part, path)
    except FileExistsError as error:
        raise HostToolError(f"{path} exists already", "give another name, or remove it") from error
    except OSError as error:
        raise HostToolError(
            f"cannot write {path}: {error.strerror}",
            "check its folder's permissions and the free space",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone after the replacement, or never made
            part.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until what was renamed in `folder` and removed from it survives a power loss.

    Windows, and file systems that know nothing of it, do not offer that.  Raises OSError.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
