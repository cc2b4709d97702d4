"""Opens an I2S port of the chip in the mode that never waits.

Place in the pipeline: the microphone and the speaker open theirs here.  Each object is the master
of one direction of one of the two ports.
"""

import gc
import select

from machine import Pin

PORTS = (0, 1)


def open_port(first, make, event):
    """Return (port number, I2S) of a port that was polled once, so that it never waits again.

    A port that a soft reset left in use is collected, else the other one is taken.

    Args:
        first: the port to try first, 0 or 1.
        make: a function of the port number that returns a new machine.I2S.
        event: select.POLLIN for one that reads, select.POLLOUT for one that writes.

    Raises OSError when no port can be opened.
    """
    failure = None
    for port in (first, first, PORTS[1 - first]):
        try:
            i2s = make(port)
        except (OSError, ValueError) as error:
            failure = error
            gc.collect()
            continue
        poller = select.poll()
        poller.register(i2s, event)
        poller.poll(0)
        poller.unregister(i2s)
        return port, i2s
    raise OSError("no I2S port can be opened: " + str(failure))


def rest(pins):
    """Disconnect a port from these pins: inputs, held low."""
    for number in pins:
        Pin(number, Pin.IN, Pin.PULL_DOWN)
