"""Random assistants against random devices, without a socket: the order of messages always holds.

The device here is written from docs/protocol.md: it checks what it is sent, gives credit as it
likes, refuses, ends sounds early, falls silent or goes away.  Assistants speak, chime, stop, give
up and fail.  Whatever happens, every request comes to an end and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from firmware.satellite import protocol
from firmware.satellite.protocol import Event
from host_tools.receiver import speaking
from host_tools.receiver.assistant import ConnectionLost, Played, SpeakRefused
from host_tools.receiver.sounds import Sounds
from host_tools.receiver.speaking import Speaking

WALKS = 150


class Line:
    """A connection to a device that does as it likes within the protocol."""

    def __init__(self, rng):
        self.rng = rng
        self.sounds = Sounds()
        self.is_in_stream = False
        self.speaking = Speaking(self)
        self.tasks = set()
        self.is_gone = False
        self.asked = None  # the id of the sound that is not over
        self.is_open = self.was_open = self.is_chime = self.is_accepted = False
        self.credit = self.taken = 0
        self.last_was_short = False
        self.count = 0

    async def send(self, kind, data=None, payload=b""):
        protocol.encode(kind, data, payload)
        assert not self.is_gone
        self.count += 1
        if kind in (protocol.SPEAK, protocol.CHIME):
            assert self.asked is None and not self.is_open and not self.is_in_stream
            self.asked, self.is_chime = data["id"], kind == protocol.CHIME
            self.is_accepted = self.was_open = self.last_was_short = False
            self.start(self.play(data["id"]))
        elif kind == protocol.AUDIO_START:
            assert self.is_accepted and not self.was_open and not self.is_chime
            self.is_open = self.was_open = True
        elif kind == protocol.AUDIO_CHUNK:
            assert self.is_open and len(payload) <= self.credit and not self.last_was_short
            assert len(payload) <= protocol.MAX_SPEECH_PAYLOAD_BYTES
            self.last_was_short = len(payload) < 1024  # only the last one may be
            self.credit -= len(payload)
            self.taken += len(payload)
        elif kind == protocol.AUDIO_STOP:
            assert self.is_open
            self.is_open = False
        else:
            assert kind == protocol.SPEAK_STOP
        if self.rng.random() < 0.1:
            await asyncio.sleep(0)

    def drop(self, reason):
        self.is_gone = True
        self.speaking.lose()

    def emit(self, event, **fields):
        assert event in ("speaking", "speak-refused", "played")

    def start(self, coroutine):
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)

    def say(self, kind, id, **data):
        if not self.is_gone:
            self.sounds.take(Event(kind, {"id": id, **data}))
            self.speaking.changed()

    async def play(self, id):
        """The device's side of one sound."""
        rng = self.rng
        await self.pause()
        if rng.random() < 0.05:
            return  # it has fallen silent
        if rng.random() < 0.2:
            self.asked = None
            self.say(protocol.SPEAK_REFUSED, id, why=rng.choice(protocol.REFUSAL_REASONS))
            return
        self.is_accepted = True
        self.taken = 0
        self.credit = 0 if self.is_chime else rng.choice((1024, 5000, 32000))
        self.say(protocol.SPEAK_ACCEPTED, id, credit=self.credit)
        while rng.random() < 0.9:
            await self.pause()
            room = protocol.MAX_CREDIT_BYTES - self.credit
            if room and not self.is_chime:
                grant = rng.randint(1, room)
                self.credit += grant
                self.say(protocol.CREDIT, id, bytes=grant)
        if rng.random() < 0.05:
            return
        self.asked = None
        self.is_accepted = False
        why = rng.choice(protocol.PLAYED_REASONS)
        self.say(protocol.PLAYED, id, ms=rng.randint(0, 30000), why=why)

    async def pause(self):
        for _ in range(self.rng.randint(0, 4)):
            await asyncio.sleep(0)


class Walk:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.sources = []  # whether each was closed, once it was begun

    async def audio(self, number):
        rng = self.rng
        self.sources[number] = False
        try:
            for _ in range(rng.randint(0, 12)):
                await asyncio.sleep(0)
                yield bytes(rng.randint(0, 9000))
            if rng.random() < 0.1:
                raise KeyError("an assistant's own")
        finally:
            self.sources[number] = True

    async def ask(self, line):
        """One assistant's request, and that it ends as is documented."""
        rng, said = self.rng, line.speaking
        if rng.random() < 0.2:
            request = said.chime("timer", None)
        else:
            self.sources.append(True)
            audio = self.audio(len(self.sources) - 1)
            request = said.speak("timer", audio, None, rng.choice((10, 100, 30000)))
        with contextlib.suppress(SpeakRefused, ConnectionLost, KeyError):
            assert isinstance(await request, Played)

    async def run(self):
        rng = self.rng
        line = Line(rng)
        asks = []
        for _ in range(rng.randint(1, 12)):
            asks.append(asyncio.create_task(self.ask(line)))
            for _ in range(rng.randint(0, 15)):
                await asyncio.sleep(0)
            if rng.random() < 0.2:
                rng.choice(asks).cancel()
            if rng.random() < 0.1 and not line.is_gone:
                await line.speaking.stop()
            line.is_in_stream = rng.random() < 0.2 and line.asked is None
            line.speaking.changed()
            if rng.random() < 0.02:
                line.drop("replaced")
        line.is_in_stream = False
        line.speaking.changed()
        ended = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert all(e is None or isinstance(e, asyncio.CancelledError) for e in ended), ended
        while not all(task.done() for task in line.tasks):
            await asyncio.sleep(0.001)
        for task in line.tasks:
            task.result()
        assert all(self.sources)
        assert line.is_gone or (line.sounds.current is None and not line.is_open)
        return line


@pytest.mark.parametrize("first", range(0, WALKS, 50))
def test_on_any_walk_the_protocol_holds_and_everything_ends(first, monkeypatch):
    monkeypatch.setattr(speaking, "ANSWER_S", 0.1)
    monkeypatch.setattr(speaking, "CHIME_S", 0.1)
    lines = [asyncio.run(Walk(seed).run()) for seed in range(first, first + 50)]
    assert sum(line.count for line in lines) > 500  # they did something
    assert 0 < sum(line.is_gone for line in lines) < 50
