"""Fetches what Home Assistant wants to be announced, from Home Assistant alone, and decodes it.

The connection goes to the address that Home Assistant itself has connected from, whatever host the
URL names, so nobody can be made to fetch from elsewhere; the name serves for the certificate and
the Host header.  No redirects, no proxies, no cookies.  Works in a thread of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from math import gcd
from urllib.parse import urlsplit

import numpy as np
import soundfile
from scipy.signal import resample_poly

from firmware.satellite.protocol import RATE_HZ

MAX_BYTES = 4 << 20
#: From the first byte asked for to the last one that came.
FETCH_S = 10.0
MAX_AUDIO_S = 60.0
_MAX_CHANNELS = 2
_RATES_HZ = range(8000, 96001)
_READ_BYTES = 65536
_MAX_URL_CHARACTERS = 2048


class AnnouncementError(Exception):
    """Why an announcement is not spoken, for the owner."""


def samples_of(url: str, peer: str) -> bytes:
    """Return what is at `url` as 16 kHz mono int16, fetched from the address `peer`.

    Raises:
        AnnouncementError: it cannot be had, or is too long, or is not audio.
    """
    return decode(fetch(url, peer))


def fetch(url: str, peer: str) -> bytes:
    """Return the content of `url`, at most MAX_BYTES; raises AnnouncementError."""
    if len(url) > _MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable():
        raise AnnouncementError("its address is malformed")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AnnouncementError("its address is malformed") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise AnnouncementError("its address is not one of http or https")
    until_s = time.monotonic() + FETCH_S
    try:
        connection = _connect(parts.scheme, host, port, peer)
        watchdog = threading.Timer(until_s - time.monotonic(), _end, (connection.sock,))
        watchdog.start()
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers={"Accept": "audio/*"})
            content = _read(connection.getresponse())
            if time.monotonic() >= until_s:  # ended by the watchdog, which looks like its end
                raise TimeoutError
            return content
        finally:
            watchdog.cancel()
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:  # a host that is no name
        if time.monotonic() >= until_s:
            raise AnnouncementError(f"it took more than {FETCH_S:.0f} s") from error
        raise AnnouncementError(f"it cannot be fetched from {peer}: {error}") from error


def _connect(scheme: str, host: str, port: int | None, peer: str) -> http.client.HTTPConnection:
    """Return a connection to `peer` that speaks to it as `host`."""
    connection: http.client.HTTPConnection
    if scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=FETCH_S, context=context)
        plain = socket.create_connection((peer, connection.port), FETCH_S)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=FETCH_S)
        connection.sock = socket.create_connection((peer, connection.port), FETCH_S)
    return connection


def _end(connection: socket.socket) -> None:
    """End whatever waits for data: a server that sends a byte now and then would win for ever."""
    with contextlib.suppress(OSError):  # not SSLSocket's own, which is not for other threads
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse) -> bytes:
    if response.status != http.client.OK:
        raise AnnouncementError(f"Home Assistant answers with status {response.status}")
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise AnnouncementError(f"it is larger than {MAX_BYTES >> 20} MiB")
    if response.length:
        raise http.client.IncompleteRead(content, response.length)
    return content


def decode(content: bytes) -> bytes:
    """Return a WAV, FLAC, Ogg or MP3 file's samples as 16 kHz mono int16, at most MAX_AUDIO_S."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate_hz = file.samplerate
            if file.channels > _MAX_CHANNELS or rate_hz not in _RATES_HZ:
                raise AnnouncementError(f"{file.channels} channels at {rate_hz} Hz")
            most = round(MAX_AUDIO_S * rate_hz)
            frames = file.read(most + 1, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AnnouncementError("it is not audio that can be read") from error
    if len(frames) > most:
        raise AnnouncementError(f"it is longer than {MAX_AUDIO_S:.0f} s")
    mono = np.clip(np.nan_to_num(frames.mean(axis=1)), -1.0, 1.0)
    common = gcd(rate_hz, RATE_HZ)
    if rate_hz != RATE_HZ:
        mono = resample_poly(mono, RATE_HZ // common, rate_hz // common)
    pcm = np.clip(np.round(mono * 32768.0), -32768, 32767).astype("<i2")
    return bytes(pcm.tobytes())
