"""A flash chip in RAM for MicroPython's file systems, whose power can be cut at any write."""

BLOCK_BYTES = 4096
BLOCKS = 24
_EIO = -5


class FlashInRam:
    """A block device of BLOCKS * BLOCK_BYTES, as os.VfsLfs2 wants it; `writes` counts programs and
    erases.  After a cut everything fails with EIO until `on`.
    """

    def __init__(self, blocks=None):
        self._blocks = blocks or [bytearray(b"\xff" * BLOCK_BYTES) for _ in range(BLOCKS)]
        self.writes = 0
        self.is_off = False
        self._left = -1
        self._is_torn = False

    def copy(self):
        """Another chip with the same content."""
        return FlashInRam([bytearray(block) for block in self._blocks])

    def cut(self, after, is_torn):
        """Lose the power after that many more writes; `is_torn`: half of the next is done."""
        self._left = after
        self._is_torn = is_torn

    def on(self):
        """Power is back; nothing is cut any more."""
        self.is_off = False
        self._left = -1

    def _loses_power(self):
        if self.is_off:
            return True
        if self._left == 0:
            self.is_off = True
            return True
        if self._left > 0:
            self._left -= 1
        self.writes += 1
        return False

    def readblocks(self, number, buffer, at=0):
        if self.is_off:
            return _EIO
        buffer[:] = self._blocks[number][at : at + len(buffer)]
        return 0

    def writeblocks(self, number, buffer, at=0):
        was_off = self.is_off
        size = len(buffer)
        lost = self._loses_power()
        if lost:
            size = size // 2 if self._is_torn and not was_off else 0
        block = self._blocks[number]
        for i in range(size):
            block[at + i] &= buffer[i]
        return _EIO if lost else 0

    def ioctl(self, request, argument):
        if request == 4:
            return BLOCKS
        if request == 5:
            return BLOCK_BYTES
        if request == 6:
            was_off = self.is_off
            lost = self._loses_power()
            size = BLOCK_BYTES
            if lost:
                size = size // 2 if self._is_torn and not was_off else 0
            self._blocks[argument][:size] = b"\xff" * size
            return _EIO if lost else 0
        return 0
