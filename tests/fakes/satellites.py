"""For tests of assistants: a device and a receiver, as an assistant sees them."""

import asyncio

from host_tools.receiver.assistant import Played, SpeakRefused, Status

SOON_S = 5.0
STREAM = "0123456789abcdef"
STATUS = {
    "speaker": True,
    "muted": False,
    "switch": False,
    "listening": True,
    "volume": 60,
    "volume_max": 80,
    "words": ("okay_nabu",),
    "keep_recordings": False,
    "share_for_training": False,
    "timers": True,
    "announcements": True,
    "firmware": "0.1",
}


def status(**changes):
    return Status(**{**STATUS, **changes})


async def until(condition):
    """Wait until `condition()` is true."""
    loop = asyncio.get_running_loop()
    late_s = loop.time() + SOON_S
    while not condition():
        assert loop.time() < late_s, "took too long"
        await asyncio.sleep(0.005)


class FakeHost:
    """The receiver: runs what an assistant starts, and remembers what it tells."""

    def __init__(self):
        self.told = []
        self.tasks = set()

    def start(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def emit(self, event, **fields):
        self.told.append((event, fields))

    def events(self, *names):
        return [fields for event, fields in self.told if event in names]


class FakeSatellite:
    """A device: what it was asked for is in `asked`, what it spoke in `spoken`."""

    def __init__(self, id, name, **changes):
        self.id = id
        self.name = name
        self.status = status(**changes)
        self.is_speaking = False
        self.asked = []
        self.spoken = []
        #: Raised instead of speaking.
        self.refuses = None
        #: Clear it, and the last sample takes until it is set.
        self.is_quiet = asyncio.Event()
        self.is_quiet.set()

    def end_stream(self, stream):
        self.asked.append(("end", stream))

    async def speak(self, kind, audio, *, stream=None, length_ms=30000):
        self.asked.append((kind, stream))
        if self.refuses:
            raise SpeakRefused(self.refuses)
        heard = b""
        self.spoken.append((kind, heard))
        try:
            async for piece in audio:
                assert piece and len(piece) % 2 == 0
                heard += piece
                self.spoken[-1] = (kind, heard)
            await self.is_quiet.wait()
        except asyncio.CancelledError:
            self.asked.append("cancelled")
            raise
        return Played(len(heard) // 32, "end")

    async def stop_speaking(self):
        self.asked.append("stop")

    async def mute(self):
        self.asked.append("mute")

    async def withdraw_consent(self):
        self.asked.append("withdraw")
        return True

    async def set_volume(self, percent):
        self.asked.append(("volume", percent))

    async def chime(self, kind, *, stream=None):
        self.asked.append(("chime", kind, stream))
        return Played(400, "end")
