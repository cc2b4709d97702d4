"""The cutoffs that the network raised: stored, so that they survive reset and power loss.

Place: read once at start, before the gate opens; written when the network raises a cutoff.  The
network may make a wake word less sensitive, never more: nothing here lowers a cutoff.  A person at
the cable does, by setting the sensitivity anew, which removes the file.  A damaged file means the
highest cutoff for every word.  The storage is a ports.Storage.
"""

import binascii

from .protocol import MAX_CUTOFF_THOUSANDTHS, is_cutoff, is_word

FILE = "sensitivity.state"
_VERSION = "earnest sensitivity 1"
MAX_BYTES = 256
#: A cutoff has to rise by this much at once: so the writes that others can cause are few.
MIN_RISE_THOUSANDTHS = 10


def encode(cutoffs):
    """The file's bytes, of word -> cutoff in thousandths: a line, then a line with its CRC-32."""
    items = ["%s=%d" % (word, cutoffs[word]) for word in sorted(cutoffs)]
    line = (" ".join([_VERSION] + items) + "\n").encode()
    return line + b"%08x\n" % binascii.crc32(line)


def decode(data):
    """Word -> cutoff in thousandths of the file's bytes, {} of None (no file), None if damaged.

    There is one spelling: whatever differs in a byte is damaged.
    """
    if data is None:
        return {}
    cutoffs = {}
    try:
        line = data.decode().split("\n")[0]
        for item in line[len(_VERSION) :].split():
            word, thousandths = item.split("=")
            cutoffs[word] = int(thousandths)
    except ValueError:
        return None
    if not all(is_word(word) and is_cutoff(cutoffs[word]) for word in cutoffs):
        return None
    return cutoffs if data == encode(cutoffs) else None


class SensitivityState:
    """Raises the cutoffs of `detectors`, those of `words` in the same order; call `load` first."""

    def __init__(self, storage, words, detectors):
        self._storage = storage
        self._words = words
        self._detectors = {}
        self._present = {}  # word -> its cutoff in thousandths, as configured or as stored
        self._stored = {}
        self.is_damaged = False
        for word, detector in zip(words, detectors):
            self._detectors[word] = detector
            self._present[word] = (1000 * detector.cutoff + 254) // 255

    def load(self):
        """Apply what was stored; a storage that fails counts as a damaged file."""
        try:
            stored = decode(self._storage.read(FILE, MAX_BYTES + 1))
        except OSError:
            stored = None
        self.is_damaged = stored is None
        for word in self._detectors:
            thousandths = MAX_CUTOFF_THOUSANDTHS if stored is None else stored.get(word)
            if thousandths is not None:
                self._stored[word] = thousandths
                self._present[word] = max(self._present[word], thousandths)
                self._apply(word, thousandths)

    def may_raise(self, word, thousandths):
        """Whether the device listens for this word, with a cutoff that is lower by enough."""
        present = self._present.get(word)
        return present is not None and thousandths >= present + MIN_RISE_THOUSANDTHS

    def raise_to(self, word, thousandths):
        """Apply and store a cutoff that `may_raise` allows; OSError when it could not be stored.

        After an error it holds until the next start, and may be asked for again.
        """
        self._apply(word, thousandths)
        stored = dict(self._stored)
        stored[word] = thousandths
        self._storage.write_atomic(FILE, encode(stored))
        self._stored = stored
        self._present[word] = thousandths

    def cutoffs(self):
        """The cutoffs that apply now, in thousandths, in the order of the words."""
        found = []
        for word in self._words:
            applied = (1000 * self._detectors[word].cutoff + 254) // 255
            found.append(max(applied, self._present[word]))
        return found

    def is_raised(self, word):
        """Whether the word's cutoff is one that the network raised, or that damage did."""
        return self._stored.get(word) == self._present.get(word, -1)

    def _apply(self, word, thousandths):
        detector = self._detectors[word]
        detector.cutoff = max(detector.cutoff, 255 * thousandths // 1000)
