"""Receivers that want to be heard without having been asked, over real TLS: no sound out of turn.

The device is the firmware's gate, speech, streamer and TLS driver in the real MicroPython, with a
loudspeaker that keeps what it was given.  It wakes once and streams; the receiver is a socket in
this process that misbehaves.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from firmware.satellite import protocol
from tests.simulation.test_hostile_receivers import ACCEPT, DEVICE, PONG, STREAM, line

SPEAKER = """
from satellite.chimes import Chime
from satellite.speaking import Speaking
from satellite.speech import Speech
from satellite.light import Light

class Speaker:
    late, buffer_ms = 0, 30
    def __init__(self):
        self.on, self.waiting, self.heard, self.starts = False, 0, bytearray(), 0
    def start(self):
        self.on, self.waiting = True, 0
        self.starts += 1
    def stop(self): self.on = False
    def is_on(self): return self.on
    def write(self, chunk):
        if self.waiting >= 3: return False
        self.waiting += 1
        self.heard.extend(chunk)
        return True

class LightDriver:
    has_colour = True
    def show(self, r, g, b): pass
    def is_ok(self): return True
"""
PATIENCE_MS = 10000
#: What `Speaking` needs of an app, of the test's owner.
APP = """
    both = mic = 0
    records = []
    def rest_microphone(self):
        self.mic = False
        return True
    def show(self, now_ms): return True
    def record(self, kind, **fields):
        self.records.append([kind, fields])
        return True
    def fault(self, what): self.parts.gate.fault()
    def changed(self): pass
    def remote_volume(self, percent): return self.speaking.set_volume(percent)
    def remote_refused(self, what): self.refused.append(what)
"""
LOOP = """
    speaker = parts.speaker = Speaker()
    parts.light = Light(LightDriver(), 64, True, speaker)
    owner.speaking = Speaking(owner, parts)
    task = asyncio.create_task(streamer.run())
    began, woken, chunk = time.ticks_ms(), False, b"\\x11\\x22" * 160
    owner.mic = True
    ended_ms = None  # the first connection
    while ended_ms is None or time.ticks_diff(time.ticks_ms(), ended_ms) < 300:
        now_ms = time.ticks_ms()
        if time.ticks_diff(now_ms, began) > run_ms:
            break
        if ended_ms is None and owner.ups and not streamer.is_connected:
            ended_ms = now_ms
        if not woken and streamer.is_connected and gate.state == IDLE:
            woken = gate.wake(1234) and gate.speech()
        speaker.waiting = max(0, speaker.waiting - 1)
        if speech.state:
            owner.speaking.turn(now_ms)
        if not gate.may_listen and speech.state:
            owner.speaking.silence()
        owner.mic = gate.may_listen and speech.may_listen and not speaker.on
        owner.both += owner.mic and speaker.on
        if owner.mic:
            gate.hear(chunk)
        streamer.notify(now_ms)
        await asyncio.sleep_ms(10)
    import binascii, hashlib
    print(json.dumps({
        "alive": not task.done(), "state": STATE_NAMES[gate.state], "refused": owner.refused,
        "ups": owner.ups, "sent": owner.sent_bytes, "records": owner.records,
        "heard": len(speaker.heard), "starts": speaker.starts, "both": owner.both,
        "sha256": binascii.hexlify(hashlib.sha256(speaker.heard).digest()).decode(),
        "is_zero": not any(speech.incoming.buffer), "speech": speech.state, "on": speaker.on,
        "volume": speech.volume, "gain": speech._gain, "reason": speech.reason}))

asyncio.run(main())
"""


def device(timers):
    """The device of test_hostile_receivers, with a loudspeaker; it ends with its connection."""
    source = DEVICE[: DEVICE.index("    task = asyncio.create_task")] + LOOP
    source = source.replace(", 1500\n", f", {PATIENCE_MS}\n")
    source = source.replace("class Clock:", SPEAKER + "\nclass Clock:")
    source = source.replace("    def remote_refused(self, what): self.refused.append(what)\n", APP)
    source = source.replace(
        "    counters, owner =",
        f"    speech = Speech(gate, Chime(), 60, 80, {timers}, False, 30)\n    counters, owner =",
    )
    source = source.replace("lambda: 1, BackOff())", "lambda: 1, BackOff(), speech)")
    return source.replace(
        "    parts.clock, parts",
        "    parts.gate, parts.speech = gate, speech\n    parts.clock, parts",
    )


ID, OTHER = "0" * 15 + "1", "0" * 15 + "2"
FORM = {"rate": 16000, "width": 2, "channels": 1}
SOUND = np.random.default_rng(4).integers(-32768, 32768, 4800, dtype="<i2").tobytes()


def speak(id=ID, kind="reply", length_ms=30000, **data):
    if kind == "reply":
        data.setdefault("stream", STREAM)
    return line("speak", {"id": id, "kind": kind, "length_ms": length_ms, **data})


def chunk(samples):
    return line("audio-chunk", FORM, payload_length=len(samples)) + samples


def audio(samples, size=2048):
    return b"".join(chunk(samples[at : at + size]) for at in range(0, len(samples), size))


START, END = line("audio-start", FORM), line("audio-stop")


class Talker:
    """One connection: answers pings, lets the device stream, then says what it is told, and hangs
    up at a message of the type `until`."""

    def __init__(self, *steps, until):
        self.steps = list(steps)  # (what to wait for in the device's words, what to say then)
        self.until = until
        self.events = []

    def __call__(self, connection, receiver):
        decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        while data := receiver.read(connection):
            for event in decoder.feed(data):
                self.events.append(event)
                if event.type == "ping":
                    connection.sendall(PONG)
                elif event.type == "consent":
                    connection.sendall(ACCEPT)
                elif event.type == "audio-chunk" and len(self.of("audio-chunk")) == 3:
                    connection.sendall(line("stop", {"stream": STREAM}))
                if self.steps and event.type == self.steps[0][0]:
                    connection.sendall(self.steps.pop(0)[1])
                elif not self.steps and event.type == self.until:
                    return

    def of(self, kind):
        return [event.data for event in self.events if event.type == kind]


@pytest.fixture
def run(run_micropython, tmp_path):
    """run(*steps) -> (what the device says, the talker)."""
    from host_tools.receiver import authority
    from tests.simulation.test_hostile_receivers import NAME, Receiver

    def run(*steps, until=None, timers=False):
        owner = authority.open_or_make(tmp_path / "owner")
        key, certificate = owner.sign_device()
        (tmp_path / "ca.cert.der").write_bytes(owner.certificate_der)
        (tmp_path / "device.cert.der").write_bytes(certificate)
        (tmp_path / "device.key.der").write_bytes(key)
        talker = Talker(*steps, until=until)
        receiver = Receiver(talker, owner.server_context(NAME)[0])
        try:
            out = run_micropython(device(timers), receiver.port, tmp_path, "secure")
        finally:
            receiver.listener.close()
        said = json.loads(out.splitlines()[-1])
        assert said["alive"] and said["both"] == 0
        said["connections"] = receiver.connections
        return said, talker

    return run


def scaled(samples, gain):
    values = np.frombuffer(samples, "<i2").astype(np.int64)
    return ((values * gain + (1 << 14)) >> 15).astype("<i2").tobytes()


def test_an_honest_reply_is_heard_sample_for_sample(run):
    said, talker = run(
        ("audio-stop", speak()), ("speak-accepted", START + audio(SOUND) + END), until="played"
    )
    assert talker.of("speak-accepted") == [{"id": ID, "credit": 32000}]
    assert talker.of("played") == [{"id": ID, "ms": 300, "why": "end"}]
    heard = scaled(SOUND, said["gain"]) + bytes(said["heard"] - len(SOUND))
    assert said["sha256"] == hashlib.sha256(heard).hexdigest() and said["heard"] >= len(SOUND)
    assert said["starts"] == 1 and said["refused"] == [] and said["is_zero"] and not said["on"]
    assert [kind for kind, _ in said["records"]] == ["speak-start", "speak-end"]


#: When to say it, what, and what the device records as refused.
BREACHES = {
    "audio that nobody accepted": ("pong-or-status", START + audio(SOUND), "audio-start"),
    "audio without its start": ("speak-accepted", audio(SOUND), "audio-chunk"),
    "audio before the answer": ("audio-chunk", START + audio(SOUND), "audio-start"),
    "two starts": ("speak-accepted", START + START, "audio-start"),
    "two ends": ("speak-accepted", START + audio(SOUND[:640]) + END + END, "audio-stop"),
    "audio after its end": ("speak-accepted", START + END + audio(SOUND[:640]), "audio-chunk"),
    "more than the credit": ("speak-accepted", START + audio(bytes(48000)), "audio-chunk"),
    "a payload above 2048": ("speak-accepted", START + chunk(bytes(2050)), "message"),
    "half a sample": ("speak-accepted", START + chunk(b"abc"), "message"),
    "a kind of its own": ("audio-stop", speak(kind="music"), "message"),
    "a sound without end": ("audio-stop", speak(length_ms=30001), "message"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_audio_out_of_turn_ends_the_connection(run, name):
    when, words, refused = BREACHES[name]
    steps = (
        [("audio-stop", speak()), (when, words)] if when == "speak-accepted" else [(when, words)]
    )
    if when == "pong-or-status":
        steps = [("ping", PONG + words)]
    said, talker = run(*steps)
    assert refused in said["refused"] and "message" in said["refused"], said["refused"]
    assert said["heard"] <= 9600 and said["is_zero"] and said["speech"] == 0 and not said["on"]


#: What is asked for after the device's stream, and why it is refused.
REQUESTS = {
    "an answer to a stream that never was": (speak(stream=OTHER), "stream"),
    "a timer": (speak(kind="timer"), "off"),
    "a chime for a timer": (line("chime", {"id": ID, "kind": "timer"}), "off"),
    "an announcement": (speak(kind="announcement"), "off"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_nobody_asked_for_is_refused_recorded_and_not_heard(run, name):
    words, why = REQUESTS[name]
    said, talker = run(("audio-stop", words), until="speak-refused")
    assert talker.of("speak-refused") == [{"id": ID, "why": why}]
    assert len(said["refused"]) == 1 and said["refused"][0] in ("speak", "chime")
    assert said["heard"] == said["starts"] == 0


def test_a_stream_is_answered_once(run):
    said, talker = run(
        ("audio-stop", speak() + line("speak-stop", {"id": ID})),
        ("played", speak(OTHER)),
        until="speak-refused",
    )
    assert talker.of("played") == [{"id": ID, "ms": 0, "why": "receiver"}]
    assert talker.of("speak-refused") == [{"id": OTHER, "why": "stream"}]
    assert said["refused"] == ["speak"] and said["heard"] == 0


def test_while_it_speaks_nothing_makes_it_listen(run):
    asks = ("unmute", "listen", "run-pipeline", "start-conversation", "word")
    said, talker = run(
        ("audio-stop", speak()),
        ("speak-accepted", START + audio(SOUND) + b"".join(map(line, asks)) + END),
        until="played",
    )
    assert said["refused"] == list(asks) and said["both"] == 0
    assert talker.of("played") == [{"id": ID, "ms": 300, "why": "end"}]


def test_a_mute_silences_a_reply_and_refuses_the_next(run):
    said, talker = run(
        ("audio-stop", speak()),
        ("speak-accepted", START + audio(SOUND) + line("mute") + END),
        ("played", speak(OTHER)),
        until="speak-refused",
    )
    [played] = talker.of("played")
    assert played["why"] == "mute" and played["ms"] < 300 and said["heard"] < 9600
    assert talker.of("speak-refused") == [{"id": OTHER, "why": "muted"}]
    assert said["state"] == "MUTED" and said["is_zero"] and not said["on"]


def test_a_flood_of_requests_ends_the_connection(run):
    words = speak(stream=OTHER)
    said, talker = run(("audio-stop", words * 120))
    assert "message" in said["refused"] and said["heard"] == 0
    assert len(talker.of("speak-refused")) <= 8192 // len(words)


def test_the_network_gets_no_louder_than_its_owner_allows(run):
    said, talker = run(
        ("audio-stop", line("volume", {"percent": 100}) + line("ping")), until="pong"
    )
    assert (
        said["volume"] == 80
        and ["volume", {"percent": 80, "source": "network"}] in said["records"]
    )


def test_when_the_receiver_goes_away_nothing_of_its_sound_is_left(run):
    said, talker = run(
        ("audio-stop", speak()), ("speak-accepted", START + audio(SOUND)), until="credit"
    )
    assert said["is_zero"] and said["speech"] == 0 and not said["on"] and said["heard"] <= 9600
    assert said["records"][-1][0] == "speak-end" and said["records"][-1][1]["reason"] == "network"
