"""SIGTERM: the receiver ends at once, and what it confirmed is on disk."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time

from firmware.satellite import protocol
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    Device,
    earnest,
    new_device,
    receiving,
    samples_of,
    streams_of,
)

#: What docs/receiver-service.md promises.
END_S = 2.0
STREAMS = 12
#: At most, for what the streams leave to be written: their files, keys, rows and records.
FLUSHES = 8 * STREAMS


def disk_flush_s(folder):
    """How long this disk takes now until a small file is on it."""
    began_s = time.monotonic()
    for _ in range(5):
        with open(folder / "flushed", "wb") as file:
            file.write(bytes(3000))
            file.flush()
            os.fsync(file.fileno())
    return (time.monotonic() - began_s) / 5


def test_it_ends_in_time_with_everything_confirmed_on_disk(tmp_path):
    data = tmp_path / "data"
    kitchen, hall = new_device(data, "kitchen"), new_device(data, "hall")
    with receiving(data) as receiver:
        with Device(receiver.port, kitchen) as talking, Device(receiver.port, hall) as open_:
            open_.consent(keep=True, stream="f" * 16)
            open_.send(protocol.AUDIO_START, FORM)
            open_.audio(SPEECH[:3200])

            def talk():
                for number in range(STREAMS):
                    talking.say(SPEECH[: 3200 + 2 * number], keep=True, stream=f"{number:016x}")

            speaker = threading.Thread(target=talk)
            speaker.start()
            receiver.wait("stream-stop")
            speaker.join(20)  # the rest waits for the disk, or is on its way there
            flush_s = disk_flush_s(tmp_path)
            before_s = resource.getrusage(resource.RUSAGE_CHILDREN)
            receiver_s, began_s = receiver.cpu_s(), time.monotonic()
            assert receiver.end(signal.SIGTERM) == (0, "")
            waited_s = time.monotonic() - began_s
            after_s = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = sum(after_s[:2]) - sum(before_s[:2]) - receiver_s
            # The promise is of a disk with nothing else to do; what waits for this one is added.
            most_s = END_S + FLUSHES * flush_s
            assert cpu_s < END_S / 2 and waited_s < most_s, (cpu_s, waited_s, flush_s)
    told = [t for t in receiver.events if t["event"] == "stream-stop"]
    kept = {t["recording"]: t["sha256"] for t in told if t["recording"]}
    assert kept and receiver.events[-1]["event"] == "stopped"
    for id, sha256 in kept.items():
        done = earnest(data, "recordings", "export", id, tmp_path / f"{id}.wav")
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(samples_of(tmp_path / f"{id}.wav")).hexdigest() == sha256
    listed = earnest(data, "recordings", "list", "--json").stdout.splitlines()
    assert len(listed) == len(kept)
    # The open stream is dropped: in the history, and nowhere else.
    rows = streams_of(data, len(told))
    assert {row.recording for row in rows} == {*kept, None}


WAITS = """
import asyncio, time
from host_tools.receiver.console import end_within

async def main():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 30)
    end_within(0.2, lambda: print("last"))

asyncio.run(main())
"""


def test_a_thread_that_waits_for_the_network_does_not_hold_the_end():
    began_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True)
    # `print` of a thread that ends the process: flushed by end_within.
    assert (done.returncode, done.stdout) == (0, "last\n"), done.stderr
    assert time.monotonic() - began_s < 10
