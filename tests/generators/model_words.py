"""Model files written by hand for the tests: a header's fields, ops as lists of words.

`write` makes any file, also one that `check` must refuse; its CRC is always right.
"""

from __future__ import annotations

import struct

from firmware.wakeword import model_format as fmt

#: Where each field of the header lies: offset, struct format.
FIELDS = {
    "magic": (0, "4s"),
    "version": (4, "H"),
    "header_bytes": (6, "H"),
    "file_bytes": (8, "I"),
    "crc32": (12, "I"),
    "source_sha256": (16, "32s"),
    "arena_bytes": (48, "I"),
    "macs": (52, "I"),
    "input_op_count": (56, "H"),
    "op_count": (58, "H"),
    "stride": (60, "B"),
    "features": (61, "B"),
    "cutoff": (62, "B"),
    "window": (63, "B"),
    "multiplier": (64, "H"),
    "offset": (66, "H"),
    "divisor": (68, "H"),
    "name_bytes": (70, "H"),
    "ops_at": (72, "I"),
    "fills_at": (76, "I"),
    "fill_count": (80, "I"),
    "input_at": (84, "I"),
    "output_at": (88, "I"),
    "step_ms": (92, "H"),
    "kind": (94, "H"),
}


def signed(data: bytes) -> bytes:
    """The file with its CRC set right."""
    out = bytearray(data)
    struct.pack_into("<I", out, 12, fmt.crc32(out))
    return bytes(out)


def changed(data: bytes, **fields) -> bytes:
    """The file with header fields changed and its CRC set right."""
    out = bytearray(data)
    for name, value in fields.items():
        at, kind = FIELDS[name]
        struct.pack_into("<" + kind, out, at, value)
    return signed(out) if "crc32" not in fields else bytes(out)


def write(
    ops: list[list[int]],
    constants: bytes = b"",
    fills: tuple[tuple[int, int, int], ...] = (),
    arena_bytes: int = 64,
    name: bytes = b"a",
    **fields,
) -> bytes:
    """A file: header, name, ops, fills, constants.  Offsets into the file are the ops' own."""
    at = fmt.HEADER_BYTES + (len(name) + 3) // 4 * 4
    body = name + bytes(-len(name) % 4)
    body += b"".join(struct.pack(f"<{len(op)}I", *op) for op in ops)
    ops_end = fmt.HEADER_BYTES + len(body)
    body += b"".join(struct.pack("<3I", *fill) for fill in fills) + constants
    values = {
        "magic": fmt.MAGIC,
        "version": fmt.VERSION,
        "header_bytes": fmt.HEADER_BYTES,
        "file_bytes": fmt.HEADER_BYTES + len(body),
        "arena_bytes": arena_bytes,
        "op_count": len(ops),
        "stride": 1,
        "features": fmt.FEATURES,
        "cutoff": 128,
        "window": 1,
        "multiplier": fmt.INPUT_MULTIPLIER,
        "offset": fmt.INPUT_OFFSET,
        "divisor": fmt.INPUT_DIVISOR,
        "name_bytes": len(name),
        "ops_at": at,
        "fills_at": ops_end,
        "fill_count": len(fills),
        "step_ms": fmt.FEATURE_STEP_MS,
    }
    return changed(bytes(fmt.HEADER_BYTES) + body, **{**values, **fields})


def constants_at(ops: list[list[int]], fills: int = 0, name: bytes = b"a") -> int:
    """Where the constants of `write(ops, ...)` begin."""
    words = sum(len(op) for op in ops)
    return fmt.HEADER_BYTES + (len(name) + 3) // 4 * 4 + 4 * words + fmt.FILL_BYTES * fills


def weights_at(ops: list[list[int]], fills: int = 0) -> int:
    """The first place for weights in the constants of `write(ops, ...)`: a multiple of 16."""
    return -(-constants_at(ops, fills) // 16) * 16
