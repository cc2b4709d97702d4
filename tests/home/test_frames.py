"""ESPHome's frames: the handshake of Home Assistant's own library, and bytes that are hostile."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import NoiseConnection

from host_tools.home.frames import (
    MAX_BODY_BYTES,
    MAX_HELLO_BYTES,
    FrameError,
    Frames,
)

KEY = bytes(range(32))


def ours():
    return Frames(KEY, "earnest-010203", "02:00:00:01:02:03")


def frame(content):
    return b"\x01" + struct.pack(">H", len(content)) + content


class Other:
    """The other end of a handshake."""

    def __init__(self, key=KEY, hello=b""):
        self.noise = NoiseConnection.from_name(b"Noise_NNpsk0_25519_ChaChaPoly_SHA256")
        self.noise.set_as_initiator()
        self.noise.set_psks(key)
        self.noise.set_prologue(b"NoiseAPIInit" + struct.pack(">H", len(hello)) + hello)
        self.noise.start_handshake()
        self.opening = frame(hello) + frame(b"\0" + self.noise.write_message())

    def sealed(self, message):
        return frame(self.noise.encrypt(message))


def opened():
    """A connection after its handshake: (frames, other)."""
    frames, other = ours(), Other()
    assert frames.feed(other.opening) == [] and frames.is_open
    hello = frame(b"\x01earnest-010203\x00020000010203\0")
    assert frames.output.startswith(hello)
    answer = frames.output[len(hello) :]
    assert answer[:4] == b"\x01" + struct.pack(">H", len(answer) - 3) + b"\0"
    other.noise.read_message(answer[4:])
    return frames, other


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_messages_come_out_whole_however_the_bytes_are_cut(step):
    frames, other = opened()
    wanted = [(7, b""), (106, b"\x0a\x02ab"), (65535, bytes(MAX_BODY_BYTES))]
    data = b"".join(other.sealed(struct.pack(">HH", n, len(b)) + b) for n, b in wanted)
    got = []
    for at in range(0, len(data), step):
        got += frames.feed(data[at : at + step])
    assert got == wanted


def test_what_we_send_is_sealed_and_comes_out_at_the_other_end():
    frames, other = opened()
    sent = frames.encode(8, b"words")
    assert b"words" not in sent
    assert other.noise.decrypt(sent[3:]) == struct.pack(">HH", 8, 5) + b"words"
    assert len(frames.encode(8, bytes(MAX_BODY_BYTES))) == 3 + 0xFFFF
    with pytest.raises(ValueError, match="is the most"):
        frames.encode(8, bytes(MAX_BODY_BYTES + 1))


def test_a_wrong_key_is_told_as_one_and_opens_nothing():
    frames = ours()
    with pytest.raises(FrameError, match="a wrong key") as refused:
        frames.feed(Other(key=bytes(31) + b"\x01").opening)
    assert refused.value.answer == frame(b"\x01Handshake MAC failure")
    assert not frames.is_open


def test_plain_text_gets_the_answer_that_asks_for_the_key():
    for first in (b"\x00\x00\x01", b"\x00"):
        frames = ours()
        with pytest.raises(FrameError, match="plain text") as refused:
            frames.feed(first)
        assert refused.value.answer == frame(b"\x01Bad indicator byte")
        assert frames.output == b""
    with pytest.raises(FrameError, match="not ESPHome's protocol"):
        ours().feed(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "data, reason",
    [
        (frame(bytes(MAX_HELLO_BYTES))[:3], None),
        (b"\x01" + struct.pack(">H", MAX_HELLO_BYTES + 1), "too long"),
        (frame(b"") + b"\x01\xff\xff", "too long"),
        (frame(b"") + frame(b""), "another kind"),
        (frame(b"") + frame(b"\x01" + bytes(48)), "another kind"),
        (frame(b"") + frame(b"\0"), "malformed|wrong key"),
        (frame(b"") + frame(b"\0" + bytes(31)), "malformed|wrong key"),
        (frame(b"") + frame(b"\0" + bytes(48)), "malformed|wrong key"),
    ],
)
def test_hostile_openings(data, reason):
    frames = ours()
    if reason is None:
        assert frames.feed(data) == []
        return
    with pytest.raises(FrameError, match=reason):
        frames.feed(data)
    assert not frames.is_open


@pytest.mark.parametrize(
    "message, reason",
    [
        (b"", "without a header"),
        (b"\0\x07\0", "without a header"),
        (struct.pack(">HH", 7, 1), "does not fit"),
        (struct.pack(">HH", 7, 0) + b"x", "does not fit"),
        (struct.pack(">HH", 7, 65535) + b"x", "does not fit"),
    ],
)
def test_hostile_lengths_inside_the_encryption(message, reason):
    frames, other = opened()
    with pytest.raises(FrameError, match=reason):
        frames.feed(other.sealed(message))


def test_a_frame_that_is_changed_repeated_or_left_out_ends_the_connection():
    for bend in (
        lambda one, two: one[:-1] + bytes([one[-1] ^ 1]),
        lambda one, two: one + one,
        lambda one, two: two,
        lambda one, two: frame(b""),
    ):
        frames, other = opened()
        one, two = (other.sealed(struct.pack(">HH", 7, 0)) for _ in range(2))
        with pytest.raises(FrameError, match="not sealed with our keys"):
            frames.feed(bend(one, two))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=6), st.booleans())
def test_random_bytes_never_open_it(pieces, is_framed):
    frames = ours()
    try:
        for piece in pieces:
            assert frames.feed(frame(piece) if is_framed else piece) == []
    except FrameError:
        pass
    assert not frames.is_open


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 400))
def test_random_bytes_after_the_handshake_are_no_message(data, at):
    frames, other = opened()
    bent = bytearray(other.sealed(struct.pack(">HH", 7, 0)))
    bent[at % len(bent) : at % len(bent)] = data
    try:
        messages = frames.feed(bytes(bent))
    except FrameError:
        return
    assert messages == [], "what was changed must not be taken"
