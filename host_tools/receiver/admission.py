"""The TLS handshake of one peer: who has no certificate of this CA comes no further."""

from __future__ import annotations

import asyncio
import socket
import ssl

HANDSHAKE_S = 10.0
READ_BYTES = 16384
_WRITE_BUFFER_BYTES = 4096

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "WRONG_VERSION_NUMBER": "not TLS",
    "HTTP_REQUEST": "not TLS",
    "UNEXPECTED_MESSAGE": "not TLS",
    "UNSUPPORTED_PROTOCOL": "a TLS version below 1.2",
    "NO_SHARED_CIPHER": "no cipher that authenticates what it encrypts (AEAD)",
    "CERTIFICATE_VERIFY_FAILED": "a certificate that is not ours or has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know our certificate "
    "(was the board provisioned with another --data?)",
    "TLSV1_ALERT_DECRYPT_ERROR": "it refused our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refused our certificate",
}


class Refused(Exception):
    """Why a peer may not come in."""


async def handshake(
    peer: socket.socket, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the streams of an accepted socket; without `tls` there is no handshake.

    Raises:
        Refused: the handshake failed; the peer was hung up on.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES)
    streams = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: streams,
            peer,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_S if tls else None,
        )
    except ssl.SSLError as error:
        reason = _REASONS.get(error.reason or "", error.reason or "TLS failed")
        raise Refused(reason) from error
    except OSError as error:
        raise Refused("no TLS handshake in time, or hung up during it") from error
    transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
    return reader, asyncio.StreamWriter(transport, streams, reader, loop)
