"""Which bytes a model file's ops touch, worked out from docs/model-format.md and the kernels.

A second, independent reading of the format beside `model_format.check`: nothing is refused here,
only listed.  Ranges are (first byte, byte after the last).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tests.generators.model_words import FIELDS

DOT, DEPTHWISE, REQUANTISE, PUSH, LOOKUP = 1, 2, 3, 4, 5
WORDS = {DOT: 9, DEPTHWISE: 9, REQUANTISE: 9, PUSH: 9, LOOKUP: 5}


@dataclass
class Touched:
    """What running a model can touch: parts of the arena and of the file, words by themselves."""

    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)
    file: list[tuple[int, int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)  # arena offsets read or written as a word
    file_words: list[int] = field(default_factory=list)
    vectors: list[int] = field(default_factory=list)  # offsets of what is loaded by 16 bytes
    positions: list[int] = field(default_factory=list)  # moved by push
    rows: dict[int, set[int]] = field(default_factory=dict)  # by position


def get(data: bytes, name: str) -> int:
    """A field of the header."""
    at, kind = FIELDS[name]
    return struct.unpack_from("<" + kind, data, at)[0]


def ops_of(data: bytes) -> list[tuple[int, ...]]:
    """Each op's words, kind first."""
    at, ops = get(data, "ops_at"), []
    for _ in range(get(data, "op_count")):
        (kind,) = struct.unpack_from("<I", data, at)
        ops.append(struct.unpack_from(f"<{WORDS[kind]}I", data, at))
        at += 4 * WORDS[kind]
    return ops


def touched(data: bytes) -> Touched:
    """Everything that a run of the model can touch, for every position of every ring."""
    t = Touched()
    ops = ops_of(data)
    t.writes.append((get(data, "input_at"), get(data, "input_at") + 40))
    t.reads.append((get(data, "output_at"), get(data, "output_at") + 1))
    for i in range(get(data, "fill_count")):
        start, size, value = struct.unpack_from("<3I", data, get(data, "fills_at") + 12 * i)
        # A fill of zeros changes nothing: the arena starts as zeros.
        (t.writes if value else t.reads).append((start, start + size))
    for op in ops:
        if op[0] == PUSH:
            t.rows.setdefault(op[4], set()).add(op[5])
    t.positions = list(t.rows)
    at = get(data, "ops_at")
    for op in ops:
        t.file.append((at, at + 4 * len(op)))
        t.file_words.append(at)
        at += 4 * len(op)
        _ADD[op[0]](t, *op[1:])
    return t


def _words(t: Touched, to: list, start: int, count: int) -> None:
    to.append((start, start + 4 * count))
    t.words.append(start)


def _moved(t: Touched, position: int, step: int) -> int:
    """How far the input of a reader can move: the position's largest value times the step."""
    _words(t, t.reads, position, 1)
    rows = t.rows.get(position)
    # A word that no push moves may hold anything; only a step of 0 makes that harmless.
    return step * (max(rows) - 1 if rows else 0 if step == 0 else 1 << 32)


def _dot(t, start, position, step, blocks, channels, out, weights, work):
    moved = _moved(t, position, step)
    row = -(-8 * blocks // 16) * 16
    t.vectors += [weights, work]
    t.reads.append((start, start + moved + row + 16))
    _words(t, t.writes, out, channels)
    _words(t, t.writes, work, 4 * blocks)  # pairs of halves: 2 bytes a value
    t.reads.append((work, work + 16 * blocks + 8))  # the loop loads two words ahead
    t.file.append((weights, weights + row * channels + 32))


def _depthwise(t, start, position, step, pitch, blocks, channels, out, weights):
    moved = _moved(t, position, step)
    row = -(-4 * blocks // 16) * 16
    t.vectors.append(weights)
    t.reads.append((start, start + moved + pitch * (channels - 1) + row + 16))
    _words(t, t.writes, out, channels)
    t.file.append((weights, weights + row * channels))


def _requantise(t, accumulators, out, pitch, channels, zero, low, high, table):
    _words(t, t.reads, accumulators, channels)
    t.writes.append((out, out + pitch * (channels - 1) + 1))
    t.file.append((table, table + 12 * channels))
    t.file_words.append(table)


def _push(t, source, channels, base, position, rows, row_bytes, pitch, advance):
    _words(t, t.reads, position, 1)
    t.reads.append((source, source + channels))
    last = (rows - 1) * row_bytes + rows * row_bytes + pitch * (channels - 1)
    t.writes.append((base, base + last + 1))


def _lookup(t, source, count, out, table):
    t.reads.append((source, source + count))
    t.writes.append((out, out + count))
    t.file.append((table, table + 256))


_ADD = {DOT: _dot, DEPTHWISE: _depthwise, REQUANTISE: _requantise, PUSH: _push, LOOKUP: _lookup}


def unsafe(data: bytes) -> str:
    """Why running the file is not safe, or an empty string."""
    t, arena, size = touched(data), get(data, "arena_bytes"), len(data)
    for what, ranges, limit in (
        ("read", t.reads, arena),
        ("write", t.writes, arena),
        ("file", t.file, size),
    ):
        for low, high in ranges:
            if low > high or high > limit:
                return f"{what} of {low}..{high} in {limit}"
    if any(at % 4 for at in (*t.words, *t.file_words)):
        return "a word that is not aligned"
    if any(at % 16 for at in t.vectors):
        return "16 bytes that are not aligned"
    for position, rows in t.rows.items():
        if len(rows) != 1:
            return f"rings of {rows} rows share position {position}"
        for low, high in t.writes:
            if low < position + 4 and position < high:
                return f"{low}..{high} is written over position {position}"
    return ""
