"""The adapter's machine code against plain Python, and what it costs: pieces of every length."""

import random
import struct

import pytest

from host_tools.shared_firmware import FIRMWARE, ROOT
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.machine import XtensaMachine

SAMPLES = 160


def load(machine):
    return machine.load(compile_firmware(FIRMWARE / "wakeword" / "feed.py"))


def block(sample_bytes, channels, channel, shift):
    """The words of `feed.Feed`, nothing used, filled or kept."""
    return [0, 0, sample_bytes * channels, sample_bytes * channel, shift, 0, 0, 0, 0]


def reference(data, sample_bytes, channels, channel, shift):
    whole = len(data) // (sample_bytes * channels) * channels
    kind = "h" if sample_bytes == 2 else "i"
    found = struct.unpack_from(f"<{whole}{kind}", data)[channel::channels]
    return [min(max(s >> shift, -32768), 32767) for s in found]


@pytest.mark.parametrize(
    "form", ((2, 1, 0, 0), (2, 2, 1, 0), (4, 1, 0, 14), (4, 2, 0, 8), (4, 2, 1, 16))
)
def test_fill(machine, form):
    kernel = load(machine)["fill"]
    rng = random.Random(str(form))
    data = rng.randbytes(4000) + bytes(8) + b"\xff" * 8 + b"\x00\x00\x00\x80\xff\xff\xff\x7f" * 4
    p_at = machine.alloc(struct.pack("<9i", *block(*form)))
    out_at = machine.alloc(2 * SAMPLES)
    got = []
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 5, 7, 8, 9, 64, 321, 1290))
        piece = data[at : at + size]
        at += size
        before = rng.randrange(4)  # the address within a word
        x_at = machine.alloc(bytes(before) + piece)
        words = list(struct.unpack("<9i", machine.read(p_at, 36)))
        machine.write(p_at, struct.pack("<9i", 0, len(piece), *words[2:]))
        while machine.call(kernel, x_at + before, out_at, p_at):
            got += struct.unpack(f"<{SAMPLES}h", machine.read(out_at, 2 * SAMPLES))
        words = struct.unpack("<9i", machine.read(p_at, 36))
        assert words[0] == words[1] == len(piece) and min(words[:7]) >= 0
    filled = words[5]
    got += struct.unpack(f"<{SAMPLES}h", machine.read(out_at, 2 * SAMPLES))[:filled]
    assert got == reference(data, *form)


@pytest.mark.parametrize("form, most", (((2, 1, 0, 0), 4300), ((4, 2, 0, 14), 11200)))
def test_a_chunk_costs_little(qemu, form, most, figure):
    with XtensaMachine(count=True) as machine:
        kernel = load(machine)["fill"]
        data = random.Random(3).randbytes(SAMPLES * form[0] * form[1])
        words = block(*form)
        words[1] = len(data)
        p_at = machine.alloc(struct.pack("<9i", *words))
        assert machine.call(kernel, machine.alloc(data), machine.alloc(2 * SAMPLES), p_at) == 1
    ((name, instructions),) = machine.counts()
    figure(f"{8 * form[0]} bits, {form[1]} channels: {instructions} instructions a chunk")
    assert name == "fill" and instructions < most, instructions
    assert f"{instructions:,}" in (ROOT / "docs" / "engine.md").read_text(), instructions
