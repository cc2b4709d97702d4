"""How long the receiver stands still with many recordings in its folder: measured, by hand.

    .venv/bin/python tests/long/many_recordings.py --count 100000

Fills a folder, then runs the receiver's own worker beside an event loop that notes every gap, and
does what a receiver does: starts without an index, starts with one, expires, keeps, withdraws.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from host_tools.errors import HostToolError
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.recording import Recording, text
from host_tools.receiver.recording_keys import RecordingKeys
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.withdrawal import Wishes

DEVICES = [Device(f"room-{n}", "", "2099-01-01", f"{n:016x}", "") for n in range(10)]
TICK_S = 0.001
_Result = TypeVar("_Result")


def fill(folder: Path, count: int) -> None:
    """Write recordings as an earlier run left them: sound facts, a key, and an empty file."""
    folder.mkdir(exist_ok=True)
    now_s = time.time()
    ids = []
    for number in range(count):
        created_s = now_s - 29 * 86400 * number / count
        recording = Recording(
            id=secrets.token_hex(8),
            created=text(created_s),
            expires=text(created_s + 30 * 86400),
            samples=0,
            duration_ms=0,
            sha256="0" * 64,
            preroll_ms=0,
            share_for_training=False,
            device=DEVICES[number % len(DEVICES)].id,
        )
        (folder / f"{recording.id}.json").write_bytes(recording.to_json())
        (folder / f"{recording.id}.sealed").touch()
        ids.append(recording.id)
    keys = RecordingKeys(folder)
    with keys.writing() as slots:
        for id in ids:
            slots.new(id)
    keys.close()
    rows = [asdict(device) for device in DEVICES]
    (folder / "devices.json").write_text(json.dumps(rows))


async def gaps(stop: asyncio.Event) -> list[float]:
    """Return how late each tick of the event loop was, in seconds."""
    late = []
    while not stop.is_set():
        began_s = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append(time.perf_counter() - began_s - TICK_S)
    return late


async def longest_gap_s(work: Callable[[], Awaitable[_Result]]) -> tuple[float, float, _Result]:
    """Do one piece of work; return the event loop's longest gap, how long it took, its result."""
    stop = asyncio.Event()
    noting = asyncio.create_task(gaps(stop))
    await asyncio.sleep(0.05)
    began_s = time.perf_counter()
    result = await work()
    took_s = time.perf_counter() - began_s
    stop.set()
    return max(await noting), took_s, result


async def measured(what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do one piece of work and print what it cost."""
    gap_s, took_s, _ = await longest_gap_s(work)
    print(
        f"{what:34} {took_s * 1000:9.0f} ms, event loop late by {gap_s * 1000:5.1f} ms at most",
        flush=True,
    )


async def main(folder: Path) -> None:
    def worker() -> RecordingWorker:
        return RecordingWorker(Recordings(folder, 30.0), DeviceList(folder / "devices.json"))

    stream = Stream("0" * 16, True, False, 0, audio=bytearray(320000))
    recordings = worker()
    await measured("nothing", lambda: asyncio.sleep(2))
    await measured("start without an index", recordings.clean)
    recordings.close()
    recordings = worker()
    await measured("start with an index", recordings.clean)
    await measured("expire, nothing due", recordings.expire)
    await measured("keep 10 s of audio", lambda: recordings.add(stream, DEVICES[1]))
    wishes = Wishes(keep_recordings=False, share_for_training=False)
    await measured("withdraw a tenth", lambda: recordings.withdraw(DEVICES[0], wishes))
    recordings.close()
    recordings = worker()
    await recordings.look(lambda kept: kept.devices())
    withdrawing = recordings.withdraw(DEVICES[2], wishes)
    await asyncio.sleep(1.0)
    began_s = time.perf_counter()
    recordings.close()  # as at SIGTERM
    took_s = time.perf_counter() - began_s
    try:
        outcome = (await withdrawing).doubts or ("done",)
    except HostToolError as error:
        outcome = (error.message,)
    print(f"end amid withdrawing a tenth       {took_s * 1000:9.0f} ms: {outcome[0]}", flush=True)
    recordings = worker()
    await measured("start after that", recordings.clean)
    await measured("withdraw it again", lambda: recordings.withdraw(DEVICES[2], wishes))
    left = await recordings.look(lambda kept: kept.devices().get(DEVICES[2].id))
    print(f"left of it: {left}")
    recordings.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        began_s = time.perf_counter()
        fill(Path(scratch) / "data", arguments.count)
        print(f"{arguments.count} recordings made in {time.perf_counter() - began_s:.0f} s")
        asyncio.run(main(Path(scratch) / "data"))
