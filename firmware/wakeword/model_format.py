"""Read a built model file: its header, its ops, and the check that makes it safe to run.

docs/model-format.md specifies every byte.  Used on the device by `model`, on the host by the
converter.  The kernels follow offsets in the file without looking, so `check` holds every one
of them against the sizes first: a file that passes cannot make a kernel read or write outside
the model buffer and the arena.
"""

import binascii
import struct

if False:  # for type checkers alone: it is not compiled
    from collections.abc import Callable

    Bytes = bytes | bytearray | memoryview
    Words = tuple[int, ...]
    Rings = dict[int, int]
    Range = tuple[int, int]  # first byte, bytes
    Masks = dict[int, list[int]]
    Ops = list[tuple[int, int]]

MAGIC = b"EWM\0"
VERSION = 2
#: magic, version, header bytes, file bytes, CRC-32 of everything after the CRC, source SHA-256,
#: arena bytes, MACs, input ops, ops, stride, features, cutoff, window, input multiplier, offset,
#: divisor, name bytes, where the ops start, where the fills start, fills, where the input slice
#: goes, where the probability comes out, step in ms, kind
HEADER = "<4sHHII32sIIHHBBBBHHHHIIIIIHH"
HEADER_BYTES = 96
_CRC_FROM = 16

#: The one input scaling there is: int8 = clamp((feature * 256 + 333) // 666 - 128), see
#: docs/pipeline.md.
INPUT_MULTIPLIER, INPUT_OFFSET, INPUT_DIVISOR = 256, 333, 666
FEATURES = 40
FEATURE_STEP_MS = 10

#: What a model is for.  A reader refuses the kinds that it does not know.
WAKE_WORD = 0
KIND_NAMES = ("wake word",)

MAX_FILE_BYTES = 1 << 20
MAX_ARENA_BYTES = 1 << 18
MAX_OPS = 1024
MAX_STRIDE = 16
MAX_WINDOW = 255
MAX_NAME_BYTES = 64
MAX_FILLS = 512

DOT, DEPTHWISE, REQUANTISE, PUSH, LOOKUP = 1, 2, 3, 4, 5
#: Words of an op, its kind included.
OP_WORDS = {DOT: 9, DEPTHWISE: 9, REQUANTISE: 9, PUSH: 9, LOOKUP: 5}
FILL_BYTES = 12
CHANNEL_BYTES = 12
#: The chip's vector unit takes this many bytes at a time, from a multiple of it: weights and
#: workspaces begin there, rows of weights are of whole ones.
VECTOR_BYTES = 16
#: It reads this far beyond a dot's or depthwise's inputs, rounded up, and beyond a dot's weights.
PAST_INPUTS, PAST_WEIGHTS = 16, 32
#: Made once: making strings is what takes a MicroPython longest here.
_FORMATS = {1: "<I", 3: "<3I", 5: "<5I", 9: "<9I"}


class ModelFormatError(ValueError):
    """The file is not a model this firmware can run; the message says why."""


class Header:
    """The fields of a model file's header by name; ModelFormatError names what is wrong.

    `kind` is an index of KIND_NAMES.  The first `input_op_count` ops run on every slice.
    """

    def __init__(self, data: "Bytes") -> None:
        if len(data) < HEADER_BYTES or bytes(data[:4]) != MAGIC:
            raise ModelFormatError("not an Earnest model file (it does not start with EWM)")
        (
            _magic,
            version,
            header_bytes,
            self.file_bytes,
            self.crc32,
            self.source_sha256,
            self.arena_bytes,
            self.macs,
            self.input_op_count,
            self.op_count,
            self.stride,
            features,
            self.probability_cutoff,
            self.sliding_window_size,
            multiplier,
            offset,
            divisor,
            name_bytes,
            self.ops_at,
            self.fills_at,
            self.fill_count,
            self.input_at,
            self.output_at,
            step_ms,
            self.kind,
        ) = struct.unpack_from(HEADER, data, 0)
        if version != VERSION:
            raise ModelFormatError(
                "model file of version %d; this firmware reads version %d: make it again with "
                "`earnest install` or `earnest convert`" % (version, VERSION)
            )
        if header_bytes != HEADER_BYTES:
            raise ModelFormatError("header of %d bytes, not %d" % (header_bytes, HEADER_BYTES))
        if self.kind >= len(KIND_NAMES):
            raise ModelFormatError(
                "model of kind %d; this firmware runs kind %s"
                % (self.kind, ", ".join("%d (%s)" % known for known in enumerate(KIND_NAMES)))
            )
        if self.file_bytes != len(data) or not self.file_bytes <= MAX_FILE_BYTES:
            raise ModelFormatError(
                "file of %d bytes where its header says %d (at most %d)"
                % (len(data), self.file_bytes, MAX_FILE_BYTES)
            )
        if (features, multiplier, offset, divisor, step_ms) != (
            FEATURES,
            INPUT_MULTIPLIER,
            INPUT_OFFSET,
            INPUT_DIVISOR,
            FEATURE_STEP_MS,
        ):
            raise ModelFormatError("the model's input is not the one this front end makes")
        if not (0 < self.arena_bytes <= MAX_ARENA_BYTES and self.arena_bytes % 4 == 0):
            raise ModelFormatError("arena of %d bytes" % self.arena_bytes)
        if not 1 <= self.stride <= MAX_STRIDE:
            raise ModelFormatError("stride of %d slices (1 to %d)" % (self.stride, MAX_STRIDE))
        if not 1 <= self.sliding_window_size <= MAX_WINDOW:
            raise ModelFormatError("sliding window of %d" % self.sliding_window_size)
        if not (self.input_op_count <= self.op_count <= MAX_OPS and self.fill_count <= MAX_FILLS):
            raise ModelFormatError("%d ops, %d fills" % (self.op_count, self.fill_count))
        if name_bytes > MAX_NAME_BYTES or HEADER_BYTES + name_bytes > self.file_bytes:
            raise ModelFormatError("wake word of %d bytes" % name_bytes)
        name = bytes(data[HEADER_BYTES : HEADER_BYTES + name_bytes])
        try:
            self.wake_word = name.decode()
        except UnicodeError:
            raise ModelFormatError("wake word is not UTF-8")
        if any(c < 0x20 or c == 0x7F for c in name):
            raise ModelFormatError("wake word with control characters")

    def words(self, data: "Bytes", at: int, count: int) -> "Words":
        """Return `count` uint32 at byte offset `at`."""
        if at % 4 or at < HEADER_BYTES or at + 4 * count > self.file_bytes:
            raise ModelFormatError("words at %d lie outside the file" % at)
        return struct.unpack_from(_FORMATS.get(count) or "<%dI" % count, data, at)


def crc32(data: "Bytes") -> int:
    """Return the CRC-32 of everything after the CRC's own field."""
    return binascii.crc32(memoryview(data)[_CRC_FROM:]) & 0xFFFFFFFF


def check(data: "Bytes") -> "tuple[Header, Ops]":
    """Return (header, [(kind, offset), ...]) of a model file; ModelFormatError says what is wrong.
    Allocates.
    """
    header = Header(data)
    if crc32(data) != header.crc32:
        raise ModelFormatError("checksum does not match: the file is damaged")
    _inside("input", header.input_at, FEATURES, header.arena_bytes)
    _inside("output", header.output_at, 1, header.arena_bytes)
    rings: "Rings" = {}
    masks: "Masks" = {}
    written: "list[Range]" = [(header.input_at, FEATURES)]
    for i in range(header.fill_count):
        start, size, value = header.words(data, header.fills_at + i * FILL_BYTES, 3)
        if value > 255:
            raise ModelFormatError("fill %d with %d" % (i, value))
        _inside("fill", start, size, header.arena_bytes)
        if value:
            written.append((start, size))
    ops: "Ops" = []
    at = header.ops_at
    for i in range(header.op_count):
        kind = header.words(data, at, 1)[0]
        if kind not in OP_WORDS:
            raise ModelFormatError("op %d is of unknown kind %d" % (i, kind))
        words = header.words(data, at, OP_WORDS[kind])
        _CHECKS[kind](words, header, rings)
        if kind == REQUANTISE:
            _check_channels(data, words, masks)
        ops.append((kind, at))
        written.extend(_written(kind, words))
        at += 4 * OP_WORDS[kind]
    _check_rings(rings, written)
    return header, ops


def _check_rings(rings: "Rings", written: "list[Range]") -> None:
    """A position starts at 0 and is only ever moved by push, which keeps it below its ring's rows:
    neither an op nor a fill nor the input may write there.
    """
    if not rings:
        return
    first, end = min(rings), max(rings) + 4  # they lie together, and most of the rest elsewhere
    for low, size in written:
        if low < end and first < low + size:
            for ring in rings:
                if low < ring + 4 and ring < low + size:
                    raise ModelFormatError("something else is written over a ring's position")


def _inside(what: str, start: int, size: int, limit: int) -> None:
    if start + size > limit or size == 0:
        raise ModelFormatError("%s: %d bytes at %d lie outside %d" % (what, size, start, limit))


def row_bytes(weights: int) -> int:
    """Return the bytes of a row of weights in the file."""
    return -(-weights // VECTOR_BYTES) * VECTOR_BYTES


def _aligned(what: str, start: int, size: int = 4) -> None:
    if start % size:
        raise ModelFormatError("%s at %d is not aligned" % (what, start))


def _position(words: "Words", header: Header, rings: "Rings") -> int:
    """Check a reader's ring position (words[2]); return the bytes that it can move the read."""
    at, step = words[2], words[3]
    if step == 0:
        _aligned("position", at)
        _inside("position", at, 4, header.arena_bytes)
        return 0
    _aligned("position", at)
    if at not in rings:
        raise ModelFormatError("a ring is read before anything is pushed into it")
    return (rings[at] - 1) * step


def _check_dot(words: "Words", header: Header, rings: "Rings") -> None:
    _kind, start, _at, _step, blocks, channels, out, weights, work = words
    moved = _position(words, header, rings)
    _aligned("accumulators", out)
    if blocks == 0 or channels == 0:
        raise ModelFormatError("dot of %d blocks, %d channels" % (blocks, channels))
    row = row_bytes(8 * blocks)
    _inside("input of dot", start, moved + row + PAST_INPUTS, header.arena_bytes)
    _inside("accumulators", out, 4 * channels, header.arena_bytes)
    _aligned("weights", weights, VECTOR_BYTES)
    _inside("weights", weights, row * channels + PAST_WEIGHTS, header.file_bytes)
    _aligned("workspace", work, VECTOR_BYTES)
    _inside("workspace", work, 16 * blocks + 8, header.arena_bytes)


def _check_depthwise(words: "Words", header: Header, rings: "Rings") -> None:
    _kind, start, _at, _step, pitch, blocks, channels, out, weights = words
    moved = _position(words, header, rings)
    _aligned("accumulators", out)
    if blocks == 0 or channels == 0:
        raise ModelFormatError("depthwise of %d blocks, %d channels" % (blocks, channels))
    row = row_bytes(4 * blocks)
    size = moved + pitch * (channels - 1) + row + PAST_INPUTS
    _inside("input of depthwise", start, size, header.arena_bytes)
    _inside("accumulators", out, 4 * channels, header.arena_bytes)
    _aligned("weights", weights, VECTOR_BYTES)
    _inside("weights", weights, row * channels, header.file_bytes)


def _check_requantise(words: "Words", header: Header, _rings: "Rings") -> None:
    _kind, acc, out, pitch, channels, zero, low, high, table = words
    _aligned("accumulators", acc)
    _aligned("channel table", table)
    _inside("accumulators", acc, 4 * channels, header.arena_bytes)
    _inside("output", out, 1 + pitch * (channels - 1), header.arena_bytes)
    _inside("channel table", table, CHANNEL_BYTES * channels, header.file_bytes)
    if not (zero <= 255 and low <= high <= 255):
        raise ModelFormatError("requantise to %d, %d..%d" % (zero, low, high))


# Of the twelve bytes of a channel: bits that bias + 2**30 < 2**31, multiplier - 2**30 < 2**30 and
# the two shifts, a byte each of at most 30, never set; a shift of 31 is found by adding 1.
_NEVER = b"\0\0\0\x80\0\0\0\xc0\xe0\xe0\xff\xff"
_SHIFTS = b"\0\0\0\0\0\0\0\0\x1f\x1f\0\0"
_ONES = b"\0\0\0\0\0\0\0\0\1\1\0\0"
_CARRIES = b"\0\0\0\0\0\0\0\0\x20\x20\0\0"


def _check_channels(data: "Bytes", words: "Words", masks: "Masks") -> None:
    """Check a whole table at once, as one long integer: channel by channel, in words that are
    objects on the chip, some 700 channels would take most of a model's load.

    masks: those of the tables so far, by their number of channels.
    """
    at, channels = words[8], words[4]
    if channels not in masks:
        patterns = (_NEVER, _SHIFTS, _ONES, _CARRIES)
        masks[channels] = [int.from_bytes(p * channels, "little") for p in patterns]
    never, shifts, ones, carries = masks[channels]
    table = int.from_bytes(data[at : at + CHANNEL_BYTES * channels], "little")
    wrong = table & never | (table & shifts) + ones & carries
    if wrong:
        channel = 0
        while not wrong & (1 << 8 * CHANNEL_BYTES) - 1:
            wrong >>= 8 * CHANNEL_BYTES
            channel += 1
        raise ModelFormatError("channel %d of a table is out of range" % channel)


def _check_push(words: "Words", header: Header, rings: "Rings") -> None:
    _kind, source, channels, base, at, rows, row_bytes, pitch, advance = words
    _aligned("position", at)
    _inside("position", at, 4, header.arena_bytes)
    if not 1 <= rows <= 4096 or channels == 0 or advance > 1:
        raise ModelFormatError("ring of %d rows, %d channels" % (rows, channels))
    if rings.setdefault(at, rows) != rows:
        raise ModelFormatError("two rings share a position")
    _inside("source of push", source, channels, header.arena_bytes)
    size = (2 * rows - 1) * row_bytes + pitch * (channels - 1) + 1
    _inside("ring", base, size, header.arena_bytes)


def _check_lookup(words: "Words", header: Header, _rings: "Rings") -> None:
    _kind, source, count, out, table = words
    _inside("input of lookup", source, count, header.arena_bytes)
    _inside("output of lookup", out, count, header.arena_bytes)
    _inside("table", table, 256, header.file_bytes)


def _written(kind: int, words: "Words") -> "tuple[tuple[int, int], ...]":
    """Return the (first byte, bytes) parts of the arena that an op writes, without a ring's own
    position.
    """
    if kind == DOT:
        return (words[6], 4 * words[5]), (words[8], 16 * words[4])
    if kind == DEPTHWISE:
        return ((words[7], 4 * words[6]),)
    if kind == REQUANTISE:
        return ((words[2], 1 + words[3] * (words[4] - 1)),)
    if kind == PUSH:
        return ((words[3], (2 * words[5] - 1) * words[6] + words[7] * (words[2] - 1) + 1),)
    return ((words[3], words[2]),)


_CHECKS: "dict[int, Callable[[Words, Header, Rings], None]]" = {
    DOT: _check_dot,
    DEPTHWISE: _check_depthwise,
    REQUANTISE: _check_requantise,
    PUSH: _check_push,
    LOOKUP: _check_lookup,
}
