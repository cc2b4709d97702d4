"""One line for a program: JSON with a checksum, so that a noisy line is noticed.

Place: everything that diagnosis says with json=True.  `earnest:` JSON `*` CRC-32 in 8 hexadecimal
digits.  The host reads it with the same module.
"""

import binascii
import json

MARK = "earnest:"


def encode(value: object) -> str:
    """The line for a value, without its newline."""
    text = json.dumps(value)
    return "%s%s*%08x" % (MARK, text, binascii.crc32(text.encode()) & 0xFFFFFFFF)


def decode(line: str) -> object:
    """The value in a line (str), or None when the line is not a whole, undamaged frame."""
    at = line.rfind(MARK)
    end = line.rfind("*")
    if at < 0 or end < at:
        return None
    text = line[at + len(MARK) : end]
    if line[end + 1 :].strip() != "%08x" % (binascii.crc32(text.encode()) & 0xFFFFFFFF):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
