"""The connection to the receiver: TLS 1.2 or newer, both ends show a certificate.

The device trusts one authority, its owner's, and no other; the receiver's name must be the one it
was given.  Certificates and key are DER files.  Plain connections exist only where the
configuration says `insecure`.
"""

import asyncio
import ssl

MAX_FILE_BYTES = 4096


def context(storage, authority, certificate, key):
    """An SSLContext from DER files; OSError when one is missing.  Allocates; once at start."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=_read(storage, authority))
    made.load_cert_chain(_read(storage, certificate), _read(storage, key))
    return made


def _read(storage, name):
    data = storage.read(name, MAX_FILE_BYTES)
    if not data:
        raise OSError("no certificate file %s" % name)
    return data


def connector(config, storage):
    """The coroutine function `connect() -> (reader, writer)` for a configuration.

    Its errors: OSError, ValueError for a wrong name, both at the first write, where the handshake
    is; so the caller writes first.  The files are read once, here: OSError when one is missing.
    """
    host, port = config.receiver_host, config.receiver_port
    if config.insecure:
        made, name = None, None
    else:
        made = context(storage, config.ssl_authority, config.ssl_certificate, config.ssl_key)
        name = config.receiver_name or host

    async def connect():
        if not host:
            raise OSError("no receiver in the configuration")
        return await asyncio.open_connection(host, port, ssl=made, server_hostname=name)

    return connect
