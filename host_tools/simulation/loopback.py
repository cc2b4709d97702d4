"""A real receiver for one simulation: `earnest receive` in a process of its own, on loopback.

Makes an authority and a device's certificate in a temporary folder, starts the receiver on a free
port, and collects what it says of each stream.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import authority
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE, DeviceList
from host_tools.shared_firmware import ROOT
from host_tools.simulation import scenario
from host_tools.simulation.sent_streams import ReceivedStream
from host_tools.simulation.speaker import ToldSound
from host_tools.simulation.trace import RECEIVER_NAME

HOST = "127.0.0.1"
_START_S = 30.0
_END_S = 10.0


class LoopbackReceiver:
    """A running receiver; `data` is its folder, where it keeps what it may keep; `reply` is a WAV
    file that answers every stream; else, where it `answers`, it does so by itself."""

    def __init__(self, data: Path, reply: Path | None = None, answers: bool = False) -> None:
        self._data = data
        self._signer = authority.open_or_make(data / "authority")
        command = [sys.executable, "-m", "host_tools", "receive", "--no-page", "--data", str(data)]
        command += ["--host", HOST, "--port", "0", "--name", RECEIVER_NAME, "--json", "--commands"]
        if reply is not None:
            command += ["--reply", str(reply)]
        elif answers:
            command += ["--answers"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.events: list[dict[str, Any]] = []
        self.port = self._wait_for("listening", _START_S)["port"]

    def settings(self, device_folder: Path) -> dict[str, Any]:
        """Return the device's configuration for this receiver; write its certificates."""
        made = self._data / "device"
        if not made.exists():
            DeviceList(self._data / "devices.json").add("simulated", self._signer, made)
            for name in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
                (device_folder / name).write_bytes((made / name).read_bytes())
        return {
            "receiver_host": HOST,
            "receiver_port": self.port,
            "receiver_name": RECEIVER_NAME,
            "ssl_certificate": CERTIFICATE_FILE,
            "ssl_key": KEY_FILE,
            "ssl_ca": CA_FILE,
        }

    def act(self, action: str, value: object, word: str) -> None:
        """Have it do what the scenario says that the receiver does; anything else does nothing."""
        if action == scenario.REQUEST:
            self.request(str(value), word)
        elif action == "speak":
            self._tell("announce attention" if value == "announcement" else "say as you wish")
        elif action in ("chime", "volume"):
            self._tell(f"{action} {value}")

    def request(self, kind: str, word: str) -> None:
        """Have it ask the device for something: mute, stop, the highest cutoff of a wake word, or
        whatever it has no right to."""
        line = kind if kind in ("mute", "stop") else f"send {kind}"
        if kind == protocol.SENSITIVITY:
            line = f"less-sensitive {word} {protocol.MAX_CUTOFF_THOUSANDTHS / 1000}"
        self._tell(line)

    def _tell(self, line: str) -> None:
        """Type one of its commands."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failed() from error

    def end(self) -> list[ReceivedStream]:
        """Wait until the device's connections have ended, stop it; return the streams it got."""
        connected = "disconnected"
        while self._count("connected") > self._count(connected):
            self._wait_for(connected, _END_S)
        self.close()
        while (event := self._lines.get(timeout=_END_S)) is not None:
            self.events.append(event)
        return [
            {"samples": event["samples"], "sha256": event["sha256"], "reason": event["reason"]}
            for event in self.events
            if event["event"] == "stream-stop"
        ]

    def sounds(self) -> list[ToldSound]:
        """Return what it says of the sounds that it sent, once it has ended."""
        return [
            {key: event[key] for key in ToldSound.__annotations__}  # type: ignore[misc]
            for event in self.events
            if event["event"] == "played"
        ]

    def answers(self) -> list[str]:
        """Return the words of its replies, once it has ended."""
        told = (event for event in self.events if event["event"] == "answer")
        return [event["text"] for event in told if event["text"]]

    def transcripts(self) -> list[str]:
        """Return what it understood of each stream, once it has ended."""
        return [event["text"] for event in self.events if event["event"] == "transcript"]

    def wake_words(self) -> list[str | None]:
        """Return the wake words that it was told of, once it has ended."""
        return [event["name"] for event in self.events if event["event"] == "detection"]

    def close(self) -> None:
        """Stop the process; harmless when it has stopped."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _count(self, kind: str) -> int:
        while not self._lines.empty():
            if (event := self._lines.get()) is not None:
                self.events.append(event)
        return sum(event["event"] == kind for event in self.events)

    def _wait_for(self, kind: str, timeout_s: float) -> dict[str, Any]:
        while True:
            try:
                event = self._lines.get(timeout=timeout_s)
            except queue.Empty:
                self.close()
                raise HostToolError(
                    f"the receiver did not report {kind!r} within {timeout_s:g} s", "try again"
                ) from None
            if event is None:
                raise self._failed()
            self.events.append(event)
            if event["event"] == kind:
                return event

    def _failed(self) -> HostToolError:
        self.close()
        assert self._process.stderr is not None
        return stopped(self._process.stderr.read().decode(errors="replace"))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)


def stopped(text: str) -> HostToolError:
    """Return the error of a receiver that ended with this text: its own error and hint, if any."""
    error, hint = "", "try earnest receive by itself"
    for line in text.strip().splitlines():
        if line.startswith("error: "):
            error = line.removeprefix("error: ")
        elif line.startswith("hint: "):
            hint = line.removeprefix("hint: ")
    return HostToolError(f"the receiver stopped: {error or text.strip()}", hint)
