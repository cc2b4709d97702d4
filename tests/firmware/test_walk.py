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


class ChipWalker:
    """`walk_xtensa` of the front end as its words say it, with objects instead of addresses."""

    def __init__(self):
        self._buffers = [None]

    def address(self, buffer):
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def make_slice(self, kernels, words, chunk, out):
        assert len(kernels) == 5 and len(words) == 20
        assert words[1] == words[7] == words[15] == words[19] == 0
        arguments = [self._buffers[word] for word in words]
        arguments[1], arguments[19] = chunk, out
        for i, kernel in enumerate(kernels):
            result = kernel(*arguments[4 * i : 4 * i + 4])
            if i == 0:
                arguments[7] = arguments[15] = result


def test_the_front_end_gives_the_walker_what_it_gives_its_kernels_itself():
    from wakeword.frontend import frontend as on_this_host
    from wakeword.frontend import kernels as frontend_kernels

    name = "wakeword.frontend.frontend"
    sys.modules["wakeword.walk_xtensa"] = ChipWalker()
    sys.modules["wakeword.frontend.kernels_xtensa"] = frontend_kernels
    del sys.modules[name]
    try:
        on_the_chip = __import__(name, None, None, ("Frontend",))
    finally:
        del sys.modules["wakeword.walk_xtensa"]
        del sys.modules["wakeword.frontend.kernels_xtensa"]
        sys.modules[name] = on_this_host
    assert on_this_host.make_slice is None and on_the_chip.make_slice is not None
    here, there = on_this_host.Frontend(), on_the_chip.Frontend()
    slices = bytearray(40), bytearray(40)
    seed = 7
    for _ in range(2):
        for number in range(12):
            chunk = bytearray(320)
            for i in range(320):
                seed = (seed * 75 + 74) % 65537
                chunk[i] = seed & 255 if number % 5 else 0
            ready = here.process(chunk, slices[0])
            assert ready == there.process(chunk, slices[1]) == (number > 1)
            assert slices[0] == slices[1] and here.features == there.features, number
        assert max(slices[0]) > 0
        here.reset()
        there.reset()
