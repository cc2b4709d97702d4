"""Files that survive power loss: what the satellite's pure modules call `storage`.

Place: below mute state, configuration and audit log, which get it handed in.  The same on the
board (LittleFS) and on the host.  `opener` and `system` are `open` and the module `os`; tests hand
in a disk that loses its power.
"""

import os

_ENOENT = 2
TEMPORARY = ".new"


class Files:
    """The files of one folder, by plain names.  Every method may raise OSError."""

    def __init__(self, folder="", opener=open, system=os):
        self._prefix = folder + "/" if folder and folder[-1] != "/" else folder
        self._open = opener
        self._os = system

    def read(self, name, limit):
        """The first `limit` bytes at most; None when there is no such file."""
        try:
            file = self._opened(self._prefix + name, "rb")
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise
            return None
        try:
            # A read allocates all that it is asked for, so ask for no more than there is.
            return file.read(max(0, min(limit, self.size(name))))
        finally:
            file.close()

    def size(self, name):
        """Bytes in the file; -1 when there is no such file."""
        try:
            return self._os.stat(self._prefix + name)[6]
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise
            return -1

    def write_atomic(self, name, data):
        """Replace the file: whenever the power goes, it holds the old bytes or the new ones."""
        path = self._prefix + name
        self._put(path + TEMPORARY, "wb", data)
        self._os.rename(path + TEMPORARY, path)
        self._sync()

    def append(self, name, data):
        """Write at the end.  When the power goes, any part of `data` may have been written."""
        self._put(self._prefix + name, "ab", data)

    def rename(self, old, new):
        """Give a file another name, in place of what had that name, at once."""
        self._os.rename(self._prefix + old, self._prefix + new)
        self._sync()

    def remove(self, name):
        """Remove the file; nothing happens when there is none."""
        try:
            self._os.remove(self._prefix + name)
        except OSError as error:
            if error.args[0] != _ENOENT:
                raise
        self._sync()

    def free_bytes(self):
        """What the file system has left."""
        numbers = self._os.statvfs(self._prefix or ".")
        return numbers[1] * numbers[3]

    def _opened(self, path, mode):
        """The file; the OSError of one that cannot be opened names it."""
        try:
            return self._open(path, mode)
        except OSError as error:
            raise OSError(error.args[0], path)

    def _put(self, path, mode, data):
        """Write all of `data` and wait until it is on the medium."""
        file = self._opened(path, mode)
        try:
            at = 0
            while at < len(data):
                count = file.write(data[at:] if at else data)
                if not count:
                    raise OSError(28, path)  # ENOSPC: a full disk may say so by writing nothing
                at += count
            file.flush()
        finally:
            file.close()
        self._sync()

    def _sync(self):
        # The board's os has sync; on the host, flush has already waited for the disk.
        if hasattr(self._os, "sync"):
            self._os.sync()
