"""The connection to the receiver: TLS 1.2 or newer, both ends show a certificate.

The device trusts one authority, its owner's, and no other; the receiver's name must be the one it
was given.  Certificates and key are DER files.  Plain connections exist only where the
configuration says `insecure`.  A refused peer is an OSError or, for a wrong name, a ValueError.
"""

import asyncio
import ssl

MAX_FILE_BYTES = 4096


def context(storage, authority="ca.der", certificate="device.der", key="device.key.der"):
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


async def connect(host, port, name, made):
    """(reader, writer) of a connection under a context of `context`; the handshake is still to do.

    It happens in the first write, so the caller writes first.
    """
    if made is None:
        raise ValueError("a connection needs certificates")
    return await asyncio.open_connection(host, port, ssl=made, server_hostname=name)


async def connect_insecure(host, port):
    """(reader, writer) of a plain connection; only for a configuration that says `insecure`."""
    return await asyncio.open_connection(host, port)
