"""The configuration: one JSON file, checked field by field before anything starts.

Place: read once at start by main.py; written when the owner changes a consent.  What is not in the
file has a private default; what is not known is refused, and nothing is guessed.  The table of all
fields is in docs/configuration.md.  Imports json only.
"""

import json

FILE = "config.json"
MAX_BYTES = 4096

_BOOL = "true or false"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_HIDDEN = "(hidden)"
_MAX_SHOWN = 40


class ConfigError(ValueError):
    """`field` has `value`, which is not `allowed`; a secret's value is never in it."""

    def __init__(self, field, value, allowed):
        if field in SECRETS:
            value = _HIDDEN
        super().__init__("%s: %s is not allowed; allowed: %s" % (field, _shown(value), allowed))
        self.field = field
        self.value = value
        self.allowed = allowed


def _shown(value):
    text = value if value is _HIDDEN else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


class _Bool:
    allowed = _BOOL

    def check(self, value):
        return value is True or value is False


class _Int:
    def __init__(self, low, high, step=1):
        self._low, self._high, self._step = low, high, step
        self.allowed = "a whole number from %d to %d" % (low, high)
        if step > 1:
            self.allowed += " in steps of %d" % step

    def check(self, value):
        if not isinstance(value, int) or value is True or value is False:
            return False
        return self._low <= value <= self._high and value % self._step == 0


class _Text:
    """A string of `low` to `high` characters out of `characters`, and "" where `or_empty`."""

    def __init__(self, low, high, characters, words, or_empty=False):
        self._low, self._high, self._characters = low, high, characters
        self._or_empty = or_empty
        self.allowed = "%d to %d %s" % (low, high, words) + (', or ""' if or_empty else "")

    def check(self, value):
        if not isinstance(value, str):
            return False
        if not value:
            return self._or_empty
        return self._low <= len(value) <= self._high and all(c in self._characters for c in value)


class _Ssid:
    allowed = "text of at most 32 bytes as UTF-8, without control characters"

    def check(self, value):
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

    def check(self, value):
        if not isinstance(value, str) or not all(32 <= ord(c) < 127 for c in value):
            return False
        if len(value) == 64:
            return all(c in "0123456789abcdefABCDEF" for c in value)
        return not value or 8 <= len(value) <= 63


class _Names:
    """A list of 1 to `most` different names."""

    def __init__(self, most, name):
        self._most, self._name = most, name
        self.allowed = "a list of 1 to %d different names, each %s" % (most, name.allowed)

    def check(self, value):
        if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= self._most:
            return False
        return all(self._name.check(v) for v in value) and len(set(value)) == len(value)


_FILE_NAME = _Text(1, 64, _LETTERS + "-_.", "letters, digits, - _ and . (a file name)")
_MODEL_NAME = _Text(1, 32, _LETTERS + "-_", "letters, digits, - and _")

#: (name, default, what is allowed), in the order in which the file is written.
FIELDS = (
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
    ("refractory_ms", 1000, _Int(0, 10000)),
    ("preroll_ms", 0, _Int(0, 500, 10)),
    ("max_stream_ms", 15000, _Int(1000, 60000, 10)),
    ("end_of_speech_ms", 800, _Int(300, 3000, 10)),
    ("keep_recordings", False, _Bool()),
    ("share_for_training", False, _Bool()),
    ("muted_on_boot", False, _Bool()),
    ("brightness", 64, _Int(8, 255)),
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
    models: tuple
    refractory_ms: int
    preroll_ms: int
    max_stream_ms: int
    end_of_speech_ms: int
    keep_recordings: bool
    share_for_training: bool
    muted_on_boot: bool
    brightness: int

    def __init__(self, values):
        for name in values:
            if name not in NAMES:
                raise ConfigError(str(name)[:_MAX_SHOWN], _HIDDEN, "the fields " + _listed())
        checked = {}
        for name, default, kind in FIELDS:
            value = values.get(name, default)
            if not kind.check(value):
                raise ConfigError(name, value, kind.allowed)
            checked[name] = tuple(value) if isinstance(value, list) else value
        self._values = checked
        self._check_together()

    def _check_together(self):
        if self.share_for_training and not self.keep_recordings:
            raise ConfigError("share_for_training", True, "false while keep_recordings is false")
        if self.wifi_password and not self.wifi_ssid:
            raise ConfigError("wifi_ssid", "", "the network's name, since there is a password")

    @classmethod
    def defaults(cls):
        """Nothing is kept, nothing is shared, nobody is connected to."""
        return cls({})

    @classmethod
    def from_json(cls, text):
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

    def to_json(self):
        """The file's text with all fields, secrets included: for the device's own file only."""
        lines = [
            "  %s: %s" % (json.dumps(name), json.dumps(_plain(self._values[name])))
            for name in NAMES
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def changed(self, **fields):
        """A new Config with these fields changed and checked."""
        values = dict(self._values)
        values.update(fields)
        return Config(values)

    def __repr__(self):
        shown = []
        for name in NAMES:
            value = self._values[name]
            shown.append("%s=%s" % (name, _HIDDEN if name in SECRETS and value else repr(value)))
        return "Config(" + ", ".join(shown) + ")"


def _field(name):
    return property(lambda self: self._values[name])


for _name in NAMES:
    setattr(Config, _name, _field(_name))


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _listed():
    return ", ".join(NAMES)


def _count_keys(text, name):
    """How often `"name"` stands before a colon."""
    count = 0
    parts = text.split('"' + name + '"')
    for part in parts[1:]:
        count += part.lstrip()[:1] == ":"
    return count


def load(storage):
    """The configuration on the storage, the defaults without a file; raises ConfigError."""
    data = storage.read(FILE, MAX_BYTES + 1)
    return Config.defaults() if data is None else Config.from_json(data)


def store(storage, config):
    """Replace the file: after a power loss it is the old one or this one.  Raises OSError."""
    storage.write_atomic(FILE, config.to_json().encode())
