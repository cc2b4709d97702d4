"""What walks a model's ops: the order, the arguments, and what `walk_xtensa` relies on."""

import struct
import sys

import uctypes
from wakeword import kernels
from wakeword.walk import walk

_WORD = struct.calcsize("P")
#: How every function begins where these tests mostly run, by sys.implementation._mpy: x86-64.
_FIRST_BYTE = {2: 0x55}


def words(thing, count):
    """The first words of an object."""
    return struct.unpack("<%dP" % count, uctypes.bytes_at(id(thing), count * _WORD))


def test_the_first_kernel_takes_the_slice_and_the_others_the_model_in_order():
    calls = []

    def kernel(name):
        return lambda arena, source, at: calls.append((name, arena, source, at))

    program = ((kernel("load"), 7), (kernel("push"), 12), (kernel("dot"), 48))
    assert walk(program, "arena", "model", "slice") is None
    assert calls == [
        ("load", "arena", "slice", 7),
        ("push", "arena", "model", 12),
        ("dot", "arena", "model", 48),
    ]


def test_objects_lie_in_memory_as_the_machine_code_reads_them():
    """The same C structures as on the chip, in words of 64 bits instead of 32."""
    pair = (kernels.dot, 1234)
    _, length, function, small = words(pair, 4)
    assert (length, function, small) == (2, id(kernels.dot), 2 * 1234 + 1)
    program = (pair, pair, pair)
    assert words(program, 5)[1:] == (3, id(pair), id(pair), id(pair))


def test_a_viper_function_object_has_the_address_of_its_code():
    kinds, codes = set(), set()
    first = _FIRST_BYTE.get(sys.implementation._mpy >> 10 & 15)
    for kernel in (kernels.dot, kernels.depthwise, kernels.requantise, kernels.push, kernels.load):
        kind, _context, _children, code = words(kernel, 4)
        kinds.add(kind)
        codes.add(code)
        assert first is None or uctypes.bytes_at(code, 1)[0] == first
    assert len(kinds) == 1 and len(codes) == 5
