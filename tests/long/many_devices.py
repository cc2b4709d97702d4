"""Many devices at one receiver for an hour, 16 of them talking at a time: measured, by hand.

    .venv/bin/python -m tests.long.many_devices --minutes 60
    .venv/bin/python -m tests.long.many_devices --minutes 60 --speed 4

Starts the real `earnest receive` on a folder whose history has 100,000 streams, connects devices
over TLS, and lets them send noise at the pace of a microphone, some of it under a consent to keep
it.  Says whether every sample arrived (by the SHA-256 that the receiver told, and in the
recordings), how the receiver's memory went, its share of a core, and how long a page of the
history takes meanwhile.  With `--speed 4` the traffic of the same hour comes in a quarter of it:
audio, pauses and pings alike.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from firmware.satellite import protocol
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import DROPPED, Filter, StreamRow
from host_tools.receiver.recordings import Recordings
from tests.fakes.receivers import FORM, new_device, tls_context

CHUNK_BYTES = 320
CHUNK_S = 0.01
#: What falls due in this time goes out together, as from a network.
TICK_S = 0.02
PING_S = 30.0
PAGE_ROWS = 50
#: A stream is this long: from a short command to a long one.
STREAM_S = (1.0, 8.0)
WORDS = ("okay_nabu", "hey_jarvis", "alexa")


@dataclass
class Sent:
    """What the devices sent, and what the receiver told of it, by the stream's number."""

    hashes: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    told: dict[str, dict] = field(default_factory=dict)
    others: list[dict] = field(default_factory=list)
    running: int = 0
    most: int = 0
    samples: int = 0


class Device:
    """One device: pings, and a stream when it has its turn."""

    def __init__(self, port: int, folder: Path, sent: Sent, seed: int, speed: float) -> None:
        self._port, self._context, self._sent = port, tls_context(folder), sent
        self._speed = speed
        self._random = random.Random(seed)
        self._accepted: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="earnest-receiver"
        )
        await self._send(protocol.PING, {})

    async def listen(self) -> None:
        """Read what the receiver says, until it hangs up."""
        decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        while data := await self._reader.read(4096):
            for event in decoder.feed(data):
                if event.type == protocol.CONSENT_ACCEPTED:
                    self._accepted.put_nowait(event.data["stream"])
                elif event.type == protocol.PING:
                    await self._send(protocol.PONG, {})

    async def live(self, turns: asyncio.Semaphore, until_s: float) -> None:
        """Ping every 30 s, and talk at random times when not too many do."""
        ping_s = PING_S / self._speed
        next_ping_s = time.monotonic() + ping_s * self._random.random()
        while time.monotonic() < until_s:
            await asyncio.sleep(self._random.uniform(0.2, 2.0) / self._speed)
            if time.monotonic() >= next_ping_s:
                next_ping_s = time.monotonic() + ping_s
                await self._send(protocol.PING, {})
            async with turns:
                if time.monotonic() < until_s:
                    await self._talk()

    async def _talk(self) -> None:
        sent, stream = self._sent, f"{self._random.getrandbits(64):016x}"
        keeps = self._random.random() < 0.5
        audio = self._random.randbytes(
            round(self._random.uniform(*STREAM_S) / CHUNK_S) * CHUNK_BYTES
        )
        sent.running += 1
        sent.most = max(sent.most, sent.running)
        consent = {"keep_recordings": keeps, "share_for_training": False, "preroll_ms": 0}
        await self._send(protocol.DETECTION, {"name": self._random.choice(WORDS)})
        await self._send(protocol.CONSENT, {"stream": stream, **consent})
        assert await asyncio.wait_for(self._accepted.get(), 30) == stream
        await self._send(protocol.AUDIO_START, FORM)
        began_s, at = time.monotonic(), 0
        while at < len(audio):
            await asyncio.sleep(TICK_S)
            chunks_due = int((time.monotonic() - began_s) / CHUNK_S * self._speed)
            ready, at = audio[at : chunks_due * CHUNK_BYTES], max(at, chunks_due * CHUNK_BYTES)
            for start in range(0, len(ready), CHUNK_BYTES):
                chunk = ready[start : start + CHUNK_BYTES]
                self._writer.write(protocol.encode(protocol.AUDIO_CHUNK, FORM, chunk))
            await self._writer.drain()
        await self._send(protocol.AUDIO_STOP)
        sent.running -= 1
        sent.hashes[stream] = hashlib.sha256(audio).hexdigest()
        sent.samples += len(audio) // 2
        if keeps:
            sent.kept.add(stream)

    async def _send(self, kind: str, data: dict | None = None, payload: bytes = b"") -> None:
        self._writer.write(protocol.encode(kind, data, payload))
        await self._writer.drain()


def fill(data: Path, count: int) -> None:
    """Write a history of `count` streams, over a year."""
    ids = [device.id for device in DeviceList(data / "devices.json").all()]
    history, now_s = History(data / HISTORY_FILE), time.time()
    for start in range(0, count, 5000):
        history.add(
            StreamRow(
                began_s=now_s - 300 * 86400 * number / count - 60,
                device_id=ids[number % len(ids)],
                device_name=f"room-{number % len(ids)}",
                wake_word=WORDS[number % len(WORDS)],
                duration_ms=3000,
                bytes=96000,
                sha256="0" * 64,
                reason="device",
                fates=(DROPPED,),
                keep_recordings=False,
                share_for_training=False,
            )
            for number in range(start, min(start + 5000, count))
        )
    history.close()


def page_ms(data: Path, seed: int) -> tuple[float, float]:
    """Return how long a page of the history takes, from a random place on, and how long the number
    of its rows."""
    chosen = random.Random(seed)
    ids = [device.id for device in DeviceList(data / "devices.json").all()]
    wanted = chosen.choice(
        [Filter(), Filter(device=chosen.choice(ids)), Filter(wake_word=WORDS[0], kept=False)]
    )
    history = History(data / HISTORY_FILE)
    began_s = time.perf_counter()
    after = (time.time() - chosen.uniform(0, 300) * 86400, 1 << 60)
    rows = history.page(wanted, after, PAGE_ROWS)
    page_s = time.perf_counter() - began_s
    history.count(wanted)
    count_s = time.perf_counter() - began_s - page_s
    history.close()
    assert rows
    return page_s * 1000, count_s * 1000


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def processor_s(pid: int) -> float:
    """Return the processor time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def hear(process: asyncio.subprocess.Process, sent: Sent) -> None:
    """Note what the receiver tells."""
    assert process.stdout is not None
    async for line in process.stdout:
        told = json.loads(line)
        if told["event"] == "stream-stop":
            sent.told[told["stream"]] = told
        elif told["event"] in ("warning", "refused", "unconfirmed", "assistant-failed"):
            sent.others.append(told)


async def main(data: Path, devices: int, streams: int, minutes: float, speed: float) -> bool:
    folders = [new_device(data, f"room-{number}") for number in range(devices)]
    fill(data, 100_000)
    command = [sys.executable, "-m", "host_tools", "receive", "--data", str(data), "--json"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-page"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *options,
        f"--max-connections={devices}",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = 0
    while not port:
        told = json.loads(await process.stdout.readline())
        port = told["port"] if told["event"] == "listening" else 0
    sent = Sent()
    hearing = asyncio.create_task(hear(process, sent))
    connected = []
    for number, folder in enumerate(folders):
        connected.append(Device(port, folder, sent, number, speed))
        await connected[-1].connect()
    tasks = [asyncio.create_task(device.listen()) for device in connected]
    print(
        f"{devices} devices connected, the receiver has {memory_kib(process.pid)} KiB", flush=True
    )
    turns, until_s = asyncio.Semaphore(streams), time.monotonic() + minutes * 60 / speed
    living = asyncio.gather(*(device.live(turns, until_s) for device in connected))
    began_s, began_processor_s = time.monotonic(), processor_s(process.pid)
    memory, pages = [], []
    while not living.done():
        await asyncio.wait([living], timeout=5)
        memory.append(memory_kib(process.pid))
        pages.append(await asyncio.to_thread(page_ms, data, len(pages)))
    await living
    took_s = time.monotonic() - began_s
    share = (processor_s(process.pid) - began_processor_s) / took_s
    while len(sent.told) < len(sent.hashes) and time.monotonic() < until_s + 60:
        await asyncio.sleep(0.1)
    ending_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = await process.wait()
    ending_s = time.monotonic() - ending_s
    await hearing
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    first, last = memory[len(memory) // 4 : len(memory) // 2 + 1], memory[3 * len(memory) // 4 :]
    grown = statistics.median(last) - statistics.median(first)
    arrived = {stream: told["sha256"] for stream, told in sent.told.items()}
    kept = [told for told in sent.told.values() if told["recording"]]
    with contextlib.closing(Recordings(data)) as recordings:
        sound = [
            told
            for told in kept
            if hashlib.sha256(recordings.wav(recordings.find(told["recording"]))[44:]).hexdigest()
            == told["sha256"]
        ]
    audio_s = sent.samples / protocol.RATE_HZ
    print(f"{len(sent.hashes)} streams in {took_s:.0f} s, {sent.most} at once at most")
    print(
        f"{sent.samples} samples sent, {audio_s / 60:.1f} minutes of audio, "
        f"{audio_s / took_s:.1f} streams at once on average"
    )
    print(f"every stream arrived as it was sent: {arrived == sent.hashes}")
    print(f"kept: {len(kept)} of {len(sent.kept)}, sound on disk: {len(sound)}")
    print(f"memory: {min(memory)} to {max(memory)} KiB, {grown:+.0f} KiB from 2nd to 4th quarter")
    print(f"processor: {share:.0%} of a core")
    for what, times_ms in zip(
        (f"page of {PAGE_ROWS}", "count"), zip(*pages, strict=True), strict=True
    ):
        half_ms, most_ms = statistics.median(times_ms), max(times_ms)
        print(f"{what} of 100,000 rows: {half_ms:.1f} ms median, {most_ms:.1f} ms at most")
    print(f"SIGTERM: ended in {ending_s:.2f} s with status {status}")
    print(f"warnings and refusals: {len(sent.others)} {sent.others[:3]}")
    is_whole = arrived == sent.hashes and len(sound) == len(kept) == len(sent.kept)
    return is_whole and status == 0 and not sent.others


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=64)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=60.0, help="of traffic")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast as devices are")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(
            main(
                Path(folder) / "data", *(given.devices, given.streams, given.minutes, given.speed)
            )
        )
    sys.exit(not good)
