"""A disk that loses its power at any chosen step, for tests of everything that writes files.

Every byte written, every creation, flush, close, rename and removal is a step.  `PowerLossDisk`
stands in for `open` and `os` below the real drivers/storage.py, so that its order of operations is
tested as well.  What was not flushed may be there after the loss, or not, or as zeros.
"""

from drivers.storage import Files

#: What becomes of bytes that were written and not flushed when the power went.
KEPT = "kept"
LOST = "lost"
ZEROS = "zeros"
AFTERMATHS = (KEPT, LOST, ZEROS)


class PowerLoss(Exception):
    """The power is gone; nothing more happens on this disk."""


class PowerLossDisk:
    """Files by name in RAM.  The step number `cut_at` (from 0) does not happen any more; None: all
    steps happen.  `full_at`: bytes after which the disk is full.
    """

    def __init__(self, files=None, cut_at=None, full_at=None):
        self.written = {}  # as a program sees it
        self.flushed = {}  # what is certainly on the medium
        for name, data in (files or {}).items():
            self.written[name] = bytes(data)
            self.flushed[name] = bytes(data)
        self.cut_at = cut_at
        self.full_at = full_at
        self.steps = 0

    def step(self):
        if self.cut_at is not None and self.steps >= self.cut_at:
            raise PowerLoss(self.steps)
        self.steps += 1

    def after_power_loss(self, aftermath=KEPT):
        """The files that the device finds at its next start."""
        files = {}
        for name, data in self.flushed.items():
            written = self.written.get(name, data)
            if aftermath == KEPT:
                data = written
            elif aftermath == ZEROS:
                data = data + bytes(max(0, len(written) - len(data)))
            files[name] = data
        return files

    # --- `open` and what of `os` the driver uses ---

    def open(self, name, mode):
        if mode == "rb":
            if name not in self.written:
                raise OSError(2, name)
            return _File(self, name, False)
        self.step()
        if mode == "wb" or name not in self.written:
            # Opened for writing, it is empty at once, on the medium too: the worst case.
            self.written[name] = b""
            self.flushed[name] = b""
        return _File(self, name, True)

    def stat(self, name):
        if name not in self.written:
            raise OSError(2, name)
        return (0, 0, 0, 0, 0, 0, len(self.written[name]), 0, 0, 0)

    def statvfs(self, name):
        used = sum(len(data) for data in self.written.values())
        free = 1 << 20 if self.full_at is None else max(0, self.full_at - used)
        return (1, 1, 0, free)

    def rename(self, old, new):
        self.step()
        if old not in self.written:
            raise OSError(2, old)
        # The name moves with what is on the medium: unflushed bytes may be lost after it.
        self.written[new] = self.written.pop(old)
        self.flushed[new] = self.flushed.pop(old)
        self.step()

    def remove(self, name):
        self.step()
        if name not in self.written:
            raise OSError(2, name)
        del self.written[name]
        del self.flushed[name]
        self.step()


class _File:
    def __init__(self, disk, name, writes):
        self._disk = disk
        self._name = name
        self._writes = writes
        self._at = 0

    def read(self, limit):
        data = self._disk.written[self._name][self._at : self._at + limit]
        self._at += len(data)
        return data

    def write(self, data):
        disk = self._disk
        for i in range(len(data)):
            if disk.full_at is not None and not disk.statvfs("")[3]:
                return i
            disk.step()
            disk.written[self._name] += data[i : i + 1]
        return len(data)

    def flush(self):
        self._disk.step()
        self._disk.flushed[self._name] = self._disk.written[self._name]

    def close(self):
        # Closing waits for no medium: only `flush` does.  After a loss it must not raise again.
        if self._writes and (self._disk.cut_at is None or self._disk.steps < self._disk.cut_at):
            self._disk.step()


def storage_on(disk):
    """The real driver on such a disk."""
    return Files("", disk.open, disk)


def every_power_loss(files, work):
    """Yields the files found after `work(storage)` was cut at each step, in each aftermath.

    The last ones are those after the whole work.  A cut inside `work` must come out of it.
    """
    disk = PowerLossDisk(files)
    work(storage_on(disk))
    total = disk.steps
    for cut_at in range(total + 1):
        disk = PowerLossDisk(files, cut_at)
        try:
            work(storage_on(disk))
            assert cut_at == total, (cut_at, total)
        except PowerLoss:
            assert cut_at < total, (cut_at, total)
        for aftermath in AFTERMATHS:
            yield disk.after_power_loss(aftermath)
