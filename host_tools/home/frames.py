"""ESPHome's frames: which bytes on a connection are one message, under Noise encryption.

Pure: bytes in, messages and bytes out.  A frame is `01`, a length of 16 bits (big-endian) and that
many bytes.  Home Assistant opens with an empty frame, or a short one, and its half of the
handshake; we answer with our name, then with ours.  From then on a frame is a sealed message:
its type and its length, 16 bits each, and the body.  Whoever does not know the key gets no further
than the handshake; whoever speaks plain text is told to encrypt.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from noise.connection import NoiseConnection
from noise.exceptions import (
    NoiseHandshakeError,
    NoiseInvalidMessage,
    NoiseMaxNonceError,
    NoiseValueError,
)

_PROTOCOL = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
_PROLOGUE = b"NoiseAPIInit"
_ENCRYPTED, _PLAIN = 1, 0
_LENGTH = struct.Struct(">H")
_HEADER = struct.Struct(">HH")
_TAG_BYTES = 16
#: The longest body: a frame's 16 bits of length, less what encryption adds.
MAX_BODY_BYTES = 0xFFFF - _TAG_BYTES - _HEADER.size
#: The opening frame is empty today; the second one has a key of 32 bytes and a tag.
MAX_HELLO_BYTES = 256
#: Said before hanging up.  Home Assistant knows both texts: at the first it asks for the key, at
#: the second it says that the key is wrong.
ENCRYPT = b"Bad indicator byte"
WRONG_KEY = b"Handshake MAC failure"


class FrameError(Exception):
    """The connection must end; `answer` is what to send before."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.answer = _frame(b"\x01" + answer) if answer else b""


class Frames:
    """Our end of one connection."""

    def __init__(self, key: bytes, name: str, mac: str) -> None:
        """`key` has 32 bytes; `name` and `mac` are told to anybody who connects."""
        self._hello = b"\x01" + name.encode() + b"\0" + mac.replace(":", "").encode() + b"\0"
        self._noise = NoiseConnection.from_name(_PROTOCOL)
        self._noise.set_as_responder()
        self._noise.set_psks(key)
        self._buffer = bytearray()
        self._is_greeted = False
        #: Whether the other end has shown that it knows the key.
        self.is_open = False
        #: What is to be sent for the handshake.
        self.output = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages, (type, body), that these bytes complete; raises FrameError."""
        self._buffer += data
        messages: list[tuple[int, bytes]] = []
        while len(self._buffer) >= 1:
            if self._buffer[0] != _ENCRYPTED:
                is_plain = self._buffer[0] == _PLAIN
                raise FrameError("plain text" if is_plain else "not ESPHome's protocol", ENCRYPT)
            if len(self._buffer) < 1 + _LENGTH.size:
                break
            (length,) = _LENGTH.unpack_from(self._buffer, 1)
            if not self.is_open and length > MAX_HELLO_BYTES:
                raise FrameError("a handshake that is too long")
            end = 1 + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[1 + _LENGTH.size : end])
            del self._buffer[:end]
            if self.is_open:
                messages.append(self._open(frame))
            elif self._is_greeted:
                self._shake_hands(frame)
            else:
                self._greet(frame)
        return messages

    def encode(self, number: int, body: bytes) -> bytes:
        """Return the sealed frame of a message of type `number`; only after `is_open`."""
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"a message of {len(body)} bytes, {MAX_BODY_BYTES} is the most")
        sealed: bytes = self._noise.encrypt(_HEADER.pack(number, len(body)) + body)
        return _frame(sealed)

    def _greet(self, hello: bytes) -> None:
        self._noise.set_prologue(_PROLOGUE + _LENGTH.pack(len(hello)) + hello)
        self._noise.start_handshake()
        self._is_greeted = True
        self.output += _frame(self._hello)

    def _shake_hands(self, frame: bytes) -> None:
        if frame[:1] != b"\0":
            raise FrameError("a handshake of another kind")
        try:
            self._noise.read_message(frame[1:])
            answer = self._noise.write_message()
        except (InvalidTag, NoiseInvalidMessage, NoiseHandshakeError) as error:
            raise FrameError("a wrong key", WRONG_KEY) from error
        except (NoiseValueError, ValueError) as error:  # too short, or no point of the curve
            raise FrameError("a malformed handshake") from error
        self.output += _frame(b"\0" + answer)
        self.is_open = True

    def _open(self, frame: bytes) -> tuple[int, bytes]:
        try:
            message: bytes = self._noise.decrypt(frame)
        except (InvalidTag, NoiseInvalidMessage, NoiseMaxNonceError, NoiseValueError) as error:
            raise FrameError("a frame that is not sealed with our keys") from error
        if len(message) < _HEADER.size:
            raise FrameError("a message without a header")
        number, length = _HEADER.unpack_from(message)
        if length != len(message) - _HEADER.size:
            raise FrameError("a message whose length does not fit its frame")
        return number, bytes(message[_HEADER.size :])


def _frame(content: bytes) -> bytes:
    return bytes([_ENCRYPTED]) + _LENGTH.pack(len(content)) + content
