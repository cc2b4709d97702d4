"""The configuration: one JSON file, checked field by field before anything starts.

Place: read once at start by main.py; written when the owner changes a consent.  What is not in the
file has a private default; what is not known is refused, and nothing is guessed.  The table of all
fields is in docs/configuration.md.  Imports json only.
"""

import json

if False:  # for type checkers alone: it is not compiled
    from typing import Any, Protocol

    class Kind(Protocol):
        """What a field may hold, and in words."""

        allowed: str

        def check(self, value: Any) -> bool: ...

    class Storage(Protocol):
        """The two methods of satellite.ports.Storage that are used here."""

        def read(self, name: str, limit: int) -> bytes | None: ...

        def write_atomic(self, name: str, data: bytes) -> None: ...


FILE = "config.json"
MAX_BYTES = 4096

_BOOL = "true or false"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#: What may be set for a wake word, by the names of a model's manifest.
CUTOFF = "probability_cutoff"
WINDOW = "sliding_window_size"

_HIDDEN = "(hidden)"
_MAX_SHOWN = 40


class ConfigError(ValueError):
    """`field` has `value`, which is not `allowed`; a secret's value is never in it."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        if field in SECRETS:
            value = _HIDDEN
        super().__init__("%s: %s is not allowed; allowed: %s" % (field, _shown(value), allowed))
        self.field = field
        self.value = value
        self.allowed = allowed


def _shown(value: object) -> str:
    text = _HIDDEN if value is _HIDDEN else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


class _Bool:
    allowed = _BOOL

    def check(self, value: "Any") -> bool:
        return value is True or value is False


class _Int:
    def __init__(self, low: int, high: int, step: int = 1) -> None:
        self._low, self._high, self._step = low, high, step
        self.allowed = "a whole number from %d to %d" % (low, high)
        if step > 1:
            self.allowed += " in steps of %d" % step

    def check(self, value: "Any") -> bool:
        if not isinstance(value, int) or value is True or value is False:
            return False
        return self._low <= value <= self._high and value % self._step == 0


class _Text:
    """A string of `low` to `high` characters out of `characters`, and "" where `or_empty`."""

    def __init__(
        self, low: int, high: int, characters: str, words: str, or_empty: bool = False
    ) -> None:
        self._low, self._high, self._characters = low, high, characters
        self._or_empty = or_empty
        self.allowed = "%d to %d %s" % (low, high, words) + (', or ""' if or_empty else "")

    def check(self, value: "Any") -> bool:
        if not isinstance(value, str):
            return False
        if not value:
            return self._or_empty
        return self._low <= len(value) <= self._high and all(c in self._characters for c in value)


class _Ssid:
    allowed = "text of at most 32 bytes as UTF-8, without control characters"

    def check(self, value: "Any") -> bool:
        if not isinstance(value, str) or any(ord(c) < 32 or ord(c) == 127 for c in value):
            return False
        try:
            return len(value.encode()) <= 32
        except ValueError:  # half of a surrogate pair
            return False


class _Password:
    allowed = (
        '8 to 63 printable ASCII characters, 64 hexadecimal digits, or "" for an open network'
    )

    def check(self, value: "Any") -> bool:
        if not isinstance(value, str) or not all(32 <= ord(c) < 127 for c in value):
            return False
        if len(value) == 64:
            return all(c in "0123456789abcdefABCDEF" for c in value)
        return not value or 8 <= len(value) <= 63


class _Names:
    """A list of 1 to `most` different names."""

    def __init__(self, most: int, name: _Text) -> None:
        self._most, self._name = most, name
        self.allowed = "a list of 1 to %d different names, each %s" % (most, name.allowed)

    def check(self, value: "Any") -> bool:
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= self._most:
            return False
        return all(self._name.check(v) for v in value) and len(set(value)) == len(value)


class _Sensitivity:
    """An object: wake word -> {"probability_cutoff": 0.9, "sliding_window_size": 12}."""

    def __init__(self, name: _Text, window: _Int) -> None:
        self._name, self._window = name, window
        self.allowed = (
            "an object of wake words, each with probability_cutoff (0.1 to 0.99 in steps of 0.001)"
            " or sliding_window_size (1 to 50) or both"
        )

    def check(self, value: "Any") -> bool:
        if not isinstance(value, dict) or not all(self._name.check(word) for word in value):
            return False
        return all(self._check_word(value[word]) for word in value)

    def _check_word(self, setting: "Any") -> bool:
        if not isinstance(setting, dict) or not setting:
            return False
        for name in setting:
            if name == CUTOFF:
                if not _is_cutoff(setting[name]):
                    return False
            elif name != WINDOW or not self._window.check(setting[name]):
                return False
        return True


def _is_cutoff(value: "Any") -> bool:
    if not isinstance(value, float) or not 0.0999 < value < 0.9901:
        return False
    return abs(1000 * value - _thousandths(value)) < 0.01  # the chip has 24 bits of it


def _thousandths(value: float) -> int:
    return int(1000 * value + 0.5)


def cutoff_of(value: float) -> int:
    """A probability_cutoff as the detector takes it, 0..255: int(255 * value), computed so that
    the chip's short floats and the host's long ones give the same.
    """
    return 255 * _thousandths(value) // 1000


_FILE_NAME = _Text(1, 64, _LETTERS + "-_.", "letters, digits, - _ and . (a file name)")
_MODEL_NAME = _Text(1, 32, _LETTERS + "-_", "letters, digits, - and _")

#: (name, default, what is allowed), in the order in which the file is written.
FIELDS: "tuple[tuple[str, Any, Kind], ...]" = (
    ("wifi_ssid", "", _Ssid()),
    ("wifi_password", "", _Password()),
    (
        "receiver_host",
        "",
        _Text(1, 253, _LETTERS + "-.:", "letters, digits, - . and : (name or address)", True),
    ),
    ("receiver_port", 10780, _Int(1, 65535)),
    (
        "receiver_name",
        "earnest-receiver",
        _Text(1, 63, _LETTERS + "-.", "letters, digits, - and ."),
    ),
    ("insecure", False, _Bool()),
    ("ssl_certificate", "device.cert.der", _FILE_NAME),
    ("ssl_key", "device.key.der", _FILE_NAME),
    ("ssl_ca", "ca.cert.der", _FILE_NAME),
    ("models", ("okay_nabu",), _Names(4, _MODEL_NAME)),
    ("sensitivity", {}, _Sensitivity(_MODEL_NAME, _Int(1, 50))),
    ("refractory_ms", 1000, _Int(0, 10000)),
    ("preroll_ms", 0, _Int(0, 500, 10)),
    ("max_stream_ms", 15000, _Int(1000, 60000, 10)),
    ("end_of_speech_ms", 800, _Int(300, 3000, 10)),
    ("no_speech_ms", 2500, _Int(1000, 5000, 10)),
    ("keep_recordings", False, _Bool()),
    ("share_for_training", False, _Bool()),
    ("muted_on_boot", False, _Bool()),
    ("brightness", 64, _Int(8, 255)),
    ("volume", 60, _Int(0, 100)),
    ("volume_max", 80, _Int(0, 100)),
    ("timers", False, _Bool()),
    ("announcements", False, _Bool()),
)
NAMES = tuple(name for name, _, _ in FIELDS)
SECRETS = ("wifi_password",)


class Config:
    """All fields by name, checked and read-only; made by `defaults` or `from_json`.

    `Config(values)` takes a dict of fields; the others have their default.  Raises ConfigError.
    """

    # For type checkers; the properties below are made of FIELDS.
    wifi_ssid: str
    wifi_password: str
    receiver_host: str
    receiver_port: int
    receiver_name: str
    insecure: bool
    ssl_certificate: str
    ssl_key: str
    ssl_ca: str
    models: tuple[str, ...]
    sensitivity: "dict[str, dict[str, Any]]"
    refractory_ms: int
    preroll_ms: int
    max_stream_ms: int
    end_of_speech_ms: int
    keep_recordings: bool
    share_for_training: bool
    muted_on_boot: bool
    brightness: int
    volume: int
    volume_max: int
    timers: bool
    announcements: bool

    def __init__(self, values: "dict[str, Any]") -> None:
        for name in values:
            if name not in NAMES:
                raise ConfigError(str(name)[:_MAX_SHOWN], _HIDDEN, "the fields " + _listed())
        checked: "dict[str, Any]" = {}
        for name, default, kind in FIELDS:
            value = values.get(name, default)
            if not kind.check(value):
                raise ConfigError(name, value, kind.allowed)
            checked[name] = tuple(value) if isinstance(value, list) else value
        self._values = checked
        self._check_together()

    def _check_together(self) -> None:
        if self.share_for_training and not self.keep_recordings:
            raise ConfigError("share_for_training", True, "false while keep_recordings is false")
        for word in self.sensitivity:
            if word not in self.models:
                raise ConfigError("sensitivity", word, "the names in models")
        if self.wifi_password and not self.wifi_ssid:
            raise ConfigError("wifi_ssid", "", "the network's name, since there is a password")

    @classmethod
    def defaults(cls) -> "Config":
        """Nothing is kept, nothing is shared, nobody is connected to."""
        return cls({})

    @classmethod
    def from_json(cls, text: "str | bytes") -> "Config":
        """Check the file's text (bytes or str) and take it; raises ConfigError."""
        if len(text) > MAX_BYTES:
            raise ConfigError(FILE, "%d bytes" % len(text), "at most %d bytes" % MAX_BYTES)
        try:
            if not isinstance(text, str):
                text = str(text, "utf-8")
            values = json.loads(text)
        except (ValueError, RuntimeError):  # RuntimeError: nested too deep
            raise ConfigError(FILE, "what it holds", "JSON in UTF-8") from None
        if not isinstance(values, dict):
            raise ConfigError(FILE, "what it holds", "one JSON object: {...}")
        for name in values:
            # Readers of JSON keep the last of several; which one was meant is not for us to guess.
            if name in NAMES and _count_keys(text, name) != 1:
                raise ConfigError(name, "a field given twice", "each field once, spelled plainly")
        return cls(values)

    def to_json(self) -> str:
        """The file's text with all fields, secrets included: for the device's own file only."""
        lines = [
            "  %s: %s" % (json.dumps(name), json.dumps(_plain(self._values[name])))
            for name in NAMES
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def changed(self, **fields: object) -> "Config":
        """A new Config with these fields changed and checked."""
        values = dict(self._values)
        values.update(fields)
        return Config(values)

    def detector_settings(self) -> "list[tuple[int | None, int | None] | None]":
        """For each of `models`, (cutoff, window) as wakeword.engine takes them, or None."""
        found: "list[tuple[int | None, int | None] | None]" = []
        for word in self.models:
            own = self.sensitivity.get(word)
            if own is None:
                found.append(None)
            else:
                cutoff = own.get(CUTOFF)
                found.append((None if cutoff is None else cutoff_of(cutoff), own.get(WINDOW)))
        return found

    def __repr__(self) -> str:
        shown = []
        for name in NAMES:
            value = self._values[name]
            shown.append("%s=%s" % (name, _HIDDEN if name in SECRETS and value else repr(value)))
        return "Config(" + ", ".join(shown) + ")"


def _field(name: str) -> property:
    return property(lambda self: self._values[name])


for _name in NAMES:
    setattr(Config, _name, _field(_name))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _listed() -> str:
    return ", ".join(NAMES)


def _count_keys(text: str, name: str) -> int:
    """How often `"name"` stands before a colon."""
    count = 0
    parts = text.split('"' + name + '"')
    for part in parts[1:]:
        count += part.lstrip()[:1] == ":"
    return count


def load(storage: "Storage") -> Config:
    """The configuration on the storage, the defaults without a file; raises ConfigError."""
    data = storage.read(FILE, MAX_BYTES + 1)
    return Config.defaults() if data is None else Config.from_json(data)


def store(storage: "Storage", config: Config) -> None:
    """Replace the file: after a power loss it is the old one or this one.  Raises OSError."""
    storage.write_atomic(FILE, config.to_json().encode())
