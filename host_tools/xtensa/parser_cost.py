"""Counts what reading a receiver's messages costs the device, in instructions per byte.

The figures are the host's (x86-64, unix port, cachegrind); on the chip the same bytecode runs,
through another compiler's interpreter.  The limits of satellite/incoming.py follow from them.
"""

from __future__ import annotations

from host_tools import micropython
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa.interpreter_cost import count

_COUNT = 200
#: What satellite/streamer.py reads at once.
READ_BYTES = 128
MESSAGES = {
    "pong, 35 bytes": b'{"type":"pong","version":"1.10.2"}\n',
    "unknown, 13 bytes": b'{"type":"x"}\n',
    "stop, 81 bytes": b'{"type":"stop","version":"1.10.2","data_length":29}\n'
    b'{"stream":"0123456789abcdef"}',
    "header of 1024 bytes": b'{"type":"x","y":"' + b"z" * 1005 + b'"}\n',
    "text that looks like JSON": b'{"type":"x","y":"' + b"[{" * 40 + b'"}\n',
    "data with 128 separators": b'{"type":"x","data_length":259}\n{"y":[' + b"0," * 125 + b"0]}",
}


def instructions_per_byte(message: bytes, repeats: int = _COUNT) -> float:
    """Return the host instructions for each byte of `message`, which is sent over and over."""
    script = micropython.GUESTS / "parse_messages.py"
    size = len(message) * (READ_BYTES // len(message) + 1)
    once, twice = (
        count(
            micropython.command(script, n, READ_BYTES),
            message,
            MICROPYPATH=f"{FIRMWARE}:.frozen",
        )
        for n in (repeats, 2 * repeats)
    )
    return (twice - once) / (repeats * size)


def table() -> list[tuple[str, int]]:
    """Return (message, instructions per byte) for messages of every kind."""
    return [(name, round(instructions_per_byte(message))) for name, message in MESSAGES.items()]
