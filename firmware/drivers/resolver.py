"""The receiver's address out of its name, while the audio loop goes on.

MicroPython's `getaddrinfo` waits for the answer, with a dead name server longer than the watchdog
does.  So it waits in a thread of its own, of which there is one at most; the chip's `getaddrinfo`
lets other threads run (modsocket.c).  An address in digits needs none of this.  Imports _thread
and socket; must not import wakeword or satellite.
"""

import _thread
import asyncio
import socket

LONGEST_MS = 30000
_LOOK_MS = 50


class Resolver:
    """`address` is for one task at a time."""

    def __init__(self, getaddrinfo=socket.getaddrinfo):
        self._getaddrinfo = getaddrinfo
        self._is_busy = False  # written by the thread at its end

    async def address(self, host, port):
        """`host` in digits.  Raises OSError: no such name, or no answer within LONGEST_MS."""
        if ":" in host or all(c in "0123456789." for c in host):
            return host
        if self._is_busy:
            raise OSError("the last look-up has not ended")
        self._is_busy = True
        answer: list[str] = []
        try:
            _thread.start_new_thread(self._look_up, (host, port, answer))
        except (OSError, RuntimeError, MemoryError):  # no room for a thread: not this time
            self._is_busy = False
            raise OSError("no thread for the look-up") from None
        for _ in range(LONGEST_MS // _LOOK_MS):
            await asyncio.sleep_ms(_LOOK_MS)
            if not self._is_busy:
                break
        if not answer:
            raise OSError("no address for %s" % host)
        return answer[0]

    def _look_up(self, host, port, answer):
        """In the thread: nothing here may end in an error, nobody would see it."""
        try:
            found = self._getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
            answer.append(_digits(found[0][-1]))
        except (OSError, IndexError, MemoryError):
            pass  # no answer says it
        finally:
            self._is_busy = False


def _digits(address):
    """Of (host, port), which the chip gives, or of a sockaddr's bytes, as the unix port does."""
    if isinstance(address, tuple):
        return address[0]
    return "%d.%d.%d.%d" % tuple(address[4:8])
