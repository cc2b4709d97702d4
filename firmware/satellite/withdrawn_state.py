"""The consent that the network took back: stored, so that no restart brings it back by itself.

Place: read by main.py before anything else looks at the consent in the configuration; written when
the network withdraws it.  While the file is there, whatever it holds, nothing may be kept: so
neither a power loss nor an old config.json gives consent again.  A person at the cable does, by
`earnest provision`, which removes the file.  The storage is a ports.Storage.
"""

import binascii

FILE = "withdrawn.state"
_LINE = b"earnest withdrawn 1\n"
CONTENT = _LINE + b"%08x\n" % binascii.crc32(_LINE)
MAX_BYTES = 64


class WithdrawnState:
    """`is_stored`: the next start knows that nothing may be kept.  `is_damaged`: so does this one,
    from a file that is not as it was written, or from a storage that cannot be read.
    """

    def __init__(self, storage):
        self._storage = storage
        self._is_wanted = False
        self.is_stored = False
        self.is_damaged = False

    @property
    def state(self):
        """ "no", "stored", or "not stored": then it holds until the next start at least."""
        if self.is_stored:
            return "stored"
        return "not stored" if self._is_wanted or self.is_damaged else "no"

    def applied_to(self, config):
        """Read the file; return `config`, or where consent was withdrawn, one that has none."""
        try:
            data = self._storage.read(FILE, MAX_BYTES)
        except OSError:
            data = b""
        self.is_stored = data == CONTENT
        self.is_damaged = data is not None and not self.is_stored
        return config if data is None else without_consent(config)

    def store(self):
        """Write the file and read it back; raises OSError when it is not there afterwards."""
        if self.is_stored:
            return
        self._is_wanted = True
        self._storage.write_atomic(FILE, CONTENT)
        if self._storage.read(FILE, MAX_BYTES) != CONTENT:
            raise OSError(5)
        self.is_stored = True
        self.is_damaged = False


def without_consent(config):
    """Return the configuration with nothing that may be kept."""
    return config.changed(keep_recordings=False, share_for_training=False)
