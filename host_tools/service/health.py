"""`/healthz` and `/metrics` on 127.0.0.1: whether the receiver works, and how much it did.

Anybody on this computer may ask.  What is answered are counts.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver.cancellation import within
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.service.counts import CountedView

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 4096
MAX_CONNECTIONS = 8
#: For a whole request and its answer.
ANSWER_S = 3.0
#: How long the thread of the recordings may be busy.
WORKER_S = 2.0
#: With less left on the disk a recording of a minute may not fit.
MIN_FREE_BYTES = 16 << 20

_HEAD = (
    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'\r\n\r\n"
)
_TEXT = "text/plain; charset=utf-8"
#: The version of the text format.
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_OK, _BAD = "200 OK", "400 Bad Request"


class Health:
    """Answers on `port` of 127.0.0.1 from `begin` to the end of the loop."""

    def __init__(
        self, port: int, data: Path, recordings: RecordingWorker, counts: CountedView
    ) -> None:
        self._port = port
        self._data = data
        self._recordings = recordings
        self._counts = counts
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        """Listen; raises HostToolError when the port cannot be had."""
        try:
            server = await asyncio.start_server(
                self._serve, HOST, self._port, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            raise HostToolError(
                f"cannot listen on {HOST} port {self._port}: {os.strerror(error.errno or 0)}",
                "name another --health-port",
            ) from error
        self._server = server
        self._port = server.sockets[0].getsockname()[1]
        self._counts.emit("health", host=HOST, port=self._port)

    async def problems(self) -> list[str]:
        """Return why the receiver cannot keep what it may keep; empty when it can."""
        found = []
        try:
            await within(WORKER_S, self._recordings.look(lambda _: None))
        except asyncio.TimeoutError:
            found.append(f"the disk has been busy for more than {WORKER_S:.0f} s")
        if not os.access(self._data, os.W_OK):
            found.append("the receiver's folder cannot be written")
        elif self._free_bytes() < MIN_FREE_BYTES:
            found.append("the disk is full")
        return found

    def _free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self._data).free
        except OSError:
            return 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await within(ANSWER_S, self._answer(reader, writer))
                writer.close()
        except (OSError, asyncio.TimeoutError):
            pass  # whoever asked is gone, or slow
        finally:
            self._connections -= 1
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            status, kind, text = await self._page(request.decode("ascii"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            status, kind, text = _BAD, _TEXT, "bad request\n"
            request = b""
        body = text.encode()
        head = _HEAD.format(status=status, kind=kind, length=len(body)).encode()
        writer.write(head if request.startswith(b"HEAD ") else head + body)
        await writer.drain()

    async def _page(self, request: str) -> tuple[str, str, str]:
        """Return status, content type and text for a request; raises ValueError for a bad one."""
        first, *lines = request.split("\r\n")
        method, target, version = first.split(" ")
        hosts = [line[5:].strip() for line in lines if line.lower().startswith("host:")]
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        # A page of another site cannot ask through a name of its own that leads here.
        if hosts not in ([f"{HOST}:{self._port}"], [f"localhost:{self._port}"]):
            return "421 Misdirected Request", _TEXT, "not this host\n"
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", _TEXT, "GET only\n"
        if target == "/healthz":
            problems = await self.problems()
            text = "\n".join(problems or ["ok"]) + "\n"
            return "503 Service Unavailable" if problems else _OK, _TEXT, text
        if target == "/metrics":
            gauges = {"disk_free_bytes": self._free_bytes()}
            return _OK, _METRICS, self._counts.exposition(gauges)
        return "404 Not Found", _TEXT, "/healthz or /metrics\n"
