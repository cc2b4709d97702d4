"""What reading a receiver's messages costs the device, in instructions for each byte.

    .venv/bin/python tests/long/parser_cost.py

Counted by valgrind on the host (x86-64, unix port): the same bytecode runs on the chip, through
another compiler's interpreter.  docs/protocol.md has the figures; the limits of
satellite/streamer.py follow from them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from host_tools import micropython
from host_tools.xtensa.interpreter_cost import count

COUNT = 200
READ_BYTES = 128  # of satellite/streamer.py
SCRIPT = f"""
import sys
READ_BYTES = {READ_BYTES}
from satellite import protocol
message = sys.stdin.buffer.read()
data = message * (READ_BYTES // len(message) + 1)
pieces = [data[at : at + READ_BYTES] for at in range(0, len(data), READ_BYTES)]
for _ in range(int(sys.argv[1])):
    decoder = protocol.Decoder(0)
    for piece in pieces:
        for event in decoder.feed(piece):
            pass
"""
MESSAGES = {
    "pong, 35 bytes": b'{"type":"pong","version":"1.10.2"}\n',
    "unknown, 13 bytes": b'{"type":"x"}\n',
    "stop, 96 bytes": b'{"type":"stop","version":"1.10.2","data_length":29}\n'
    b'{"stream":"0123456789abcdef"}',
    "header of 1024 bytes": b'{"type":"x","y":"' + b"z" * 1005 + b'"}\n',
    "text that looks like JSON": b'{"type":"x","y":"' + b"[{" * 40 + b'"}\n',
    "data with 128 separators": b'{"type":"x","data_length":259}\n{"y":[' + b"0," * 125 + b"0]}",
}


def per_byte(script: Path, message: bytes) -> float:
    """Instructions for each byte of the message, repeated."""
    size = len(message) * (READ_BYTES // len(message) + 1)
    once, twice = (
        count(
            micropython.command(script, n),
            message,
            MICROPYPATH=f"{micropython.FIRMWARE}:.frozen",
        )
        for n in (COUNT, 2 * COUNT)
    )
    return (twice - once) / (COUNT * size)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        script = Path(folder) / "parse.py"
        script.write_text(SCRIPT)
        for name, message in MESSAGES.items():
            print(f"{name:28} {per_byte(script, message):8.0f} instructions a byte")
    return 0


if __name__ == "__main__":
    sys.exit(main())
