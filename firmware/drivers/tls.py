"""The connection to the receiver: TLS 1.2 or newer, AEAD ciphers only, certificates on both ends.

The device trusts one CA, its owner's, and no other; the receiver's name must be the one it was
given.  Certificates and key are DER files.  Plain connections exist only where the
configuration says `insecure`.
"""

import asyncio

import tls

from .dns import Resolver

MAX_FILE_BYTES = 4096


def context(storage, ca, certificate, key):
    """Return an SSLContext made of DER files; raises OSError if one is missing.  Allocates."""
    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    made.verify_mode = tls.CERT_REQUIRED
    made.set_ciphers(aead_ciphers(made.get_ciphers()))
    made.load_verify_locations(_read(storage, ca))
    made.load_cert_chain(_read(storage, certificate), _read(storage, key))
    return made


def aead_ciphers(names):
    """Of mbed TLS's cipher names, return those that authenticate what they encrypt (AES-GCM,
    ChaCha20-Poly1305) under a key of their own for each connection; raises OSError without any.
    """
    allowed = []
    for name in names:
        if name.startswith("TLS-ECDHE-ECDSA-") or name.startswith("TLS1-3-"):
            if "-GCM-" in name or "-CHACHA20-POLY1305-" in name:
                allowed.append(name)
    if not allowed:
        raise OSError("this MicroPython has no AEAD cipher")
    return allowed


def _read(storage, name):
    data = storage.read(name, MAX_FILE_BYTES)
    if not data:
        raise OSError("no certificate file %s" % name)
    return data


def connector(config, storage, name_server=None):
    """The coroutine function `connect() -> (reader, writer)` for a configuration.

    `name_server()` gives the network's DNS server, in digits; names need it, addresses do not.

    Its errors: OSError, also when a certificate is missing, and ValueError for a wrong name or a
    damaged certificate.  The handshake is in the first write, so the caller writes first.
    """
    made: list[tls.SSLContext] = []  # once the files could be read
    resolver = Resolver(name_server)

    async def connect():
        host, port = config.receiver_host, config.receiver_port
        if not host:
            raise OSError("no receiver in the configuration")
        if config.insecure:
            return await asyncio.open_connection(await resolver.address(host), port)
        if not made:
            files = (config.ssl_ca, config.ssl_certificate, config.ssl_key)
            made.append(context(storage, *files))
        name = config.receiver_name or host
        address = await resolver.address(host)
        return await asyncio.open_connection(address, port, ssl=made[0], server_hostname=name)

    return connect
