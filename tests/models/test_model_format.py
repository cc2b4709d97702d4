"""Hostile model files: whatever `model_format.check` accepts cannot reach outside its buffers."""

from __future__ import annotations

import random
import struct
from functools import lru_cache

import pytest

from firmware.wakeword import model_format as fmt
from host_tools.models.build import convert_model
from host_tools.xtensa.kernels import VARIANTS, kernel_names
from host_tools.xtensa.kernels import load_kernels as on_chip
from host_tools.xtensa.machine import XtensaMachine
from tests.generators.model_ranges import get, ops_of, touched, unsafe
from tests.generators.model_words import FIELDS, changed, constants_at, signed, weights_at, write
from tests.generators.random_models import random_model
from tests.generators.viper import Memory, load_kernels

DOT, DEPTHWISE, REQUANTISE, PUSH, LOOKUP = 1, 2, 3, 4, 5
MANIFEST = {
    "type": "micro",
    "wake_word": "random",
    "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10},
}


def check(data: bytes) -> None:
    fmt.check(data)


def is_accepted(data: bytes) -> bool:
    """Whether check accepts; any exception but ModelFormatError fails the test."""
    try:
        check(data)
    except fmt.ModelFormatError as error:
        assert str(error)
        return False
    return True


@lru_cache(maxsize=1)
def converted() -> tuple[bytes, ...]:
    """Model files of random models, the smallest first."""
    built = [convert_model(random_model(seed)[0], MANIFEST).data for seed in range(40)]
    return tuple(sorted(built, key=len))


# --- damage -------------------------------------------------------------------------------------


def test_a_file_cut_short_is_refused_wherever_it_is_cut():
    data = converted()[0]
    rng = random.Random(1)
    cuts = [*range(fmt.HEADER_BYTES + 1), *rng.sample(range(len(data)), 200), len(data) - 1]
    for size in cuts:
        assert not is_accepted(data[:size])
        assert size < fmt.HEADER_BYTES or not is_accepted(changed(data[:size], file_bytes=size)), (
            size
        )


def test_a_longer_file_is_refused():
    with pytest.raises(fmt.ModelFormatError, match="bytes where its header says"):
        check(converted()[0] + b"\0")


def test_any_flipped_bit_is_refused():
    data = converted()[0]
    rng = random.Random(2)
    bits = [*range(8 * fmt.HEADER_BYTES), *(rng.randrange(8 * len(data)) for _ in range(1500))]
    for bit in bits:
        out = bytearray(data)
        out[bit // 8] ^= 1 << bit % 8
        assert not is_accepted(bytes(out)), bit


def test_the_crc_is_that_of_zlib_over_all_that_follows_it():
    import zlib

    data = converted()[0]
    assert get(data, "crc32") == zlib.crc32(data[16:]) == fmt.crc32(data)
    with pytest.raises(fmt.ModelFormatError, match="checksum"):
        check(changed(data, crc32=get(data, "crc32") ^ 1))


def test_another_version_is_refused_and_both_are_named():
    for version in (0, 1, 3, 65535):
        with pytest.raises(fmt.ModelFormatError) as caught:
            check(changed(converted()[0], version=version))
        assert f"version {version}" in str(caught.value)
        assert f"version {fmt.VERSION}" in str(caught.value)
        assert "`earnest install` or `earnest convert`" in str(caught.value)


def test_an_unknown_kind_is_refused_and_both_numbers_are_named():
    data = converted()[0]
    assert fmt.check(data)[0].kind == fmt.WAKE_WORD == 0
    for kind in (1, 7, 65535):
        with pytest.raises(fmt.ModelFormatError) as caught:
            check(changed(data, kind=kind))
        assert str(caught.value) == f"model of kind {kind}; this firmware runs kind 0 (wake word)"


# --- limits -------------------------------------------------------------------------------------

MINIMAL = write([])


def test_a_model_of_no_ops_is_safe():
    check(MINIMAL)


@pytest.mark.parametrize(
    "field, allowed, refused",
    (
        ("magic", [b"EWM\0"], [b"EWM1", b"\0\0\0\0"]),
        ("header_bytes", [96], [95, 97, 0]),
        ("arena_bytes", [40, 44, fmt.MAX_ARENA_BYTES], [0, 36, 41, 42, fmt.MAX_ARENA_BYTES + 4]),
        ("op_count", [0], [1, fmt.MAX_OPS + 1, 65535]),
        ("input_op_count", [0], [1, 65535]),
        ("stride", [1, fmt.MAX_STRIDE], [0, fmt.MAX_STRIDE + 1, 255]),
        ("features", [40], [39, 41]),
        ("cutoff", [0, 255], []),
        ("window", [1, fmt.MAX_WINDOW], [0]),
        ("multiplier", [256], [255, 257]),
        ("offset", [333], [332, 334]),
        ("divisor", [666], [665, 667]),
        ("step_ms", [10], [9, 11]),
        ("kind", [fmt.WAKE_WORD], [1, 2, 65535]),
        ("input_at", [0, 24], [25, 64, 0xFFFFFFFF]),
        ("output_at", [0, 63], [64, 0xFFFFFFFF]),
        ("fill_count", [0], [1, 0xFFFFFFFF]),
        ("name_bytes", [0, 1], [2, 4, 5, 65]),
    ),
)
def test_header_fields_at_their_limits(field, allowed, refused):
    for value in allowed:
        check(changed(MINIMAL, **{field: value}))
    for value in refused:
        with pytest.raises(fmt.ModelFormatError):
            check(changed(MINIMAL, **{field: value}))


def test_names():
    for name in (b"x" * fmt.MAX_NAME_BYTES, "grüezi".encode(), b"\x7e"):
        assert fmt.check(write([], name=name))[0].wake_word == name.decode()
    for name in (b"x" * (fmt.MAX_NAME_BYTES + 1), b"\xff", b"a\nb", b"\x7f", b"\x1f", b"a\0"):
        with pytest.raises(fmt.ModelFormatError, match="wake word"):
            check(write([], name=name))


def test_counts_of_ops_and_fills_at_their_limits():
    load = [LOOKUP, 0, 1, 0, 0]
    for count, allowed in ((fmt.MAX_OPS, True), (fmt.MAX_OPS + 1, False)):
        assert is_accepted(write([load] * count, bytes(256))) == allowed
    for count, allowed in ((fmt.MAX_FILLS, True), (fmt.MAX_FILLS + 1, False)):
        assert is_accepted(write([], fills=((0, 64, 255),) * count)) == allowed
    assert is_accepted(write([load] * 3, bytes(256), input_op_count=3))
    assert not is_accepted(write([load] * 3, bytes(256), input_op_count=4))


def test_size_at_its_limit():
    spare = fmt.MAX_FILE_BYTES - len(MINIMAL)
    check(write([], bytes(spare)))
    with pytest.raises(fmt.ModelFormatError, match="at most"):
        check(write([], bytes(spare + 1)))


def test_fills_and_words_must_lie_inside():
    for fill in ((0, 64, 0), (63, 1, 255), (0, 1, 1)):
        check(write([], fills=(fill,)))
    for fill in ((0, 65, 0), (64, 1, 0), (0, 0, 0), (0, 1, 256), (1 << 31, 1 << 31, 0)):
        with pytest.raises(fmt.ModelFormatError, match="fill"):
            check(write([], fills=(fill,)))
    data = write([], fills=((0, 1, 1),))
    for at in (get(data, "fills_at") + 1, fmt.HEADER_BYTES - 4, len(data) - 8, 0):
        assert not is_accepted(changed(data, fills_at=at))
    data = write([[LOOKUP, 0, 1, 0, 0]], bytes(256))
    for at in (get(data, "ops_at") + 2, fmt.HEADER_BYTES - 4, len(data) - 4, len(data)):
        assert not is_accepted(changed(data, ops_at=at))


def one_op(kind: int, shift: int = 0):
    """An op that uses the arena (64 bytes) and the file to their last byte: ops and constants.

    `shift` is added to the offset of what lies in the file.
    """
    push = [PUSH, 8, 1, 60, 0, 2, 1, 1, 1]
    ops, constants = {
        DOT: ([[DOT, 32, 0, 0, 1, 1, 60, None, 32]], bytes(16 + 32)),
        DEPTHWISE: ([[DEPTHWISE, 20, 0, 0, 6, 2, 3, 52, None]], bytes(3 * 16)),
        REQUANTISE: ([[REQUANTISE, 52, 13, 25, 3, 255, 0, 255, None]], bytes(36)),
        PUSH: ([push], b""),
        LOOKUP: ([[LOOKUP, 60, 4, 60, None]], bytes(256)),
    }[kind]
    at = constants_at(ops)
    padding = -at % fmt.VECTOR_BYTES if kind in (DOT, DEPTHWISE) else 0
    at += padding + shift
    ops = [[at if word is None else word for word in op] for op in ops]
    return ops, bytes(padding) + constants


def with_word(kind: int, word: int, value: int) -> bytes:
    ops, constants = one_op(kind)
    ops[0][word] = value
    return write(ops, constants, input_at=20)


@pytest.mark.parametrize("kind", (DOT, DEPTHWISE, REQUANTISE, PUSH, LOOKUP))
def test_the_op_that_fits_exactly_is_accepted(kind):
    data = write(*one_op(kind), input_at=20)
    check(data)
    assert not unsafe(data)


ONE_PAST = (
    # dot: start, position, step, blocks, channels, out, weights, workspace
    [(DOT, 1, 33), (DOT, 2, 61), (DOT, 2, 64), (DOT, 2, 2), (DOT, 3, 1), (DOT, 4, 3), (DOT, 4, 0)]
    + [(DOT, 5, 2), (DOT, 5, 0), (DOT, 6, 64), (DOT, 6, 58), (DOT, 8, 48), (DOT, 8, 24)]
    # depthwise: start, position, step, pitch, blocks, channels, out, weights
    + [(DEPTHWISE, 1, 21), (DEPTHWISE, 2, 64), (DEPTHWISE, 2, 1), (DEPTHWISE, 3, 1)]
    + [(DEPTHWISE, 4, 7), (DEPTHWISE, 5, 5), (DEPTHWISE, 5, 0), (DEPTHWISE, 6, 4)]
    + [(DEPTHWISE, 6, 0), (DEPTHWISE, 7, 56), (DEPTHWISE, 7, 50)]
    # requantise: accumulators, out, pitch, channels, zero, low, high
    + [(REQUANTISE, 1, 56), (REQUANTISE, 1, 50), (REQUANTISE, 2, 14), (REQUANTISE, 3, 26)]
    + [(REQUANTISE, 4, 4), (REQUANTISE, 4, 0), (REQUANTISE, 5, 256), (REQUANTISE, 7, 256)]
    # push: source, channels, base, position, rows, row bytes, pitch, advance
    + [(PUSH, 1, 64), (PUSH, 2, 2), (PUSH, 2, 0), (PUSH, 3, 61), (PUSH, 4, 64), (PUSH, 4, 2)]
    + [(PUSH, 5, 3), (PUSH, 5, 0), (PUSH, 6, 2), (PUSH, 8, 2), (PUSH, 3, 0), (PUSH, 3, 3)]
    # lookup: source, count, out
    + [(LOOKUP, 1, 61), (LOOKUP, 2, 5), (LOOKUP, 2, 0), (LOOKUP, 3, 61)]
)


@pytest.mark.parametrize("kind, word, value", ONE_PAST)
def test_one_past_is_refused(kind, word, value):
    with pytest.raises(fmt.ModelFormatError):
        check(with_word(kind, word, value))


AT_THE_LIMIT = (
    [(DOT, 1, 31), (DOT, 2, 60), (DOT, 8, 16), (DEPTHWISE, 1, 19), (DEPTHWISE, 5, 4)]
    + [(REQUANTISE, 5, 0), (REQUANTISE, 6, 255), (REQUANTISE, 7, 0), (PUSH, 1, 63), (PUSH, 8, 0)]
    + [(PUSH, 7, 1000), (DOT, 6, 0)]
)


@pytest.mark.parametrize("kind, word, value", AT_THE_LIMIT)
def test_at_the_limit_is_accepted(kind, word, value):
    data = with_word(kind, word, value)
    check(data)
    assert not unsafe(data)


@pytest.mark.parametrize("kind", (DOT, DEPTHWISE, REQUANTISE, LOOKUP))
def test_constants_must_lie_inside_the_file(kind):
    unit = {DOT: 16, DEPTHWISE: 16, REQUANTISE: 4, LOOKUP: 1}[kind]
    for past in (1, unit, 1 << 20):
        assert not is_accepted(write(*one_op(kind, past)))
    # One unit more of room in front and behind is one unit of freedom.
    ops, constants = one_op(kind, unit)
    check(write(ops, constants + bytes(unit)))
    if unit > 1:
        assert not is_accepted(write(*one_op(kind, unit // 2)[:1], constants + bytes(unit)))


def test_channel_tables():
    ops, _ = one_op(REQUANTISE)
    good = (0x7FFFFFFF, (1 << 30) - 1, 30 << 8 | 30)
    check(write(ops, struct.pack("<9I", *good * 3)))
    for i, bad in ((0, 1 << 31), (1, 1 << 30), (2, 31), (2, 31 << 8), (2, 1 << 16)):
        for channel in range(3):
            words = list(good * 3)
            words[3 * channel + i] = bad
            with pytest.raises(fmt.ModelFormatError, match=f"channel {channel}"):
                check(write(ops, struct.pack("<9I", *words)))
    ops[0][6:8] = [1, 0]
    assert not is_accepted(write(ops, bytes(36)))


def ring(rows: int = 4, row_bytes: int = 4, position: int = 0) -> list[int]:
    """A ring of 4 bytes a row at 96."""
    return [PUSH, 8, 4, 96, position, rows, row_bytes, 1, 1]


def test_readers_of_rings():
    def data(reader, *pushes, **fields):
        ops = [*pushes, reader]
        ops[-1][ops[-1].index(-1)] = weights_at(ops, len(fields.get("fills", ())))
        fields = {"input_at": 8, "output_at": 8, "arena_bytes": 160, **fields}
        return write(ops, bytes(80), **fields)

    dot = [DOT, 96, 0, 4, 1, 1, 48, -1, 64]
    check(data(list(dot), ring()))
    assert not is_accepted(data(list(dot))), "nothing was pushed"
    # 3 rows on from 116, and 16 + 16 bytes more: the arena's end
    check(data([DOT, 116, 0, 4, 1, 1, 48, -1, 64], ring()))
    assert not is_accepted(data([DOT, 117, 0, 4, 1, 1, 48, -1, 64], ring()))
    assert not is_accepted(data([DOT, 116, 0, 5, 1, 1, 48, -1, 64], ring()))
    wide = [DEPTHWISE, 100, 0, 4, 8, 1, 2, 48, -1]
    check(data(list(wide), ring()))
    check(data([DEPTHWISE, 108, 0, 4, 8, 1, 2, 48, -1], ring()))
    assert not is_accepted(data([DEPTHWISE, 109, 0, 4, 8, 1, 2, 48, -1], ring()))
    assert not is_accepted(data([DEPTHWISE, 108, 0, 5, 8, 1, 2, 48, -1], ring()))
    assert not is_accepted(data(list(dot), ring(), ring(3))), "two depths"
    check(data(list(dot), ring(), ring()))


@pytest.mark.parametrize("position", (0, 4))
@pytest.mark.parametrize("first, second", ((0, 4), (4, 0)))
def test_nothing_but_push_may_write_a_position(position, first, second):
    rings = [ring(position=first), ring(position=second)]

    def data(*ops, fills=(), **fields):
        fields = {"input_at": 8, "output_at": 8, "arena_bytes": 160, **fields}
        ops = [*rings, *ops]
        at = weights_at(ops, len(fills))
        ops = [[at if word == -1 else word for word in op] for op in ops]
        return write(ops, bytes(16 + 256), fills, **fields)

    check(data())
    check(data([DOT, 8, 12, 0, 1, 1, 64, -1, 48]))
    check(data([DEPTHWISE, 8, 12, 0, 1, 1, 1, 64, -1]))
    clear = position + 4 if position else position
    for at in (position, position + 3):
        assert not is_accepted(data(fills=((at, 1, 1),))), "a fill"
        assert is_accepted(data(fills=((at, 1, 0),))), "a fill with zero changes nothing"
        assert not is_accepted(data([LOOKUP, 8, 1, at, -1])), "a lookup"
        assert not is_accepted(data([REQUANTISE, 8, at, 1, 1, 0, 0, 0, -1])), "requantise"
        assert not is_accepted(data([PUSH, 8, 1, at, 12, 1, 1, 1, 0])), "another ring"
        assert not is_accepted(data(input_at=at)), "the input"
    assert not is_accepted(data([DOT, 8, 12, 0, 1, 1, position, -1, 48])), "accumulators"
    assert not is_accepted(data([DOT, 8, 12, 0, 1, 1, 64, -1, 0])), "a workspace"
    assert not is_accepted(data([DEPTHWISE, 8, 12, 0, 1, 1, 1, position, -1])), "accumulators"
    assert is_accepted(data(fills=((8, 1, 1),), input_at=8)) and clear % 4 == 0


@pytest.mark.parametrize(
    "op, size",
    (
        ([DOT, 8, 0, 0, 1, 3, None, -1, 16], 12),
        ([DOT, 8, 0, 0, 1, 1, 8, -1, None], 16),
        ([DEPTHWISE, 8, 0, 0, 4, 1, 3, None, -1], 12),
        ([REQUANTISE, 8, None, 3, 4, 0, 0, 0, -1], 10),
        ([PUSH, 8, 3, None, 4, 3, 2, 5, 0], 5 * 2 + 2 * 5 + 1),
        ([LOOKUP, 8, 9, None, -1], 9),
    ),
)
def test_what_an_op_writes_may_end_where_a_position_begins(op, size):
    """A word at 128 is a ring's position; the op's output stands just before it, or after: a
    workspace at the next multiple of 16.
    """
    other = [PUSH, 8, 1, 60, 128, 1, 1, 1, 1]

    def data(at):
        ops = [other, [at if word is None else word for word in op]]
        end = weights_at(ops)
        ops[1] = [end if word == -1 else word for word in ops[1]]
        return write(ops, bytes(16 + 256), input_at=200, output_at=8, arena_bytes=256)

    unit = 4 if op[0] in (DOT, DEPTHWISE) else 1
    after = 132
    if op[-1] is None:
        unit, after = 16, 144
    for at, allowed in ((128 - size, True), (after, True), (128 - size + unit, False)):
        assert is_accepted(data(at)) == allowed, at
    assert not is_accepted(data(after - unit)) and not is_accepted(data(128))


def test_rings_are_of_at_most_4096_rows():
    for rows, allowed in ((4096, True), (4097, False)):
        op = [PUSH, 8, 1, 60, 0, rows, 1, 1, 1]
        assert is_accepted(write([op], arena_bytes=16384, input_at=8)) == allowed


def test_fills_without_any_ring():
    check(write([[LOOKUP, 0, 1, 0, constants_at([[0] * 5], 1)]], bytes(256), ((0, 4, 7),)))


# --- mutants with a right CRC -------------------------------------------------------------------


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three words changed, mostly by little, of the header, the ops, the fills or anywhere;
    the CRC is right.
    """
    out = bytearray(data)
    ops_at, fills_at = get(data, "ops_at"), get(data, "fills_at")
    parts = [range(48, 96, 4), range(ops_at, fills_at, 4), range(ops_at, fills_at, 4)]
    if get(data, "fill_count"):
        parts.append(range(fills_at, fills_at + 12 * get(data, "fill_count"), 4))
    parts.append(range(fmt.HEADER_BYTES, len(data) - 3, 4))
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        at = rng.choice(rng.choice(parts))
        (value,) = struct.unpack_from("<I", out, at)
        kind = rng.random()
        if kind < 0.5:
            value += rng.choice((-1, 1)) * rng.choice((1, 1, 2, 3, 4, 4, 8, 16, 40))
        elif kind < 0.6:
            value ^= 1 << rng.randrange(32)
        elif kind < 0.7:
            value = rng.choice((0, 1, 2, 4, len(data), get(data, "arena_bytes"), 0xFFFFFFFF))
        elif kind < 0.8:
            value = rng.getrandbits(rng.randrange(1, 33))
        elif kind < 0.95:  # what another word holds
            (value,) = struct.unpack_from("<I", out, rng.choice(rng.choice(parts[:3])))
        else:
            value = value * 2
        struct.pack_into("<I", out, at, value & 0xFFFFFFFF)
    if rng.random() < 0.2:  # a smaller arena
        arena = struct.unpack_from("<I", out, 48)[0] - 4 * rng.randrange(1, 12)
        struct.pack_into("<I", out, 48, max(arena, 0))
    return signed(out)


@lru_cache(maxsize=1)
def mutants() -> tuple[list[bytes], int]:
    """(accepted mutants, how many there were)."""
    rng = random.Random(3)
    accepted = []
    count = 12000
    for _ in range(count):
        data = mutate(rng.choice(converted()[:12]), rng)
        if is_accepted(data):
            accepted.append(data)
    return accepted, count


def test_the_models_themselves_are_safe():
    for data in converted():
        check(data)
        assert not unsafe(data)
        assert sum(high for _, high in touched(data).file) > 0


def test_what_is_accepted_is_safe():
    accepted, count = mutants()
    assert count // 5 < len(accepted) < count * 4 // 5, len(accepted)
    for data in accepted:
        assert not unsafe(data), ops_of(data)


def test_what_is_safe_is_mostly_accepted():
    """The check is no tighter than it must be: what it refuses among small changes of ops reaches
    outside, is not aligned, is empty, or is not a valid number.
    """
    rng = random.Random(5)
    reasons = ("unknown kind", "0 bytes at", "to ", "a ring", "ring of", "blocks, ")
    reasons += ("wake word", "out of range", "is not aligned", "fill ", "lie outside the file")
    for _ in range(600):
        data = bytearray(rng.choice(converted()[:12]))
        at = rng.choice(range(get(data, "ops_at"), get(data, "fills_at"), 4))
        (value,) = struct.unpack_from("<I", data, at)
        struct.pack_into("<I", data, at, max(0, value + rng.choice((-8, -4, -1, 1, 4, 8))))
        try:
            check(signed(data))
        except fmt.ModelFormatError as error:
            try:
                why = unsafe(data)
            except (KeyError, struct.error):
                continue  # not even a sequence of ops
            assert why or any(reason in str(error) for reason in reasons), error


class Interpreter:
    """Runs a model as `wakeword.model.Model` does, with the kernels in CPython, watched."""

    KERNELS = {DOT: "dot", DEPTHWISE: "depthwise", REQUANTISE: "requantise", PUSH: "push"}

    def __init__(self, data: bytes):
        memory = Memory()
        self.arena = bytearray(get(data, "arena_bytes"))
        for i in range(get(data, "fill_count")):
            start, size, value = struct.unpack_from("<3I", data, get(data, "fills_at") + 12 * i)
            self.arena[start : start + size] = bytes([value]) * size
        self.values = bytearray(40)
        self.at = memory.place(self.arena), memory.place(bytes(data))
        self.values_at = memory.place(self.values)
        self.kernels = load_kernels(memory, wraps=True)
        self.ops, at = [], get(data, "ops_at")
        for op in ops_of(data):
            self.ops.append((self.kernels[self.KERNELS.get(op[0], "lookup")], at))
            at += 4 * len(op)
        self.input_at = get(data, "input_at")

    def infer(self, values: bytes) -> None:
        self.values[:] = values
        self.kernels["load"](self.at[0], self.values_at, self.input_at)
        for kernel, at in self.ops:
            kernel(*self.at, at)


def small_mutants(count: int, most_steps: int) -> list[bytes]:
    """Accepted mutants that differ in what they do, of little work."""

    def steps(data):
        work = {DOT: lambda o: 2 * o[4] * o[5], DEPTHWISE: lambda o: o[5] * o[6]}
        return sum(work.get(op[0], lambda o: 10)(op) for op in ops_of(data))

    return [data for data in mutants()[0] if steps(data) < most_steps][:count]


def test_kernels_stay_inside_on_accepted_mutants():
    """Each load and store of the kernels' own source is watched, with 32-bit wrapping."""
    rng = random.Random(4)
    sample = small_mutants(40, 1500)
    assert len(sample) == 40
    for data in sample:
        model = Interpreter(data)
        for _ in range(3):
            model.infer(rng.randbytes(40))


RUN_ALL = """
import gc, struct, sys
from wakeword.model import Model
with open(sys.argv[1], "rb") as file:
    for _ in range(int(sys.argv[2])):
        data = bytearray(struct.unpack("<I", file.read(4))[0])
        file.readinto(data)
        model = Model(data)
        values = bytearray(40)
        for i in range(40):
            for j in range(40):
                values[j] = (i * 37 + j * 101) & 255
            model.push(values)
        assert model._data == data
        del model, data
        gc.collect()
print("all ran")
"""


def test_accepted_mutants_run_in_micropython(run_micropython, tmp_path):
    sample = mutants()[0][::8]
    blob = b"".join(struct.pack("<I", len(data)) + data for data in sample)
    path = tmp_path / "mutants"
    path.write_bytes(blob)
    out = run_micropython(RUN_ALL, path, len(sample), heap_bytes=4 << 20)
    assert out.strip() == b"all ran"


@pytest.mark.parametrize("variant", VARIANTS)
def test_accepted_mutants_stay_inside_on_xtensa(qemu, variant):
    """The chip's machine code between guard bytes; of the vector kernels, each load and store."""
    if not kernel_names(variant):
        pytest.skip("no assembler kernels")
    names = Interpreter.KERNELS
    with XtensaMachine() as machine:
        kernels = on_chip(machine, variant)
        for data in mutants()[0][:300:3]:
            machine.clear()
            model = Interpreter(data)
            arena, at = machine.alloc(bytes(model.arena)), machine.alloc(data)
            values, op_at = machine.alloc(bytes(range(40))), get(data, "ops_at")
            for _ in range(2):
                machine.call(kernels["wakeword.kernels.load"], arena, values, model.input_at)
                op_at = get(data, "ops_at")
                for op in ops_of(data):
                    kernel = "wakeword.kernels." + names.get(op[0], "lookup")
                    machine.call(kernels[kernel], arena, at, op_at)
                    op_at += 4 * len(op)
            assert machine.read(at, len(data)) == data


def test_every_field_of_the_header_is_known_here():
    assert struct.calcsize(fmt.HEADER) == fmt.HEADER_BYTES
    assert "<" + "".join(kind for _, kind in FIELDS.values()) == fmt.HEADER
    assert [at for at, _ in FIELDS.values()] == sorted(at for at, _ in FIELDS.values())
