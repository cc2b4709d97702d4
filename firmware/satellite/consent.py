"""Opt-out is opt-out, for the past too: remembers what the owner once allowed, and to whom.

Place: beside the streamer.  Before the first stream under a consent that lets the receiver keep
something, a file says so; when the configuration no longer allows it, the withdrawal is due until
that receiver has confirmed that it deleted, and only then its line goes.  Another receiver is told
of the withdrawal as well, but its answer does not count for the first one.  A damaged file counts
as "something may be kept".  The storage is handed in (see drivers/storage.py).
"""

import binascii
import hashlib

FILE = "consent.state"
MAX_RECEIVERS = 4
MAX_BYTES = 64 * MAX_RECEIVERS
_MAX_CA_BYTES = 4096
_LINE = b"earnest consent 2 keep=%d share=%d receiver=%s\n"
#: As written before a line named its receiver.
_FIRST_LINE = b"earnest consent 1 keep=%d share=%d\n"
#: Earlier receivers of which no more is known; and the one of a configuration without any.
_SOME = b"0" * 16


def receiver_id(config, storage):
    """Return 16 hexadecimal digits that stand for the receiver of a configuration.

    They are made of its CA, or where it is plain text of its address: a receiver that moves or
    renews its certificate stays the same, one with another CA is another.
    """
    identity = b"%s:%d" % (config.receiver_host.encode(), config.receiver_port)
    if not config.insecure:
        try:
            identity = storage.read(config.ssl_ca, _MAX_CA_BYTES) or b""
        except OSError:
            identity = b""  # nothing can be sent without it
    return binascii.hexlify(hashlib.sha256(identity).digest()[:8])


class Consent:
    """What is allowed now, by the configuration, and what each receiver was allowed before."""

    def __init__(self, storage, keep_recordings, share_for_training, receiver=_SOME):
        self._storage = storage
        self._now = (keep_recordings, share_for_training)
        self._receiver = receiver
        self._before = []  # (receiver, keep, share) of each, the oldest first

    def load(self):
        """Read the file.  A storage that fails means: something may be kept."""
        try:
            data = self._storage.read(FILE, MAX_BYTES)
        except OSError:
            data = b""
        self._before = []
        if data is None:
            return
        lines = data.split(b"\n")
        is_whole = len(lines) > 1 and lines[-1] == b""
        for line in lines[:-1] if is_whole else lines:
            entry = self._entry(line + b"\n") if is_whole else None
            if entry is None:
                self._before = [(self._receiver, True, True)]
                return
            self._before.append(entry)
        if data.startswith(_FIRST_LINE[:18]):
            try:  # from now on it is this receiver's, whichever the next configuration names
                self._note(self._here())
            except OSError:
                pass  # at the next start

    def withdrawal(self):
        """The data of `consent-withdrawn` that is due, here or elsewhere, or None."""
        if any(self._is_due(entry) for entry in self._before):
            return {"keep_recordings": self._now[0], "share_for_training": self._now[1]}
        return None

    @property
    def is_due_here(self):
        """Whether this receiver may still keep what is not allowed any more."""
        keep, share = self._here()
        return self._is_due((self._receiver, keep, share))

    def due_elsewhere(self):
        """How many other receivers may still keep what is not allowed any more."""
        due = [entry for entry in self._before if self._is_due(entry)]
        return sum(entry[0] != self._receiver for entry in due)

    def use(self):
        """A stream is about to start under the present consent; OSError if it cannot be noted."""
        keep, share = self._here()
        noted = (keep or self._now[0], share or self._now[1])
        if noted != (keep, share):
            self._note(noted)

    def forbid(self):
        """Nothing may be kept from now on; what was kept before is due to be deleted."""
        self._now = (False, False)

    def confirmed(self):
        """This receiver has deleted what was withdrawn; what others keep stays due."""
        self._note(self._now)

    def _is_due(self, entry):
        return (entry[1] and not self._now[0]) or (entry[2] and not self._now[1])

    def _here(self):
        """What this receiver may have kept under: (keep, share)."""
        for receiver, keep, share in self._before:
            if receiver == self._receiver:
                return keep, share
        return False, False

    def _note(self, here):
        """Store this receiver's entry beside those of the others; raises OSError."""
        entries = [entry for entry in self._before if entry[0] != self._receiver]
        most = MAX_RECEIVERS - 1
        if len(entries) > most:  # of the oldest ones it is known only that something may be kept
            old = entries[: len(entries) - most + 1]
            keep, share = any(e[1] for e in old), any(e[2] for e in old)
            entries = [(_SOME, keep, share)] + entries[len(old) :]
        if any(here):
            entries.append((self._receiver, here[0], here[1]))
        if entries:
            lines = [_LINE % (keep, share, receiver) for receiver, keep, share in entries]
            self._storage.write_atomic(FILE, b"".join(lines))
        else:
            self._storage.remove(FILE)
        self._before = entries

    def _entry(self, line):
        """(receiver, keep, share) of a line, or None when it is damaged."""
        receiver = line[-17:-1]
        for keep in (False, True):
            for share in (False, True):
                if line == _FIRST_LINE % (keep, share):
                    return self._receiver, keep, share
                if line == _LINE % (keep, share, receiver) and _is_id(receiver):
                    return receiver, keep, share
        return None


def _is_id(receiver):
    return len(receiver) == 16 and all(byte in b"0123456789abcdef" for byte in receiver)
