"""For tests of the receiver: the real `earnest receive` process, and a device of few lines."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
import wave
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from firmware.satellite import protocol
from host_tools import cli
from host_tools.receiver import authority
from host_tools.receiver.anchors import Anchors
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE, DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.server import Receiver
from host_tools.receiver.services import Options
from host_tools.receiver.statuses import Statuses

PATIENCE_S = 20
FORM = {"rate": 16000, "width": 2, "channels": 1}
STREAM = "0123456789abcdef"
SPEECH = np.random.default_rng(20).integers(-20000, 20000, 16077, dtype=np.int16).tobytes()
STATUS = {
    "speaker": True,
    "muted": False,
    "switch": False,
    "listening": True,
    "volume": 60,
    "volume_max": 80,
    "words": ["okay_nabu"],
    "keep_recordings": False,
    "share_for_training": False,
    "timers": False,
    "announcements": False,
    "firmware": "0.1",
    "off_by": None,
    "cutoffs": [850],
    "withdraw": False,
}
Done = namedtuple("Done", "returncode stdout stderr")


def new_device(data: Path, name: str) -> Path:
    """A folder with the key and certificates of a new device of the receiver in `data`."""
    folder = data.parent / f"{data.name}-{name}"
    signer = authority.open_or_make(data / "authority")
    DeviceList(data / "devices.json").add(name, signer, folder)
    return folder


class ReceiverProcess:
    """`earnest receive --json` on a free port of the loopback, and what it told so far."""

    def __init__(self, data: Path, *options: object) -> None:
        arguments = ["--data", data, "--host", "127.0.0.1", "--port", 0, "--json", *options]
        if "--page-port" not in options:
            arguments.append("--no-page")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "host_tools", "receive", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict] = []
        self._queue: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = self.wait("listening")["port"]

    def _read(self) -> None:
        for line in self.process.stdout:
            self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait(self, event: str, **fields: object) -> dict:
        """The next event of this name with these fields; others that came before are passed."""
        while True:
            told = self._queue.get(timeout=PATIENCE_S)
            if told is None:
                raise AssertionError((event, self.events, self.process.stderr.read()))
            self.events.append(told)
            if told["event"] == event and fields.items() <= told.items():
                return told

    def command(self, words: str) -> None:
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def cpu_s(self) -> float:
        """Processor time that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int) -> tuple[int, str]:
        """Send the signal; exit status and stderr."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        while (told := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.events.append(told)
        return status, self.process.stderr.read()


@contextmanager
def receiving(data: Path, *options: object):
    """A running receiver; one that still runs afterwards is ended."""
    receiver = ReceiverProcess(data, *options)
    try:
        yield receiver
    finally:
        if receiver.process.poll() is None:
            receiver.process.kill()
            receiver.process.wait()


class Serving:
    """A receiver in a thread of this process, over TLS, with assistants; what it told so far."""

    def __init__(self, data: Path, assistants: tuple) -> None:
        self.data = data
        self.told: list[dict] = []
        self._news = threading.Condition()
        self._data, self._assistants = data, assistants
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self.port = self.wait("listening")["port"]

    def emit(self, event: str, **fields: object) -> None:
        """The receiver's view."""
        with self._news:
            self.told.append({"event": event, **fields})
            self._news.notify_all()

    def level(self, audio: bytes) -> None:
        """No meter."""

    def wait(self, event: str, **fields: object) -> dict:
        """The first event of this name with these fields, of all that were told."""

        def found() -> dict | None:
            hits = (t for t in self.told if t["event"] == event and fields.items() <= t.items())
            return next(hits, None)

        with self._news:
            assert self._news.wait_for(found, PATIENCE_S), (event, fields, self.told)
            return found()

    def count(self, event: str) -> int:
        """How often it was told."""
        with self._news:
            return sum(told["event"] == event for told in self.told)

    def call(self, coroutine):
        """The result of a coroutine that runs in the receiver's loop."""
        return self.submit(coroutine).result(PATIENCE_S)

    def submit(self, coroutine):
        """The future of a coroutine that runs in the receiver's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE_S)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        signer = authority.open_or_make(self._data / "authority")
        devices = DeviceList(self._data / "devices.json")
        worker = RecordingWorker(Recordings(self._data, 1.0), devices)
        context, name = signer.server_context(None)
        options = Options("127.0.0.1", 0, context, 61000, 8)
        self.withdrawals = OwnerWithdrawals(self._data)
        self.worker = worker
        kept = Anchors(self._data), Statuses(self._data), self.withdrawals
        receiver = Receiver(options, signer, devices, worker, *kept, self, self._assistants)
        self._task = asyncio.create_task(receiver.run(name))
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        finally:
            worker.close()


@contextmanager
def serving(data: Path, *assistants):
    """A receiver in this process that these assistants answer for."""
    served = Serving(data, assistants)
    try:
        yield served
    finally:
        served.stop()


def tls_context(folder: Path | None, has_certificate: bool = True) -> ssl.SSLContext:
    """As a device would be set up with the files in `folder`; None trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if folder is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_verify_locations(cadata=(folder / CA_FILE).read_bytes())
    if has_certificate:
        files = []
        for name, kind in ((CERTIFICATE_FILE, "CERTIFICATE"), (KEY_FILE, "EC PRIVATE KEY")):
            path = folder / (name + ".pem")
            text = ssl.DER_cert_to_PEM_cert((folder / name).read_bytes())
            path.write_text(text.replace("CERTIFICATE", kind))
            files.append(path)
        context.load_cert_chain(*files)
    return context


class Device:
    """A connection to a receiver; `folder` as made by new_device, None for plain text."""

    def __init__(self, port: int, folder: Path | None, context: ssl.SSLContext | None = None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if folder is not None or context is not None:
            context = context or tls_context(folder)
            self.socket = context.wrap_socket(self.socket, server_hostname="earnest-receiver")
        self._decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        self._events: list = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind: str, data: dict | None = None, payload: bytes = b"") -> None:
        self.socket.sendall(protocol.encode(kind, data, payload))

    def next(self):
        """The next event."""
        while not self._events:
            data = self.socket.recv(4096)
            assert data, "hung up"
            self._events.extend(self._decoder.feed(data))
        return self._events.pop(0)

    def expect(self, kind: str):
        """The next event, which has to be of this type."""
        event = self.next()
        assert event.type == kind, (event.type, event.data)
        return event

    def is_hung_up(self) -> bool:
        """Whether the receiver ends the connection, after an `error` at most."""
        try:
            while data := self.socket.recv(4096):
                types = [event.type for event in self._decoder.feed(data)]
                assert set(types) <= {protocol.ERROR}, types
        except (ssl.SSLError, ConnectionError):
            pass
        return True

    def consent(self, keep=False, share=False, preroll_ms=0, stream=STREAM) -> None:
        """Open a stream and wait until that is acknowledged."""
        self.send(
            protocol.CONSENT,
            {
                "stream": stream,
                "keep_recordings": keep,
                "share_for_training": share,
                "preroll_ms": preroll_ms,
            },
        )
        assert self.expect(protocol.CONSENT_ACCEPTED).data == {"stream": stream}

    def tell_status(self, **changed) -> None:
        """Say what a device with a loudspeaker says after it has connected."""
        self.send(protocol.STATUS, {**STATUS, **changed})

    def accept(self, credit: int = protocol.MAX_CREDIT_BYTES) -> dict:
        """Expect a request for a sound and accept it; the request's data."""
        asked = self.expect(protocol.SPEAK).data
        self.send(protocol.SPEAK_ACCEPTED, {"id": asked["id"], "credit": credit})
        return asked

    def audio(self, samples: bytes, chunk_bytes: int = 320) -> None:
        for at in range(0, len(samples), chunk_bytes):
            self.send(protocol.AUDIO_CHUNK, FORM, samples[at : at + chunk_bytes])

    def say(self, samples: bytes, **consent) -> None:
        """A whole stream."""
        self.consent(**consent)
        self.send(protocol.AUDIO_START, FORM)
        self.audio(samples)
        self.send(protocol.AUDIO_STOP)


def recordings_in(data):
    return sorted(
        path.name for path in data.glob("*") if path.suffix in (".sealed", ".wav", ".json")
    )


def audio_files(data):
    return [path for path in data.rglob("*") if path.suffix in (".sealed", ".wav", ".part")]


def earnest(data, *arguments):
    """`earnest ARGUMENTS --data DATA` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run([*map(str, arguments), "--data", str(data)])
    return Done(status, out.getvalue(), err.getvalue())


def kept_wav(data: Path, id: str) -> bytes:
    """A recording as a WAV file, out of its seal."""
    with contextlib.closing(Recordings(data)) as recordings:
        return recordings.wav(recordings.find(id))


def samples_of(path):
    with wave.open(io.BytesIO(path) if isinstance(path, bytes) else str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16000, 2, 1)
        return file.readframes(file.getnframes())


def streams_of(data: Path, count: int) -> list:
    """The history's rows, the oldest first, as soon as there are so many."""
    history = History(data / HISTORY_FILE)
    until_s = time.monotonic() + PATIENCE_S
    while len(rows := history.page(limit=99)) < count and time.monotonic() < until_s:
        time.sleep(0.01)
    history.close()
    assert len(rows) == count, rows
    return rows[::-1]
