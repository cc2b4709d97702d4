"""The mute state that survives reset and power loss.

Place: read once at start, before the gate opens; written whenever a person or the network changes
it.  Whatever is unknown, damaged or missing means muted.  The storage is a
ports.Storage.
"""

import binascii

FILE = "mute.state"
_VERSION = b"earnest mute 1 "
_MUTED = _VERSION + b"muted\n"
_OPEN = _VERSION + b"open\n"
MAX_BYTES = 64

STORED = "stored"
MISSING = "missing"
DAMAGED = "damaged"


def encode(muted):
    """The file's bytes: a line that says it, a line with its CRC-32.  Not False means muted."""
    line = _OPEN if muted is False else _MUTED
    return line + b"%08x\n" % binascii.crc32(line)


def decode(data):
    """(muted, how it was found: STORED, MISSING or DAMAGED) of the file's bytes, None for no file.

    Open is exactly one sequence of bytes; every other one is muted.
    """
    if data is None:
        return True, MISSING
    if data == encode(False):
        return False, STORED
    return True, STORED if data == encode(True) else DAMAGED


class MuteState:
    """Load and save; `found` says how the last `load` found the file."""

    def __init__(self, storage):
        self._storage = storage
        self.found = MISSING

    def load(self):
        """True when the device has to start muted.  A storage that fails means muted."""
        try:
            data = self._storage.read(FILE, MAX_BYTES)
        except OSError:
            data = b""
        muted, self.found = decode(data)
        return muted

    def save(self, muted):
        """Store it; not False means muted.  Raises OSError when it could not be stored.

        Where muting cannot be written, as on a full disk, the file is removed: that means muted.
        After an error in storing False the device must stay muted.
        """
        try:
            self._storage.write_atomic(FILE, encode(muted))
        except OSError:
            if muted is not False:
                self._storage.remove(FILE)
            else:
                raise
