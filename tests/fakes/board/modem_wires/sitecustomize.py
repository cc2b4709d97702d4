"""RTS and DTR for pseudo-terminals, in an esptool that has this folder in PYTHONPATH.

Linux gives pseudo-terminals no modem lines.  Here the calls that would set them send their new
state, as TIOCM_DTR and TIOCM_RTS in a byte, to the socket MODEM_WIRES and wait for its answer.
MODEM_USB, "port vid pid", is what the system lists as plugged in.
"""

import fcntl
import os
import socket
import struct
import sys
import termios
from types import SimpleNamespace

_kernel = fcntl.ioctl
_wires = socket.socket(socket.AF_UNIX)
_state = 0


def _ioctl(fd, request, argument=0, *rest):
    global _state
    if request == termios.TIOCMGET:
        return struct.pack("I", _state)
    if request not in (termios.TIOCMSET, termios.TIOCMBIS, termios.TIOCMBIC):
        return _kernel(fd, request, argument, *rest)
    bits = struct.unpack("I", argument)[0]
    if request == termios.TIOCMBIS:
        bits |= _state
    elif request == termios.TIOCMBIC:
        bits = _state & ~bits
    if bits != _state:
        _state = bits
        _wires.sendall(bytes([bits]))
        _wires.recv(1)
    return argument


if "esptool" in sys.orig_argv and "MODEM_WIRES" in os.environ:
    _wires.connect(os.environ["MODEM_WIRES"])
    fcntl.ioctl = _ioctl
    if "MODEM_USB" in os.environ:
        from serial.tools import list_ports

        _port, _vid, _pid = os.environ["MODEM_USB"].split()
        _listed = SimpleNamespace(device=_port, vid=int(_vid, 16), pid=int(_pid, 16))
        list_ports.comports = lambda *_, **__: [_listed]
