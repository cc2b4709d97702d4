"""Sounds towards a device: in order, within the credit, one at a time, and never without end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import ExitStack

import pytest

from firmware.satellite import protocol
from host_tools.receiver import speaking
from host_tools.receiver.assistant import Assistant, ConnectionLost, Played, SpeakRefused
from tests.fakes.receivers import (
    FORM,
    PATIENCE_S,
    SPEECH,
    STATUS,
    STREAM,
    Device,
    new_device,
    serving,
)


class Listener(Assistant):
    def __init__(self):
        self.satellites = []
        self.statuses = []
        self.sounds = []

    def connected(self, satellite):
        self.satellites.append(satellite)

    def sound_changed(self, satellite):
        self.sounds.append(satellite.is_speaking)

    def status_changed(self, satellite):
        self.statuses.append(satellite.status)


class Source:
    """Audio in pieces, with what happened to it: an assistant's generator."""

    def __init__(self, pieces, failure=None, waits=False):
        self.pieces, self.failure, self.waits = pieces, failure, waits
        self.given = 0
        self.is_closed = False

    async def __call__(self):
        try:
            for piece in self.pieces:
                self.given += len(piece)
                yield piece
            if self.failure:
                raise self.failure
            if self.waits:
                await asyncio.sleep(3600)
        finally:
            self.is_closed = True


def pieces_of(samples, size):
    return [samples[at : at + size] for at in range(0, len(samples), size)]


class Talk:
    """A receiver, a device with a loudspeaker, and the satellite that an assistant has of it."""

    def __init__(self, receiver, device, listener):
        self.receiver, self.device = receiver, device
        device.tell_status()
        receiver.wait("status")
        [self.satellite] = listener.satellites

    def reply(self, source, **options):
        options.setdefault("stream", STREAM)
        return self.receiver.submit(self.satellite.speak("reply", source(), **options))

    def read_audio(self, most):
        """Audio up to `most` bytes or the end of it; whether it ended."""
        heard = bytearray()
        while len(heard) < most:
            event = self.device.next()
            if event.type == protocol.AUDIO_STOP:
                return bytes(heard), True
            assert event.type == protocol.AUDIO_CHUNK and event.data == FORM
            assert len(event.payload) <= protocol.MAX_SPEECH_PAYLOAD_BYTES
            heard += event.payload
        return bytes(heard), False

    def is_quiet(self):
        """Whether nothing comes: a ping is answered next."""
        self.device.send(protocol.PING, {"text": "quiet"})
        return self.device.expect(protocol.PONG).data == {"text": "quiet"}


@pytest.fixture
def talk(tmp_path):
    data, listener = tmp_path / "data", Listener()
    folder = new_device(data, "kitchen")
    with serving(data, listener) as receiver, Device(receiver.port, folder) as device:
        talk = Talk(receiver, device, listener)
        talk.folder, talk.listener = folder, listener
        yield talk


def played(talk, asked, ms=100, why="end"):
    talk.device.send(protocol.PLAYED, {"id": asked["id"], "ms": ms, "why": why})


def test_a_reply_is_sent_whole_in_order_and_returns_when_it_was_heard(talk):
    source = Source(pieces_of(SPEECH[:30001], 777))
    reply = talk.reply(source, length_ms=5000)
    asked = talk.device.accept()
    assert asked == {"id": asked["id"], "kind": "reply", "stream": STREAM, "length_ms": 5000}
    assert talk.device.expect(protocol.AUDIO_START).data == FORM
    heard, has_ended = talk.read_audio(40000)
    assert has_ended and heard == SPEECH[:30000]  # half a sample is none
    assert not reply.done()
    played(talk, asked, 938)
    assert reply.result(PATIENCE_S) == Played(938, "end") and source.is_closed
    told = talk.receiver.wait("played")
    assert told["samples"] == 15000 and told["ms"] == 938 and told["stream"] == STREAM


def test_the_assistants_are_told_when_it_begins_and_when_it_is_over(talk):
    reply = talk.reply(Source([SPEECH[:6400]]))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    assert talk.read_audio(40000)[1]
    talk.device.send(protocol.CREDIT, {"id": asked["id"], "bytes": 3200})
    played(talk, asked)
    reply.result(PATIENCE_S)
    assert talk.listener.sounds == [True, False] and not talk.satellite.is_speaking


def test_no_byte_leaves_above_the_credit(talk):
    reply = talk.reply(Source([SPEECH]))
    asked = talk.device.accept(credit=5000)
    talk.device.expect(protocol.AUDIO_START)
    heard, _ = talk.read_audio(2 * 2048)
    assert talk.is_quiet()  # 904 bytes are left: too few for a piece that is not the last
    for grant in (200, 3200, 1):
        talk.device.send(protocol.CREDIT, {"id": asked["id"], "bytes": grant})
    more, _ = talk.read_audio(4304 - 1024)
    assert talk.is_quiet() and len(more) in range(3280, 4306)
    granted = len(heard) + len(more)
    while granted < len(SPEECH):
        talk.device.send(protocol.CREDIT, {"id": asked["id"], "bytes": 3200})
        new, has_ended = talk.read_audio(2048)
        granted += len(new)
        more += new
        if has_ended:
            break
    rest, has_ended = talk.read_audio(99999) if not has_ended else (b"", True)
    assert heard + more + rest == SPEECH and has_ended
    played(talk, asked)
    assert reply.result(PATIENCE_S).why == "end"


def test_what_is_longer_than_promised_is_cut_and_not_asked_for(talk):
    source = Source(pieces_of(SPEECH, 1600))
    talk.reply(source, length_ms=91)
    assert talk.device.accept()["length_ms"] == 100  # devices count in chunks of 10 ms
    talk.device.expect(protocol.AUDIO_START)
    assert talk.read_audio(9999) == (SPEECH[:3200], True)
    assert source.given == 3200 and source.is_closed


def test_a_refusal_is_the_answer(talk):
    for why in protocol.REFUSAL_REASONS:
        reply = talk.reply(Source([SPEECH]))
        asked = talk.device.expect(protocol.SPEAK).data
        talk.device.send(protocol.SPEAK_REFUSED, {"id": asked["id"], "why": why})
        with pytest.raises(SpeakRefused) as refusal:
            reply.result(PATIENCE_S)
        assert refusal.value.why == why and talk.is_quiet()
        assert talk.receiver.wait("speak-refused", why=why)


@pytest.mark.parametrize("why", ["button", "mute", "word", "late", "limit", "fault"])
def test_the_device_ends_it_early_and_gets_the_end_of_the_audio(talk, why):
    source = Source([SPEECH[:8000]], waits=True)
    reply = talk.reply(source)
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    talk.read_audio(6144)
    played(talk, asked, 30000, why)  # never longer than what was sent
    assert reply.result(PATIENCE_S) == Played(-(-reply_bytes(talk) // 32), why)
    assert source.is_closed


def reply_bytes(talk):
    heard, has_ended = talk.read_audio(99999)
    assert has_ended and talk.is_quiet()
    return 6144 + len(heard)


def test_an_assistant_ends_it(talk):
    source = Source([SPEECH[:4096]], waits=True)
    reply = talk.reply(source)
    waiting = talk.reply(Source([SPEECH]))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    talk.read_audio(4096)
    talk.receiver.call(talk.satellite.stop_speaking())
    assert talk.device.expect(protocol.SPEAK_STOP).data == {"id": asked["id"]}
    talk.device.expect(protocol.AUDIO_STOP)
    assert not reply.done()
    played(talk, asked, 90, "receiver")
    assert reply.result(PATIENCE_S) == Played(90, "receiver") and source.is_closed
    assert waiting.result(PATIENCE_S) == Played(0, "receiver")  # was never asked for
    assert talk.is_quiet()
    talk.receiver.call(talk.satellite.stop_speaking())  # nothing to stop: nothing is sent
    assert talk.is_quiet()


def test_whoever_gives_up_waiting_ends_it(talk):
    """Cancelled in mid-reply: the device is told, and the next sound waits until it is over."""
    reply = talk.reply(Source([SPEECH[:4096]], waits=True))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    talk.read_audio(4096)
    reply.cancel()
    assert talk.device.expect(protocol.SPEAK_STOP).data == {"id": asked["id"]}
    talk.device.expect(protocol.AUDIO_STOP)
    talk.reply(Source([SPEECH]))
    assert talk.is_quiet()
    played(talk, asked, 0, "receiver")
    assert talk.device.accept()["id"] != asked["id"]


def test_whoever_gives_up_after_the_audio_says_its_end_once(talk):
    reply = talk.reply(Source([SPEECH[:640]]))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    assert talk.read_audio(999) == (SPEECH[:640], True)
    reply.cancel()
    assert talk.device.expect(protocol.SPEAK_STOP).data == {"id": asked["id"]}
    assert talk.is_quiet()
    played(talk, asked, 20, "receiver")
    assert talk.receiver.wait("played")["why"] == "receiver"


def test_an_assistant_that_fails_in_mid_reply_ends_it_and_hears_of_it(talk):
    reply = talk.reply(Source([SPEECH[:5000]], failure=RuntimeError("no voice")))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    heard = bytearray()
    while (event := talk.device.next()).type == protocol.AUDIO_CHUNK:
        heard += event.payload
    assert bytes(heard) == SPEECH[:5000] and event.type == protocol.SPEAK_STOP
    talk.device.expect(protocol.AUDIO_STOP)
    played(talk, asked, 0, "receiver")
    with pytest.raises(RuntimeError, match="no voice"):
        reply.result(PATIENCE_S)


def test_an_empty_reply_is_none(talk):
    assert talk.reply(Source([])).result(PATIENCE_S) == Played(0, "end")
    assert talk.reply(Source([b"", b"x"])).result(PATIENCE_S) == Played(0, "end")
    with pytest.raises(RuntimeError):
        talk.reply(Source([], failure=RuntimeError())).result(PATIENCE_S)
    assert talk.is_quiet()


def test_a_reply_waits_until_the_device_has_ended_its_stream(talk):
    talk.device.consent()
    talk.device.send(protocol.AUDIO_START, FORM)
    talk.receiver.wait("stream-start")
    reply = talk.reply(Source([SPEECH[:640]]))
    assert talk.is_quiet()
    talk.receiver.call(end_stream(talk.satellite))
    talk.device.expect(protocol.STOP)
    assert talk.is_quiet()  # the device has yet to end it
    talk.device.send(protocol.AUDIO_STOP)
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    assert talk.read_audio(9999) == (SPEECH[:640], True)
    played(talk, asked, 20)
    assert reply.result(PATIENCE_S) == Played(20, "end")


async def end_stream(satellite):
    satellite.end_stream(STREAM)


def test_sounds_wait_for_their_turn_and_too_many_are_refused(talk):
    replies = [talk.reply(Source([SPEECH[:320]])) for _ in range(speaking.MAX_WAITING)]
    first = talk.device.accept()
    with pytest.raises(SpeakRefused, match="too-much-waits"):
        talk.reply(Source([SPEECH])).result(PATIENCE_S)
    ids = {first["id"]}
    for n, reply in enumerate(replies):
        asked = first if n == 0 else talk.device.accept()
        ids.add(asked["id"])
        talk.device.expect(protocol.AUDIO_START)
        assert talk.read_audio(999) == (SPEECH[:320], True)
        assert talk.is_quiet()
        played(talk, asked, 10)
        assert reply.result(PATIENCE_S) == Played(10, "end")
    assert len(ids) == len(replies)


@pytest.mark.parametrize("at", ["request", "credit", "end", "chime"])
def test_a_device_that_falls_silent_is_given_up(talk, at, monkeypatch):
    monkeypatch.setattr(speaking, "ANSWER_S", 0.3)
    monkeypatch.setattr(speaking, "CHIME_S", 0.3)
    source = Source([SPEECH if at == "credit" else SPEECH[:640]])
    if at == "chime":
        sound = talk.receiver.submit(talk.satellite.chime("timer"))
        asked = talk.device.expect(protocol.CHIME).data
        talk.device.send(protocol.SPEAK_ACCEPTED, {"id": asked["id"], "credit": 0})
    else:
        sound = talk.reply(source)
    if at in ("credit", "end"):
        talk.device.accept(credit=4096)
    with pytest.raises(ConnectionLost):
        sound.result(PATIENCE_S)
    talk.receiver.wait("disconnected", reason="silent within a sound")
    with pytest.raises(ConnectionLost):
        talk.receiver.call(talk.satellite.speak("reply", source(), stream=STREAM))


def test_a_slow_assistant_is_not_a_silent_device(talk, monkeypatch):
    monkeypatch.setattr(speaking, "ANSWER_S", 0.2)

    async def slowly():
        yield SPEECH[:100]
        await asyncio.sleep(0.6)
        yield SPEECH[100:2000]

    reply = talk.receiver.submit(talk.satellite.speak("reply", slowly(), stream=STREAM))
    asked = talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    assert talk.read_audio(9999) == (SPEECH[:2000], True)
    played(talk, asked, 62)
    assert reply.result(PATIENCE_S).why == "end"


def test_a_newer_connection_ends_the_reply_of_the_older_one(talk):
    source = Source([SPEECH], waits=True)
    reply = talk.reply(source)
    talk.device.accept()
    talk.device.expect(protocol.AUDIO_START)
    with Device(talk.receiver.port, talk.folder) as newer:
        newer.tell_status()
        with pytest.raises(ConnectionLost):
            reply.result(PATIENCE_S)
        assert source.is_closed
        talk.receiver.wait("disconnected", reason="replaced by a newer connection of the device")
        talk.receiver.wait("status", connection=2)
        talk.satellite = talk.listener.satellites[-1]
        talk.device = newer
        talk.reply(Source([SPEECH[:320]]))
        talk.device.accept()


def test_chimes_and_volume(talk):
    ring = talk.receiver.submit(talk.satellite.chime("timer"))
    asked = talk.device.expect(protocol.CHIME).data
    assert asked == {"id": asked["id"], "kind": "timer"}
    talk.device.send(protocol.SPEAK_ACCEPTED, {"id": asked["id"], "credit": 0})
    played(talk, asked, 4000, "button")
    assert ring.result(PATIENCE_S) == Played(4000, "button")
    talk.receiver.submit(talk.satellite.chime("error", stream=STREAM))
    assert talk.device.expect(protocol.CHIME).data["stream"] == STREAM
    talk.receiver.call(talk.satellite.set_volume(101))
    assert talk.device.expect(protocol.VOLUME).data == {"percent": 100}


def test_a_device_without_a_loudspeaker_is_asked_for_no_sound(talk):
    talk.device.tell_status(speaker=False)
    talk.receiver.wait("status", speaker=False)
    for asked in (
        talk.satellite.speak("announcement", Source([SPEECH])()),
        talk.satellite.chime("timer"),
    ):
        with pytest.raises(SpeakRefused, match="no-speaker"):
            talk.receiver.call(asked)
    assert talk.is_quiet()


def test_a_status_is_told_when_it_changed(talk):
    first = talk.satellite.status
    assert dataclasses.asdict(first) == {
        **STATUS,
        "words": ("okay_nabu",),
        "cutoffs": (850,),
    }
    talk.device.tell_status()
    talk.device.tell_status(muted=True, listening=False)
    assert talk.is_quiet()
    assert [status.muted for status in talk.listener.statuses] == [False, True]
    for n in range(12):
        talk.device.tell_status(volume=n)
    talk.receiver.wait("disconnected", reason="protocol: more than 12 status a minute")


def raw(type_, **data):
    """A message as a device would write it that does not mind what is documented."""
    body = json.dumps(data).encode()
    return json.dumps({"type": type_, "data_length": len(body)}).encode() + b"\n" + body


UNKNOWN = "0" * 15 + "f"
HOSTILE = {
    "credit above all": ([("credit", {"bytes": 32000})] * 2, "credit above 32000 bytes"),
    "a flood of credits": ([("credit", {"bytes": 100})] * 500, "credit above 32000 bytes"),
    "no credit at all": ([("credit", {"bytes": 0})], "credit: bytes is not as documented"),
    "negative credit": ([("credit", {"bytes": -2})], "credit: bytes is not as documented"),
    "credit as text": ([("credit", {"bytes": "2"})], "credit: bytes is not as documented"),
    "credit for another": (
        [("credit", {"id": UNKNOWN, "bytes": 2})],
        "credit of a sound that nobody asked for",
    ),
    "played for another": (
        [("played", {"id": UNKNOWN, "ms": 1, "why": "end"})],
        "played of a sound that nobody asked for",
    ),
    "played less than nothing": (
        [("played", {"ms": -1, "why": "end"})],
        "played: ms is not as documented",
    ),
    "played for ever": (
        [("played", {"ms": 30001, "why": "end"})],
        "played: ms is not as documented",
    ),
    "a reason of its own": (
        [("played", {"ms": 1, "why": "<b>"})],
        "played: why is not as documented",
    ),
    "accepted again": ([("speak-accepted", {"credit": 2})], "speak-accepted twice"),
    "refused after all": ([("speak-refused", {"why": "busy"})], "speak-refused twice"),
    "another id": ([("credit", {"id": "x" * 16, "bytes": 2})], "credit: id is not as documented"),
    "asks to speak": (
        [("speak", {"kind": "timer", "length_ms": 1})],
        "speak comes from receivers only",
    ),
    "a status of many words": (
        [("status", {**STATUS, "words": ["a"] * 110})],
        "data with more than 128 separators",
    ),
    "a long status": (
        [("status", {**STATUS, "x": "y" * 1000})],
        "status longer than 960 bytes",
    ),
    "a status of nothing": ([("status", {"speaker": True})], "status without muted"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_device_that_breaks_the_protocol_within_a_sound_is_given_up(talk, name):
    messages, words = HOSTILE[name]
    source = Source([SPEECH[:640]], waits=True)
    reply = talk.reply(source)
    asked = talk.device.accept(credit=2000)
    talk.device.socket.sendall(
        b"".join(raw(kind, **{"id": asked["id"], **data}) for kind, data in messages)
    )
    with pytest.raises(ConnectionLost):
        reply.result(PATIENCE_S)
    told = talk.receiver.wait("disconnected")["reason"]
    assert told.startswith("protocol: " + words), told
    assert source.is_closed and not talk.receiver.count("played")


def test_sounds_that_nobody_asked_for_end_an_idle_connection(talk):
    talk.device.socket.sendall(raw("played", id=UNKNOWN, ms=1, why="end"))
    reason = "protocol: played of a sound that nobody asked for"
    talk.receiver.wait("disconnected", reason=reason)


def test_every_device_hears_its_own_reply(tmp_path):
    """Three at once, each slow in its own way."""
    data, listener = tmp_path / "data", Listener()
    names = ("kitchen", "office", "hall")
    folders = [new_device(data, name) for name in names]
    replies, heard = [], {}
    with serving(data, listener) as receiver, ExitStack() as stack:
        devices = []
        for number, folder in enumerate(folders):
            devices.append(stack.enter_context(Device(receiver.port, folder)))
            devices[-1].tell_status()
            receiver.wait("status", connection=number + 1)
        for satellite in listener.satellites:
            mine = SPEECH[: 3000 * (1 + names.index(satellite.name))]
            source = Source(pieces_of(mine[::-1], 500))
            replies.append(receiver.submit(satellite.speak("reply", source(), stream=STREAM)))
        asked = [device.accept(credit=1500) for device in devices]
        for device in devices:
            device.expect(protocol.AUDIO_START)
        for name, device, request in zip(names, devices, asked, strict=True):
            heard[name] = b""
            while (event := device.next()).type == protocol.AUDIO_CHUNK:
                heard[name] += event.payload
                credit = {"id": request["id"], "bytes": len(event.payload)}
                device.send(protocol.CREDIT, credit)
            assert event.type == protocol.AUDIO_STOP
            device.send(protocol.PLAYED, {"id": request["id"], "ms": 1, "why": "end"})
        assert [reply.result(PATIENCE_S).why for reply in replies] == ["end"] * 3
    for number, name in enumerate(names, 1):
        assert heard[name] == SPEECH[: 3000 * number][::-1], name


class _Line:
    """A connection that only tells whether it was given up."""

    dropped = None

    def drop(self, reason):
        self.dropped = reason


def test_news_reaches_everybody_who_waits_for_it():
    async def wait():
        line = _Line()
        told = speaking.Speaking(line)
        facts = []

        async def tell():
            facts.append(True)
            told.changed()

        # In one turn of the loop: one begins to wait, its news comes, another begins to wait.
        first = asyncio.create_task(told._until(lambda: bool(facts), 0.5))
        asyncio.create_task(tell())
        second = asyncio.create_task(told._until(lambda: len(facts) > 1, 5.0))
        await asyncio.wait_for(first, 5.0)
        facts.append(True)
        told.changed()
        await second
        assert line.dropped is None

    asyncio.run(wait())
