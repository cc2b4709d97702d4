"""Audio of any length and form gives the engine what whole chunks give it."""

import gc
import os
import struct
from array import array

import micropython
from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read

NEEDS_MODELS = True
FOLDER = os.getenv("EARNEST_TEST_MODELS") or "models"
LENGTHS = (1, 2, 3, 5, 7, 8, 319, 320, 321, 640, 1, 1280, 4000, 0, 1279, 6, 323)


class Ears:
    """Where an engine would be: keeps every chunk, detects at those of `at`."""

    def __init__(self, at=()):
        self.chunks = []
        self.at = at
        self.resets = 0

    def process(self, chunk):
        assert isinstance(chunk, bytearray) and len(chunk) == 320
        self.chunks.append(bytes(chunk))
        return dict(self.at).get(len(self.chunks) - 1, -1)

    def reset(self):
        self.resets += 1


class Noise:
    """Any bytes, the same every time."""

    def __init__(self, seed=1):
        self.state = seed

    def bytes(self, count):
        out = bytearray(count)
        for i in range(count):
            self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
            out[i] = self.state >> 16 & 255
        return out


def pieces(data):
    """The data in pieces of every length, each at another address within its buffer."""
    at = i = 0
    while at < len(data):
        size = LENGTHS[i % len(LENGTHS)]
        before = i % 5
        yield memoryview(bytes(before) + data[at : at + size])[before:]
        at += size
        i += 1


def want(data, bits, channels, channel, shift):
    """The same by the formula, in whole samples."""
    size = bits // 8
    out = bytearray()
    for at in range(size * channel, len(data) - size * (channels - channel) + 1, size * channels):
        value = struct.unpack_from("<h" if bits == 16 else "<i", data, at)[0]
        if bits == 32:
            value = min(max(value >> shift, -32768), 32767)
        out.extend(struct.pack("<h", value))
    return out


def test_every_form_in_pieces_of_every_length():
    data = Noise().bytes(30011)
    for bits, channels, channel, shift in (
        (16, 1, 0, 14),
        (16, 2, 0, 14),
        (16, 2, 1, 14),
        (32, 1, 0, 16),
        (32, 2, 0, 14),
        (32, 2, 1, 8),
    ):
        ears = Ears()
        feed = Feed(ears, bits, channels, channel, shift)
        for piece in pieces(data):
            assert feed.process(piece) == -1
        samples = want(data, bits, channels, channel, shift)
        whole = len(samples) // 320
        assert len(ears.chunks) == whole > 10, (bits, channels, len(ears.chunks), whole)
        assert b"".join(ears.chunks) == samples[: 320 * whole], (bits, channels, channel)


def test_rails_and_signs_of_32_bits():
    half = 1 << 29
    words = (0, -1, 1, 2**31 - 1, -(2**31), half, -half, half - 1, -half - 1, 255)
    data = struct.pack("<%di" % (16 * len(words)), *(words * 16))
    for shift in range(8, 17):
        ears = Ears()
        Feed(ears, 32, 1, 0, shift).process(data)
        assert ears.chunks == [bytes(want(data, 32, 1, 0, shift))], shift


def test_a_size_leaves_the_rest_of_a_buffer_alone():
    ears = Ears()
    feed = Feed(ears)
    data = Noise(2).bytes(1000)
    buffer = bytearray(700)
    buffer[:500] = data[:500]
    feed.process(buffer, 500)
    buffer[:500] = data[500:]
    feed.process(buffer, 500)
    feed.process(buffer, 0)
    assert b"".join(ears.chunks) == data[:960]
    for wrong in (-1, 701):
        try:
            feed.process(buffer, wrong)
            raise AssertionError(wrong)
        except ValueError:
            pass


def test_the_first_detection_counts_and_the_rest_is_heard_all_the_same():
    ears = Ears(((1, 3), (2, 0)))
    feed = Feed(ears)
    assert feed.process(bytes(320 * 5)) == 3
    assert len(ears.chunks) == 5
    assert feed.process(bytes(320)) == -1
    ears = Ears(((0, 0),))
    assert Feed(ears).process(bytes(320)) == 0


def test_reset_forgets_what_was_left_over():
    ears = Ears()
    feed = Feed(ears, 32, 2)
    feed.process(Noise(3).bytes(1003))
    feed.reset()
    data = Noise(4).bytes(1280)
    feed.process(data)
    assert ears.resets == 1 and ears.chunks == [bytes(want(data, 32, 2, 0, 14))]


def test_what_cannot_be_fed_is_refused():
    """The kernel would read beyond it, or at an address of anybody's choice."""
    feed = Feed(Ears())
    for wrong in (5, None, [0] * 320, (0,) * 320, {0: 0}, array("h", [1] * 160)):
        try:
            feed.process(wrong)
            raise AssertionError(wrong)
        except TypeError:
            pass
    for wrong in (
        {"bits": 24},
        {"channels": 0},
        {"channels": 3},
        {"channels": 2, "channel": 2},
        {"channel": 1},
        {"channels": 2, "channel": -1},
        {"bits": 32, "shift": 7},
        {"bits": 32, "shift": 17},
    ):
        try:
            Feed(Ears(), **wrong)
            raise AssertionError(wrong)
        except ValueError:
            pass


def speech():
    with open(FOLDER + "/speech.pcm", "rb") as file:
        return file.read()


def test_a_word_is_heard_in_the_slots_of_an_i2s_port_and_nothing_is_allocated():
    """As in whole chunks; the other slot is noise."""
    models = [read(FOLDER + "/okay_nabu.ewm"), read(FOLDER + "/alexa.ewm")]
    engine = Engine(models)
    samples = speech()
    chunks = [samples[i : i + 320] for i in range(0, len(samples) - 319, 320)]
    usual = [heard for heard in [engine.process(chunk) for chunk in chunks] if heard >= 0]
    assert 0 in usual and 1 in usual, usual
    other = Noise(5)
    slots = bytearray(4 * len(samples))
    for at in range(0, len(samples), 2):
        value = struct.unpack_from("<h", samples, at)[0]
        struct.pack_into("<I", slots, 4 * at, other.state)
        struct.pack_into("<i", slots, 4 * at + 4, value << 14)
    feed = Feed(engine, 32, 2, 1, 14)
    feed.reset()
    reads = [slots[at : at + 1001] for at in range(0, len(slots), 1001)]
    heard = array("b", [-1] * len(reads))
    gc.collect()
    micropython.heap_lock()
    try:
        for i in range(len(reads)):
            heard[i] = feed.process(reads[i])
    finally:
        micropython.heap_unlock()
    assert [i for i in heard if i >= 0] == usual
