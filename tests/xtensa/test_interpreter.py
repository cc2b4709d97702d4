"""The interpreter of the ESP32-S3's instructions: against qemu where qemu knows them too, against
the manual's own words where it does not.
"""

import random
import re
import struct

import pytest

from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa import interpreter
from host_tools.xtensa.instruction_words import BASE, VECTOR, decode, encode, size_of, text
from host_tools.xtensa.machine import Object

BLOCK, RESULTS = 15, 64  # the register that holds the block's address; where results are put in it
BLOCK_BYTES = 64 + 64 + 13 * 4
LITERALS = 4
PROLOGUE = 4 + 4 * LITERALS  # a jump over the literals
RETURN = encode("retw.n")


def operation(rng, at):
    """A random instruction at `at`, with what it jumps over or loops over, and their names."""
    r, s, t = (rng.randrange(2, 14) for _ in range(3))
    kind = rng.choice(sorted(set(BASE) - {"callx8", "entry", "retw.n"}))
    fields = {"r": r, "s": s, "t": t, "imm": rng.getrandbits(8), "shift": rng.randrange(1, 16)}
    code = b""
    if kind in ("l32i", "l32i.n", "s32i", "s32i.n"):
        fields |= {"s": BLOCK, "imm": rng.randrange(16) + (16 if kind == "s32i" else 0)}
    elif kind == "l32r":
        literal = 4 + 4 * rng.randrange(LITERALS)
        fields["imm"] = (literal - (at + 3 & ~3) >> 2) & 0xFFFF
    elif kind in ("beqz", "bnez", "bany", "j", "loopnez"):
        if kind == "loopnez":
            fields["s"] = 14  # a small number: nothing here writes it
        for _ in range(rng.randrange(1, 4)):
            code += encode(rng.choice(("add", "add.n", "sub", "addi.n")), r=r, s=s, t=t, imm=3)
        fields["imm"] = len(code) - 1
    elif kind == "slli":
        fields["shift"] = rng.randrange(1, 32)
    return kind, encode(kind, **fields) + code


def program(rng):
    """A function that loads a2 to a14 from its block, runs random code, stores them; its kinds."""
    code = encode("j", imm=PROLOGUE - 4) + b"\0" + rng.randbytes(4 * LITERALS)
    code += encode("entry", s=1, imm=48 // 8) + encode("l32i.n", s=5, t=BLOCK, imm=0)
    for register in range(2, 15):
        code += encode("l32i", s=BLOCK, t=register, imm=register)
    kinds = set()
    for _ in range(30):
        kind, more = operation(rng, len(code))
        kinds.add(kind)
        code += more
    for register in range(2, 15):
        code += encode("s32i", s=BLOCK, t=register, imm=(RESULTS + 64) // 4 + register - 2)
    return code + RETURN, kinds


def registers(rng):
    """A block's words: random, extreme, small; the last of them is a loop's count."""
    values = [rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, rng.getrandbits(32))) for _ in range(14)]
    return struct.pack("<16I", *values, rng.randrange(5), 0)


def test_the_base_set_does_what_qemu_does(machine):
    rng = random.Random(1)
    seen = set()
    for number in range(150):
        code, kinds = program(rng)
        seen |= kinds
        start = registers(rng).ljust(BLOCK_BYTES, b"\0")
        ends = []
        for vector in (False, True):
            function = machine.load_code(f"program {number}", code, vector=vector)
            block = machine.alloc(start)
            machine.call(function, Object(block))
            ends.append(machine.read(block, BLOCK_BYTES))
        assert ends[0] == ends[1], (number, code.hex())
    assert seen == set(BASE) - {"callx8", "entry", "retw.n"}


def test_a_call_of_the_runtime_is_what_qemu_does(machine):
    """callx8 with windows: a2 to a7 stay, a10 is the result."""
    code = encode("entry", s=1, imm=6) + encode("l32i.n", s=5, t=7, imm=0)
    code += encode("l32i.n", s=7, t=8, imm=0) + encode("l32i.n", s=7, t=10, imm=1)
    code += encode("l32i.n", s=7, t=6, imm=2) + encode("callx8", s=8)
    code += encode("s32i.n", s=7, t=10, imm=3) + encode("s32i.n", s=7, t=6, imm=4) + RETURN
    ends = []
    for vector in (False, True):
        function = machine.load_code("calls", code, vector=vector)
        block = machine.alloc(struct.pack("<3I", machine.from_obj, 1000, 77).ljust(32, b"\0"))
        machine.call(function, Object(block))
        ends.append(struct.unpack("<3I", machine.read(block, 32)[8:20]))
    assert ends[0] == ends[1] == (77, 1000 - 64, 77)
    wrong = machine.load_code("calls", code, vector=True)
    with pytest.raises(HostToolError, match="asked MicroPython's runtime"):
        block = machine.alloc(struct.pack("<3I", machine.from_obj + 4, 1000, 77).ljust(32, b"\0"))
        machine.call(wrong, Object(block))


# --- the vector unit ---


class Bytes:
    """1024 bytes of data at 0x1000, code at 0."""

    BASE = 0x1000

    def __init__(self, rng, code):
        self.data, self.code = bytearray(rng.randbytes(1024)), code

    def fetch(self, address):
        return self.code[address : address + 4]

    def load(self, address, size):
        at = address - self.BASE
        assert at >= 0 and at % size == 0
        return int.from_bytes(self.data[at : at + size], "little")

    def store(self, address, size, value):
        at = address - self.BASE
        assert at >= 0 and at % size == 0
        self.data[at : at + size] = value.to_bytes(size, "little")


def run(seed, name, **fields):
    """Run one instruction on random registers: (before, after, memory); an address in a4."""
    rng = random.Random(seed)
    memory = Bytes(rng, encode(name, **fields) + RETURN)
    before, after = (interpreter.Interpreter(memory, None, seed) for _ in range(2))
    for core in (before, after):
        core.a[4] = Bytes.BASE + 512 + seed % 48
    after.run(0)
    return before, after, memory


def as_bytes(q):
    return q.to_bytes(16, "little")


def unchanged(before, after, *but):
    """Whether nothing but the registers named differs."""
    for what, old, new in (("a", before.a, after.a), ("q", before.q, after.q)):
        for i, (x, y) in enumerate(zip(old, new, strict=True)):
            assert x == y or f"{what}{i}" in but, f"{what}{i}"
    assert before.accx == after.accx or "accx" in but
    assert before.sar_byte == after.sar_byte or "sar_byte" in but


def at_a4(core, memory):
    """The 16 bytes that a4 points at, its lowest 4 bits taken for 0."""
    at = core.a[4] - Bytes.BASE & ~15
    return bytes(memory.data[at : at + 16])


@pytest.mark.parametrize("seed", range(48))
def test_loads_and_stores_of_16_bytes(seed):
    step = (-512, -16, 0, 16, 2032)[seed % 5]
    where = {"as": 4, "imm": step // 16 & 0xFF}
    for name in ("ee.vld.128.ip", "ee.ld.128.usar.ip"):
        before, after, memory = run(seed, name, qu=seed % 8, **where)
        assert as_bytes(after.q[seed % 8]) == at_a4(before, memory)
        assert after.a[4] == before.a[4] + step
        sets_sar = name == "ee.ld.128.usar.ip"
        assert after.sar_byte == (before.a[4] % 16 if sets_sar else before.sar_byte)
        unchanged(before, after, f"q{seed % 8}", "a4", *["sar_byte"] * sets_sar)
    before, after, memory = run(seed, "ee.vld.128.xp", qu=seed % 8, ad=9, **{"as": 4})
    assert as_bytes(after.q[seed % 8]) == at_a4(before, memory)
    assert after.a[4] == before.a[4] + before.a[9] & 0xFFFFFFFF
    unchanged(before, after, f"q{seed % 8}", "a4")
    before, after, memory = run(seed, "ee.vst.128.ip", qv=seed % 8, **where)
    assert at_a4(before, memory) == as_bytes(before.q[seed % 8])
    unchanged(before, after, "a4")


@pytest.mark.parametrize("seed", range(16))
def test_16_bytes_out_of_two_neighbours(seed):
    low, high = seed % 8, (seed * 3 + 1) % 8
    for name in ("ee.src.q", "ee.src.q.ld.ip"):
        rest = {"qa": 2} if name == "ee.src.q" else {"qu": 7, "imm": 1, "as": 4}
        low = 5 if low == 7 and "qu" in rest else low  # which would be written twice
        before, after, memory = run(seed, name, qs0=low, qs1=high, **rest)
        both = as_bytes(before.q[low]) + as_bytes(before.q[high])
        want = both[before.sar_byte : before.sar_byte + 16]
        if "qu" in rest:
            assert as_bytes(after.q[low]) == want
            assert as_bytes(after.q[7]) == at_a4(before, memory)
            assert after.a[4] == before.a[4] + 16
            unchanged(before, after, f"q{low}", "q7", "a4")
        else:
            assert as_bytes(after.q[2]) == want
            unchanged(before, after, "q2")


@pytest.mark.parametrize("seed", range(16))
def test_multiplies(seed):
    x, y = seed % 8, (seed * 5 + 2) % 8
    before, after, _ = run(seed, "ee.vmulas.u8.accx", qx=x, qy=y)
    products = zip(as_bytes(before.q[x]), as_bytes(before.q[y]), strict=True)
    want = before.accx + sum(a * b for a, b in products)
    assert after.accx == want
    unchanged(before, after, "accx")
    before, after, memory = run(
        seed, "ee.vmulas.u8.accx.ld.ip", qx=x, qy=y, qu=y, imm=1, **{"as": 4}
    )
    assert after.accx == want and as_bytes(after.q[y]) == at_a4(before, memory)
    assert after.a[4] == before.a[4] + 16
    unchanged(before, after, "accx", f"q{y}", "a4")


def test_the_accumulator():
    before, after, _ = run(1, "rur.accx_0", ar=6)
    assert after.a[6] == before.accx & 0xFFFFFFFF
    unchanged(before, after, "a6")
    before, after, _ = run(1, "ee.zero.accx")
    assert after.accx == 0
    unchanged(before, after, "accx")
    core = interpreter.Interpreter(
        Bytes(random.Random(1), encode("ee.vmulas.u8.accx", qx=0, qy=0) + RETURN), None
    )
    core.accx, core.q[0] = (1 << 40) - 5, (1 << 128) - 1
    core.run(0)
    assert core.accx == (1 << 40) - 1, "it saturates"


@pytest.mark.parametrize("seed", range(4))
def test_bits_and_words(seed):
    before, after, _ = run(seed, "ee.notq", qa=3, qx=seed)
    assert as_bytes(after.q[3]) == bytes(255 - b for b in as_bytes(before.q[seed]))
    unchanged(before, after, "q3")
    before, after, _ = run(seed, "ee.movi.32.q", qu=5, sel=seed, **{"as": 8})
    want = bytearray(as_bytes(before.q[5]))
    want[4 * seed : 4 * seed + 4] = before.a[8].to_bytes(4, "little")
    assert as_bytes(after.q[5]) == want
    unchanged(before, after, "q5")


def test_every_vector_instruction_is_tested_here():
    source = open(__file__, encoding="utf-8").read()
    assert all(f'"{name}"' in source for name in VECTOR)


# --- what it refuses ---


def test_what_is_not_known_is_refused():
    for word in (0xFFFFFF, 0x000000, 0xF01D ^ 0x100):
        with pytest.raises(HostToolError, match="no instruction that is known here"):
            decode(word.to_bytes(4, "little"))
    with pytest.raises(HostToolError, match="writes one register twice"):
        run(0, "ee.src.q.ld.ip", qu=1, qs0=1, qs1=2, imm=1, **{"as": 4})


def test_a_hang_is_an_error(monkeypatch):
    monkeypatch.setattr(interpreter, "MAX_INSTRUCTIONS", 100)
    with pytest.raises(HostToolError, match="no return after 100 instructions"):
        run(0, "j", imm=-4 & 0x3FFFF)


@pytest.mark.parametrize(
    "name, at, why",
    (
        ("l32i", 60, "read outside its buffers"),
        ("l32i", 2, "not aligned"),
        ("s32i", 64, "wrote outside its buffers"),
        ("s32i", -4, "wrote outside its buffers"),
        ("ee.vld.128.ip", 48, "read outside its buffers"),
        ("ee.vst.128.ip", 64, "wrote outside its buffers"),
    ),
)
def test_an_access_outside_a_buffer_is_an_error(machine, name, at, why):
    fields = {"t": 6, "s": 7, "imm": 0, "as": 7, "qu": 1, "qv": 1}
    code = encode("entry", s=1, imm=6) + encode("l32i.n", s=5, t=7, imm=0)
    function = machine.load_code("wild", code + encode(name, **fields) + RETURN, vector=True)
    block = machine.alloc(60)
    with pytest.raises(HostToolError, match=why):
        machine.call(function, Object(block + at))
    machine.call(function, Object(block + 16))


# --- the kernels' own words ---


def test_the_words_in_the_source_are_the_instructions_beside_them():
    source = (FIRMWARE / "wakeword" / "kernels_vector_xtensa.py").read_text(encoding="utf-8")
    found = re.findall(r"data\((\d), 0x([0-9A-F]+)\)  # (\S+(?: [qa][^:#\n]*)?)", source)
    assert len(found) > 40
    names = set()
    for size, word, comment in found:
        code = int(word, 16).to_bytes(int(size), "little")
        assert size_of(code[0]) == int(size) and text(decode(code)) == comment
        names.add(comment.split()[0])
    assert names == set(VECTOR), "an instruction that no kernel needs"
