"""How audio lies on the disk: AES-256-GCM under the recording's own key.

    magic (8 bytes) | number of the key file (8) | nonce (12) | ciphertext and tag (16)

What is before the ciphertext, the recording's id and what it is for are authenticated with it: no
file can be put in another's place.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from host_tools.receiver.recording_keys import STORE_BYTES

MAGIC = b"EARNEST\x01"
HEADER_BYTES = len(MAGIC) + STORE_BYTES
_NONCE_BYTES = 12
#: What is sealed.
AUDIO, TRANSCRIPT, LABELS = "audio", "transcript", "labels"


def seal(content: bytes, key: bytes, store: bytes, id: str, what: str) -> bytes:
    """Return the content sealed; a key seals a few contents at most, so random nonces do."""
    header = MAGIC + store
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return header + nonce + AESGCM(key).encrypt(nonce, content, header + f"{what} {id}".encode())


def unseal(sealed: bytes, key: bytes, id: str, what: str) -> bytes | None:
    """Return the content, or None when a bit of it was changed or it is another's."""
    header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    if not header.startswith(MAGIC) or len(nonce) < _NONCE_BYTES:
        return None
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, header + f"{what} {id}".encode())
    except InvalidTag:
        return None


def store_of(sealed: bytes) -> bytes | None:
    """Return the number of the key file, of the first HEADER_BYTES; None: not sealed at all."""
    if len(sealed) < HEADER_BYTES or not sealed.startswith(MAGIC):
        return None
    return sealed[len(MAGIC) : HEADER_BYTES]
