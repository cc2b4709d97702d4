"""The messages between a device and its receiver: Wyoming events, and limits on what comes in.

A message is one line of JSON (`type`, `version`, and `data_length`, `payload_length` when there is
such a part), then `data_length` bytes of JSON, then `payload_length` raw bytes, as the `wyoming`
package writes and reads them.  docs/protocol.md says who sends what, and when.  Stands between the
gate and the socket on the device; the receiver reads and writes with this same file.

Runs in MicroPython and CPython.
"""

import json

if False:  # for type checkers alone: it is not compiled
    from collections.abc import Callable
    from typing import Any

    Fields = dict[str, Callable[[object], bool]]

#: The version of docs/protocol.md that this is.  It does not travel: what a device can do it says
#: in its `status`, and either end ignores what it does not know.
PROTOCOL_VERSION = 5
#: The release of Wyoming whose framing this is.  A reader accepts its major version only.
WYOMING_VERSION = "1.10.2"
#: Version of the consent that this project adds to Wyoming.
CONSENT_VERSION = 1

RATE_HZ = 16000
WIDTH_BYTES = 2
CHANNELS = 1

#: Limits on what comes in: the line without its newline, the data, and the payload: at most this
#: at the receiver.  The device takes none, but for a sound that it has accepted: then its limit is
#: MAX_SPEECH_PAYLOAD_BYTES.
MAX_HEADER_BYTES = 1024
MAX_DATA_BYTES = 4096
MAX_PAYLOAD_BYTES = 65536
MAX_SPEECH_PAYLOAD_BYTES = 2048
#: Data of a `status`, so that the message has at most 1024 bytes.
MAX_STATUS_BYTES = 960
#: Nested objects and lists, and separators (`,` `:` `[` `{`) in a header or data: bounds the
#: memory that a hostile line can make the JSON reader take.
MAX_DEPTH = 8
MAX_SEPARATORS = 128
MAX_NAME_CHARACTERS = 64
MAX_PREROLL_MS = 500
MAX_COUNT = 1000000
#: Limits of a probability cutoff, in thousandths, as in the configuration.
MIN_CUTOFF_THOUSANDTHS = 100
MAX_CUTOFF_THOUSANDTHS = 990
MAX_WORD_CHARACTERS = 32
MAX_WORDS = 4
#: The longest sound that the network may ask for.
MAX_SPEECH_MS = 30000
#: What the device holds of a sound at most: 1 s.  No more than this is ever on its way.
MAX_CREDIT_BYTES = 32000
#: The largest number of a record in the audit log.
MAX_SEQ = 0x7FFFFFFFFFFF

#: The largest payload that the device puts into one audio-chunk: 100 ms.
MAX_CHUNK_BYTES = 3200

PING = "ping"
PONG = "pong"
DETECTION = "detection"
CONSENT = "consent"
CONSENT_ACCEPTED = "consent-accepted"
CONSENT_WITHDRAW = "consent-withdraw"
CONSENT_WITHDRAWN = "consent-withdrawn"
AUDIT_HEAD = "audit-head"
AUDIO_START = "audio-start"
AUDIO_CHUNK = "audio-chunk"
AUDIO_STOP = "audio-stop"
STOP = "stop"
MUTE = "mute"
SENSITIVITY = "sensitivity"
DELETED = "deleted"
ERROR = "error"
STATUS = "status"
SPEAK = "speak"
SPEAK_ACCEPTED = "speak-accepted"
SPEAK_REFUSED = "speak-refused"
SPEAK_STOP = "speak-stop"
CREDIT = "credit"
PLAYED = "played"
CHIME = "chime"
VOLUME = "volume"

#: What the network may ask the device to say, and the chimes that the device has.
SPEECH_KINDS = ("reply", "timer", "announcement")
CHIME_KINDS = ("timer", "error")
#: Why the device does not make a sound; docs/protocol.md says when each is the answer.
REFUSAL_REASONS = (
    "no-speaker",
    "muted",
    "fault",
    "busy",
    "stream",
    "off",
    "often",
    "log",
)
#: Why the microphone is off: a fault, the switch, the button, the network; it was muted when it
#: last lost power, its owner wants that at every start, or what was stored cannot be read.
OFF_REASONS = ("fault", "switch", "button", "network", "stored", "setting", "unknown")
#: Why a sound ended.
PLAYED_REASONS = ("end", "button", "mute", "word", "late", "limit", "receiver", "fault")


class ProtocolError(Exception):
    """A message that breaks docs/protocol.md: says what and which limit, not the peer's words."""


class Event:
    """One message: `type` a str, `data` a dict, `payload` bytes (empty when there is none)."""

    __slots__ = ("type", "data", "payload")

    def __init__(
        self, type: str, data: "dict[str, Any] | None" = None, payload: bytes = b""
    ) -> None:
        self.type = type
        self.data: "dict[str, Any]" = {} if data is None else data
        self.payload = payload


def _is_text(value: object) -> bool:
    """Printable ASCII, 1 to MAX_NAME_CHARACTERS: so no NUL, no escape sequence, no line break."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS:
        return False
    return all(32 <= ord(c) < 127 for c in value)


def _is_text_or_none(value: object) -> bool:
    return value is None or _is_text(value)


def is_word(value: object) -> bool:
    """The name of a wake word, as in the configuration: letters, digits, `-` and `_`."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_WORD_CHARACTERS:
        return False
    return all("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_" for c in value)


def is_cutoff(value: object) -> bool:
    """A probability cutoff in thousandths."""
    return _is_int(value, MIN_CUTOFF_THOUSANDTHS, MAX_CUTOFF_THOUSANDTHS)


def _is_stream(value: object) -> bool:
    """A random number of 64 bits, as 16 lower-case hexadecimal digits."""
    return (
        isinstance(value, str) and len(value) == 16 and all(c in "0123456789abcdef" for c in value)
    )


def _is_hash(value: object) -> bool:
    """A SHA-256, as 64 lower-case hexadecimal digits."""
    return (
        isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)
    )


def _is_words(value: object) -> bool:
    """A list of 1 to MAX_WORDS names of wake words."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_WORDS:
        return False
    return all(is_word(word) for word in value)


def _is_cutoffs(value: object) -> bool:
    """A list of 1 to MAX_WORDS probability cutoffs in thousandths, or None."""
    if value is None:
        return True
    if not isinstance(value, list) or not 0 < len(value) <= MAX_WORDS:
        return False
    return all(_is_int(cutoff, 0, 1000) for cutoff in value)


def _is_percent(value: object) -> bool:
    return _is_int(value, 0, 100)


def _is_bool(value: object) -> bool:
    return value is True or value is False


def _is_int(value: "Any", low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_time_or_none(value: object) -> bool:
    return value is None or _is_int(value, 0, 2**63 - 1)


_FORMAT: "Fields" = {
    "rate": lambda value: _is_int(value, RATE_HZ, RATE_HZ),
    "width": lambda value: _is_int(value, WIDTH_BYTES, WIDTH_BYTES),
    "channels": lambda value: _is_int(value, CHANNELS, CHANNELS),
    "timestamp?": _is_time_or_none,
}
_STREAM: "Fields" = {"stream": _is_stream}
_TEXT: "Fields" = {"text?": _is_text_or_none}
#: The name of a sound or of a request: a random number of its own, spelled as a stream's.
_NUMBERED: "Fields" = {"id": _is_stream}

_DEVICE = 1
_RECEIVER = 2

#: Every message there is: type -> (who may send it, {field: test of its value}).  A field with `?`
#: may be absent; a field that is not here is ignored.
_MESSAGES: "dict[str, tuple[int, Fields]]" = {
    PING: (_DEVICE | _RECEIVER, _TEXT),
    PONG: (_DEVICE | _RECEIVER, _TEXT),
    DETECTION: (
        _DEVICE,
        {
            "name?": _is_text_or_none,
            "timestamp?": _is_time_or_none,
            "probability?": lambda value: _is_int(value, 0, 255),
        },
    ),
    CONSENT: (
        _DEVICE,
        {
            "stream": _is_stream,
            "keep_recordings": _is_bool,
            "share_for_training": _is_bool,
            "preroll_ms": lambda value: _is_int(value, 0, MAX_PREROLL_MS),
            "version?": lambda value: _is_int(value, CONSENT_VERSION, CONSENT_VERSION),
        },
    ),
    CONSENT_ACCEPTED: (_RECEIVER, _STREAM),
    # It takes all consent away; no field of it could give any.
    CONSENT_WITHDRAW: (_RECEIVER, _NUMBERED),
    CONSENT_WITHDRAWN: (
        _DEVICE,
        {
            "keep_recordings": _is_bool,
            "share_for_training": _is_bool,
            "id?": _is_stream,
        },
    ),
    AUDIT_HEAD: (
        _DEVICE,
        {"seq": lambda value: _is_int(value, 0, MAX_SEQ), "hash": _is_hash},
    ),
    AUDIO_START: (_DEVICE | _RECEIVER, _FORMAT),
    AUDIO_CHUNK: (_DEVICE | _RECEIVER, _FORMAT),
    AUDIO_STOP: (_DEVICE | _RECEIVER, {"timestamp?": _is_time_or_none}),
    STOP: (_RECEIVER, _STREAM),
    MUTE: (_RECEIVER, {}),
    SENSITIVITY: (_RECEIVER, {"model": is_word, "cutoff_thousandths": is_cutoff}),
    DELETED: (_RECEIVER, {"count": lambda value: _is_int(value, 0, MAX_COUNT)}),
    ERROR: (_RECEIVER, {}),
    STATUS: (
        _DEVICE,
        {
            "speaker": _is_bool,
            "muted": _is_bool,
            "switch": _is_bool,
            "off_by?": lambda value: value is None or value in OFF_REASONS,
            "listening": _is_bool,
            "volume": _is_percent,
            "volume_max": _is_percent,
            "words": _is_words,
            "cutoffs?": _is_cutoffs,
            "keep_recordings": _is_bool,
            "share_for_training": _is_bool,
            "timers": _is_bool,
            "announcements": _is_bool,
            "firmware?": _is_text_or_none,
            "withdraw?": _is_bool,
        },
    ),
    SPEAK: (
        _RECEIVER,
        {
            "id": _is_stream,
            "kind": lambda value: value in SPEECH_KINDS,
            "stream?": _is_stream,
            "length_ms": lambda value: _is_int(value, 1, MAX_SPEECH_MS),
        },
    ),
    SPEAK_ACCEPTED: (
        _DEVICE,
        {"id": _is_stream, "credit": lambda value: _is_int(value, 0, MAX_CREDIT_BYTES)},
    ),
    SPEAK_REFUSED: (_DEVICE, {"id": _is_stream, "why": lambda value: value in REFUSAL_REASONS}),
    SPEAK_STOP: (_RECEIVER, _NUMBERED),
    CREDIT: (
        _DEVICE,
        {"id": _is_stream, "bytes": lambda value: _is_int(value, 1, MAX_CREDIT_BYTES)},
    ),
    PLAYED: (
        _DEVICE,
        {
            "id": _is_stream,
            "ms": lambda value: _is_int(value, 0, MAX_SPEECH_MS),
            "why": lambda value: value in PLAYED_REASONS,
        },
    ),
    CHIME: (
        _RECEIVER,
        {
            "id": _is_stream,
            "kind": lambda value: value in CHIME_KINDS,
            "stream?": _is_stream,
        },
    ),
    VOLUME: (_RECEIVER, {"percent": _is_percent}),
}

_NEEDS_STREAM = (SPEAK, CHIME)
#: What answers a stream, and names it; what does not answer one names none.
_ANSWERS = ("reply", "error")

#: What each end may send.
FROM_DEVICE = tuple([type for type in _MESSAGES if _MESSAGES[type][0] & _DEVICE])
FROM_RECEIVER = tuple([type for type in _MESSAGES if _MESSAGES[type][0] & _RECEIVER])
#: What asks a device to listen, to send, to unmute or to obey another word: it refuses these and
#: records that it did.
REFUSED = (
    "unmute",
    "listen",
    "start",
    "wake",
    "detect",
    "transcribe",
    "run-satellite",
    "run-pipeline",
    "start-streaming",
    "start-conversation",
    "continue-conversation",
    "word",
    AUDIO_START,  # but for a sound that the device accepted
    AUDIO_CHUNK,
    AUDIO_STOP,
) + tuple([type for type in FROM_DEVICE if type not in FROM_RECEIVER])


def check(event: Event) -> None:
    """Raise ProtocolError unless the event is one whose fields and payload are as documented.

    Types that are not in the protocol pass: whoever reads them ignores or refuses them.
    """
    if event.type not in _MESSAGES:
        return
    fields = _MESSAGES[event.type][1]
    data = event.data
    for name in fields:
        key = name[:-1] if name[-1] == "?" else name
        if key not in data:
            if key == name:
                raise ProtocolError("%s without %s" % (event.type, key))
        elif not fields[name](data[key]):
            raise ProtocolError("%s: %s is not as documented" % (event.type, key))
    if event.type in _NEEDS_STREAM and (data["kind"] in _ANSWERS) != ("stream" in data):
        raise ProtocolError("%s of this kind with or without a stream" % event.type)
    if event.type == AUDIO_CHUNK:
        if not event.payload or len(event.payload) % WIDTH_BYTES:
            raise ProtocolError("audio-chunk of %d bytes" % len(event.payload))
    elif event.payload:
        raise ProtocolError("%s with a payload" % event.type)


def encode(type: str, data: "dict[str, Any] | None" = None, payload: bytes = b"") -> bytes:
    """The message as bytes.  Allocates; audio goes through AudioChunk.  Raises ProtocolError."""
    if not _is_type(type):
        raise ProtocolError("type is not a name")
    check(Event(type, data, payload))
    body = json.dumps(data, separators=(",", ":")).encode() if data else b""
    most = MAX_STATUS_BYTES if type == STATUS else MAX_DATA_BYTES
    if len(body) > most:
        raise ProtocolError("data longer than %d bytes" % most)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ProtocolError("payload longer than %d bytes" % MAX_PAYLOAD_BYTES)
    head = '{"type":"%s","version":"%s"' % (type, WYOMING_VERSION)
    if body:
        head += ',"data_length":%d' % len(body)
    if payload:
        head += ',"payload_length":%d' % len(payload)
    return head.encode() + b"}\n" + body + payload


class AudioChunk:
    """The audio-chunk message of the hot path: one buffer, made once, that is filled and sent.

    `payload` is a memoryview of MAX_CHUNK_BYTES to copy samples into (int16, little-endian);
    `message(count)` is then the whole message with its first `count` bytes.  The length in the
    header is padded with spaces, so that the header always has the same size.
    """

    def __init__(self) -> None:
        data = '{"rate":%d,"width":%d,"channels":%d}' % (RATE_HZ, WIDTH_BYTES, CHANNELS)
        head = '{"type":"%s","version":"%s","data_length":%d,"payload_length":' % (
            AUDIO_CHUNK,
            WYOMING_VERSION,
            len(data),
        )
        tail = "}\n" + data
        self.header_bytes = len(head) + 4 + len(tail)
        lead = -self.header_bytes % 4  # so that the payload is aligned
        self._digits_at = lead + len(head)
        self._buffer = bytearray(lead + self.header_bytes + MAX_CHUNK_BYTES)
        self._buffer[lead : lead + self.header_bytes] = (head + "    " + tail).encode()
        view = memoryview(self._buffer)[lead:]
        self.payload = view[self.header_bytes :]
        self._view = view
        # One view for each multiple of 10 ms, so that sending whole chunks allocates nothing.
        self._views = [view[: self.header_bytes + n] for n in range(0, MAX_CHUNK_BYTES + 1, 320)]
        self._count = 0  # of `_message`, the newest
        self._message = view

    def message(self, count: int) -> memoryview:
        """The message with `count` bytes of payload, 2 to MAX_CHUNK_BYTES and even.

        Valid until the payload is filled again.  Allocates nothing for multiples of 320.
        """
        if count == self._count:
            return self._message
        assert 0 < count <= MAX_CHUNK_BYTES and count % WIDTH_BYTES == 0
        digits = count
        at = self._digits_at + 4
        while at > self._digits_at:
            at -= 1
            self._buffer[at] = 48 + digits % 10 if digits else 32
            digits //= 10
        self._count = count
        if count % 320 == 0:
            self._message = self._views[count // 320]
        else:
            self._message = self._view[: self.header_bytes + count]
        return self._message


def _is_type(value: object) -> bool:
    """1 to MAX_NAME_CHARACTERS of a-z, A-Z, 0-9, `-` and `_`."""
    if isinstance(value, str) and value in _MESSAGES:
        return True
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS:
        return False
    for c in value:
        if not ("a" <= c <= "z" or "0" <= c <= "9" or "A" <= c <= "Z" or c in "-_"):
            return False
    return True


def _is_plain(raw: bytes) -> bool:
    """Whether a look with the runtime's own loops is enough for `_bound` to take these bytes.

    It counts what stands in strings as well, so it says no to some that `_bound` takes.
    """
    openers = raw.count(b"{") + raw.count(b"[")
    return (
        openers <= MAX_DEPTH
        and openers + raw.count(b",") + raw.count(b":") <= MAX_SEPARATORS
        and raw.find(b"I") < 0
        and raw.find(b"N") < 0
        and min(raw, default=32) >= 32
    )


def _bound(raw: bytes, what: str) -> None:
    """Refuse JSON bytes that nest deep, hold many values, or hold control characters."""
    if _is_plain(raw):
        return
    depth = separators = 0
    in_string = escaped = False
    for byte in raw:
        if byte < 32 and (in_string or (byte != 9 and byte != 10 and byte != 13)):
            raise ProtocolError("%s with a control character" % what)
        if in_string:
            if escaped:
                escaped = False
            elif byte == 92:  # backslash
                escaped = True
            elif byte == 34:  # quotation mark
                in_string = False
        elif byte == 34:
            in_string = True
        elif byte == 44 or byte == 58:  # , :
            separators += 1
        elif byte == 91 or byte == 123:  # [ {
            separators += 1
            depth += 1
            if depth > MAX_DEPTH:
                raise ProtocolError("%s nested deeper than %d" % (what, MAX_DEPTH))
        elif byte == 93 or byte == 125:  # ] }
            depth -= 1
        elif byte == 73 or byte == 78:  # Infinity, NaN: CPython would take them, they are not JSON
            raise ProtocolError("%s is not JSON" % what)
    if separators > MAX_SEPARATORS:
        raise ProtocolError("%s with more than %d separators" % (what, MAX_SEPARATORS))


def _object(raw: bytes, what: str) -> "dict[str, Any]":
    """The dict in JSON bytes `raw`; `what` names the part in the error."""
    _bound(raw, what)
    try:
        value = json.loads(str(raw, "utf-8"))
    except ValueError:  # a UnicodeError is one too
        raise ProtocolError("%s is not JSON" % what) from None
    if not isinstance(value, dict):
        raise ProtocolError("%s is not a JSON object" % what)
    return value


def _length(header: "dict[str, Any]", name: str, limit: int) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise ProtocolError("%s is not a length" % name)
    if value > limit:
        raise ProtocolError("%s above %d" % (name, limit))
    return value


class Decoder:
    """Bytes in, events out: `for event in decoder.feed(data): ...`

    Holds at most one incomplete message besides what was fed.  Every event is checked; those
    before a bad message come out first, then ProtocolError is raised, now and at every later try:
    what follows a broken message has no known beginning, so the connection must be closed.
    `max_payload_bytes` may be changed; it counts for headers that are read afterwards.
    """

    def __init__(self, max_payload_bytes: int = 0) -> None:
        self.max_payload_bytes = max_payload_bytes
        self._failure: str | None = None
        self._fed = b""
        self._at = 0
        self._part = bytearray()
        self._header: "dict[str, Any] | None" = None
        self._data_length = 0
        self._body_length = 0

    @property
    def is_within_message(self) -> bool:
        """Whether the bytes so far end inside a message."""
        return self._header is not None or len(self._part) > 0

    def feed(self, data: bytes | bytearray | memoryview) -> "Decoder":
        """Take `data` (bytes-like, copied) and return this decoder, to iterate over."""
        self._fed = self._fed[self._at :] + bytes(data)
        self._at = 0
        return self

    def __iter__(self) -> "Decoder":
        return self

    def __next__(self) -> Event:
        if self._failure is not None:
            raise ProtocolError(self._failure)
        try:
            event = self._next()
        except ProtocolError as error:
            self._failure = str(error)
            self._fed = b""
            self._at = 0
            self._part = bytearray()
            raise
        if event is None:
            raise StopIteration
        return event

    def _next(self) -> Event | None:
        """The next complete event, or None when more bytes are needed."""
        if self._header is None:
            fed = self._fed
            at = self._at
            part = self._part
            end = fed.find(b"\n", at)
            stop = len(fed) if end < 0 else end
            if len(part) + stop - at > MAX_HEADER_BYTES:
                raise ProtocolError("header longer than %d bytes" % MAX_HEADER_BYTES)
            if end < 0:
                part.extend(fed[at:])
                self._at = stop
                return None
            self._at = stop + 1
            line = fed[at:stop]
            if part:
                part.extend(line)
                line = bytes(part)
                self._part = bytearray()
            self._header = header = self._open(line)
            if not self._body_length:
                return self._close(header)
        take = min(self._body_length - len(self._part), len(self._fed) - self._at)
        self._part.extend(self._fed[self._at : self._at + take])
        self._at += take
        if len(self._part) < self._body_length:
            return None
        return self._close(self._header)

    def _open(self, line: bytes) -> "dict[str, Any]":
        """Read a header line; afterwards the lengths of what follows are known."""
        header = _object(line, "header")
        if not _is_type(header.get("type")):
            raise ProtocolError("type is not a name")
        if "data" in header and not isinstance(header["data"], dict):
            raise ProtocolError("data is not a JSON object")
        version = header.get("version")
        if version is not None and version != WYOMING_VERSION:
            if not (_is_text(version) and version.split(".")[0] == "1"):
                raise ProtocolError("Wyoming version is not 1.x, as %s is" % WYOMING_VERSION)
        self._data_length = _length(header, "data_length", MAX_DATA_BYTES)
        payload_length = _length(header, "payload_length", self.max_payload_bytes)
        self._body_length = self._data_length + payload_length
        return header

    def _close(self, header: "dict[str, Any]") -> Event:
        """The event of a header whose data and payload are complete."""
        data = header.get("data", {})
        if self._data_length > MAX_STATUS_BYTES and header["type"] == STATUS:
            raise ProtocolError("status longer than %d bytes" % MAX_STATUS_BYTES)
        if self._data_length:
            data.update(_object(bytes(self._part[: self._data_length]), "data"))
        event = Event(header["type"], data, bytes(self._part[self._data_length :]))
        self._header = None
        self._part = bytearray()
        check(event)
        return event
