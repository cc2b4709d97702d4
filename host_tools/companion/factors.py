"""What a browser on another computer needs: a passphrase, and a code that changes every 30 s.

Both are set up once, by `earnest companion --setup`, and lie in the receiver's folder for its
owner alone: the passphrase as a hash (argon2id), and the secret that the codes are made from.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

FILE = "sign-in.json"
VERSION = 1
MIN_CHARACTERS, MAX_CHARACTERS = 12, 256
#: Of a passphrase without what everybody tries and without what only goes on (aaaa, 1234).
MIN_SURPRISES = 8
MIN_DIFFERENT = 6
STEP_S = 30
#: Clocks may differ by a step.
SKEW_STEPS = 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_CODE = re.compile(r"[0-9]{6}")
_COMMON = (
    *("password", "passwort", "passphrase", "correct horse battery staple", "letmein", "welcome"),
    *("qwertyuiop", "qwertzuiop", "asdfghjkl", "qwerty", "qwertz", "iloveyou", "admin", "secret"),
    *("earnest", "companion", "receiver", "speaker"),
)


@dataclass(frozen=True)
class Cost:
    """Of a hash of argon2id: passes, memory in KiB, lanes (threads)."""

    passes: int = 3
    memory_kib: int = 65536
    lanes: int = 1


#: RFC 9106's second choice, but one lane: a guess never takes more than one core.
COST = Cost()


@dataclass(frozen=True)
class Factors:
    """`confirmed_step` is of the code that was asked for at the set-up: it is used."""

    passphrase_hash: str = field(repr=False)
    secret: str = field(repr=False)
    since_s: float
    confirmed_step: int

    def has_passphrase(self, passphrase: str) -> bool:
        """Return whether it is the passphrase; takes as long for a wrong one."""
        from cryptography.exceptions import InvalidKey
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        try:
            Argon2id.verify_phc_encoded(_prepared(passphrase), self.passphrase_hash)
        except (InvalidKey, ValueError):
            return False
        return True

    def step_of(self, code: str, now_s: float) -> int | None:
        """Return the number of the 30 s that a code is of: now's, or one beside it; else None."""
        is_code = _CODE.fullmatch(code) is not None
        given = code if is_code else "000000"
        now = int(now_s) // STEP_S
        found = None
        for step in range(now - SKEW_STEPS, now + SKEW_STEPS + 1):
            if hmac.compare_digest(code_of(self.secret, step), given):
                found = step
        return found if is_code else None

    def to_json(self) -> bytes:
        facts: dict[str, object] = {"version": VERSION, "since_s": self.since_s}
        facts |= {"confirmed_step": self.confirmed_step}
        facts |= {"passphrase_hash": self.passphrase_hash, "secret": self.secret}
        return json.dumps(facts).encode()


def code_of(secret: str, step: int) -> str:
    """Return the code of a step: RFC 6238 with SHA-1 and six digits, as every app has it."""
    return _totp(secret).generate(step * STEP_S).decode()


def new_secret() -> str:
    """Return 160 random bits, in base 32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def uri_of(secret: str, name: str) -> str:
    """Return what the QR code says: an app for codes shows it as Earnest (`name`)."""
    return _totp(secret).get_provisioning_uri(name, "Earnest")


def _totp(secret: str) -> TOTP:
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    return TOTP(base64.b32decode(secret), 6, SHA1(), STEP_S)


def make(passphrase: str, secret: str, step: int, now_s: float, cost: Cost = COST) -> Factors:
    """Return the factors of a passphrase that `weakness` finds nothing in, and of a secret whose
    code of `step` was right."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    hasher = Argon2id(
        salt=secrets.token_bytes(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return Factors(hasher.derive_phc_encoded(_prepared(passphrase)), secret, now_s, step)


def weakness(passphrase: str) -> str | None:
    """Return what is wrong with a passphrase, as a sentence; None: good enough."""
    text = unicodedata.normalize("NFC", passphrase)
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
        return f"It needs {MIN_CHARACTERS} to {MAX_CHARACTERS} characters."
    if not text.isprintable():
        return "It has a character that cannot be seen."
    rest = text.lower()
    for word in _COMMON:
        rest = rest.replace(word, "")
    pairs = zip(rest, rest[1:], strict=False)
    surprises = sum(abs(ord(one) - ord(next)) > 1 for one, next in pairs) + bool(rest)
    if surprises < MIN_SURPRISES or len(set(rest)) < MIN_DIFFERENT:
        return "It is one of those that are tried first. Four or five words by chance are good."
    return None


def path_in(data: Path) -> Path:
    """Return where the factors of the receiver in `data` lie."""
    return data / FILE


def load(data: Path) -> Factors | None:
    """Return the factors; None: not set up.  Raises HostToolError for a damaged file."""
    path = path_in(data)
    if not path.exists():
        return None
    hint = "run `earnest companion --setup`"
    try:
        facts = json.loads(owner_only_files.read(path))
        if facts["version"] != VERSION:
            raise HostToolError(
                f"{path} has version {facts['version']!r}; this program knows {VERSION}", hint
            )
        found = Factors(
            str(facts["passphrase_hash"]),
            str(facts["secret"]),
            float(facts["since_s"]),
            int(facts["confirmed_step"]),
        )
        code_of(found.secret, 0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HostToolError(f"{path} is damaged", hint) from error
    return found


def save(data: Path, factors: Factors) -> None:
    """Write the factors, for their owner alone; every session ends.  Raises HostToolError."""
    owner_only_files.write(path_in(data), factors.to_json())


def stamp(data: Path) -> tuple[int, int] | None:
    """Return what differs after every set-up; None: not set up."""
    try:
        found = path_in(data).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _prepared(passphrase: str) -> bytes:
    """Return the bytes that are hashed: keyboards spell an accent in two ways."""
    text = unicodedata.normalize("NFC", passphrase)[:MAX_CHARACTERS]
    return text.encode(errors="replace")
