"""The receiver's messages about sound through the real streamer: credit, order, limits, status.

The peer is that of test_streamer; the test plays the app.
"""

from satellite import protocol
from satellite.chimes import Chime
from satellite.config import Config
from satellite.device_status import DeviceStatus
from satellite.gate import END_OF_SPEECH, IDLE, STREAMING
from satellite.incoming import MAX_BURST_BYTES, MAX_IGNORED
from satellite.sound_messages import DROP_MS
from satellite.speech import ASKED, DRAINING, REST_MS, SILENT, SPEAKING, Speech
from test_streamer import Bench as Quiet
from test_streamer import Peer

FORM = {"rate": 16000, "width": 2, "channels": 1}
ID = "1234567890abcdef"
STREAM = 99
LOUD = b"\x00\x40" * 512  # 1024 bytes


class Bench(Quiet):
    """Also with speech; each turn the loudspeaker plays 10 ms, once it was started."""

    def __init__(self, peers, speaker=True, **settings):
        Quiet.__init__(self, peers)
        config = {"timers": True, "announcements": True}
        config.update(settings)
        self.speech = Speech(self.gate, Chime() if speaker else None, **config)
        streamer = self.streamer
        self.streamer = type(streamer)(
            self.connect,
            self.gate,
            self,
            {"keep_recordings": True, "share_for_training": False, "preroll_ms": 0},
            self.diagnostics,
            lambda: 500,
            streamer._back_off,
            self.speech,
        )
        self.streamer.owner = self
        self.streamer.log = self
        self.streamer.status = DeviceStatus(Config(config), self.gate, self.speech, self)
        self.room = self.room_for_streams = True
        self.volumes = []
        self.heard = []
        self.out = bytearray(320)

    # the audit log
    seq = -1
    hash = "0" * 64

    def has_room(self, now_ms):
        return self.room

    # the sensitivity
    def cutoffs(self):
        return [848]

    def may_stream(self, now_ms):
        return self.room_for_streams

    def remote_volume(self, percent):
        self.volumes.append(percent)
        return percent != 13

    async def turns(self, count):
        speech = self.speech
        for _ in range(count):
            speech.start(self.now)
            if speech.take(self.out):
                self.heard.append(bytes(self.out))
            elif speech.state == DRAINING:
                speech.rest(self.now)
            await Quiet.turns(self, 1)

    def end_stream(self, stream=STREAM):
        """A stream that was sent and ended well."""
        gate = self.gate
        gate.wake(stream)
        gate.hear(bytes(320))
        gate.speech()
        gate.acknowledge(stream)
        gate.take(bytearray(320))
        gate.close_input(END_OF_SPEECH)
        gate.drained()
        assert gate.state == IDLE
        self.speech.rules.note_stream(self.now)


class Talking(Peer):
    """A receiver that speaks."""

    def speak(self, kind="reply", stream=STREAM, id=ID):
        data = {"id": id, "kind": kind, "length_ms": 30000}
        if kind == "reply":
            data["stream"] = "%016x" % stream
        self.say(protocol.SPEAK, data)

    def audio(self, count, size=1024):
        for _ in range(count):
            self.take(protocol.encode(protocol.AUDIO_CHUNK, FORM, (LOUD * 3)[:size]))

    def of(self, kind):
        return [event.data for event in self.events if event.type == kind]


def test_a_reply_from_the_request_to_the_last_sample():
    peer = Talking()
    bench = Bench([peer])

    def send():
        peer.say(protocol.AUDIO_START, FORM)
        peer.audio(31)  # 31,744 of 32,000 bytes
        peer.say(protocol.AUDIO_STOP)

    bench.play(2, bench.end_stream, peer.speak, 10, send, 160 + REST_MS // 10)
    assert peer.of("speak-accepted") == [{"id": ID, "credit": 32000}]
    assert peer.of("played") == [{"id": ID, "ms": 1000, "why": "end"}]
    assert peer.of("credit") == [], "all of it had come"
    assert len(bench.heard) == 100 and bench.speech.state == SILENT
    assert b"".join(bench.heard)[:2] != b"\0\0" and bench.refused == []
    assert len(bench.attempts) == 1


class Fast(Talking):
    """A receiver that answers before the device has written what follows the stream's end."""

    def write(self, data):
        before = len(self.of(protocol.AUDIO_STOP))
        Talking.write(self, data)
        if len(self.of(protocol.AUDIO_STOP)) > before:
            self.speak()

    async def drain(self):
        for _ in range(20 if self.of(protocol.AUDIO_STOP) else 1):  # reading goes on meanwhile
            await Talking.drain(self)


def test_a_reply_that_is_there_at_once_is_accepted():
    peer = Fast()
    bench = Bench([peer])

    def wake():
        bench.gate.wake(STREAM)
        bench.gate.speech()

    bench.play(8, wake, 12, lambda: bench.gate.close_input(END_OF_SPEECH), 12)
    assert peer.of("speak-refused") == [] and bench.refused == [], bench.refused
    assert peer.of("speak-accepted") == [{"id": ID, "credit": 32000}], peer.kinds()
    assert bench.gate.state == IDLE and bench.speech.state == ASKED


def test_credit_comes_every_100_ms_and_a_long_reply_is_let_through():
    peer = Talking()
    bench = Bench([peer])
    sent = [0]

    def send():
        """As much as the credit allows, in chunks of 2048 bytes."""
        allowed = 32000 + sum([data["bytes"] for data in peer.of("credit")])
        while sent[0] + 2048 <= allowed:
            peer.audio(1, 2048)
            sent[0] += 2048

    def begin():
        peer.say(protocol.AUDIO_START, FORM)

    steps = []
    for _ in range(45):
        steps += [send, 11]
    bench.play(2, bench.end_stream, peer.speak, 10, begin, *steps)
    credits = [data["bytes"] for data in peer.of("credit")]
    assert len(credits) >= 40 and set(credits) == {3200}, credits
    assert sent[0] > 4 * MAX_BURST_BYTES and len(bench.attempts) == 1, sent
    assert bench.speech.state == SPEAKING and bench.speech.late_ms == 0


def test_audio_beyond_the_credit_ends_the_connection():
    for more in (0, 2):
        peer = Talking()
        bench = Bench([peer, Talking()])

        def send(peer=peer, more=more):
            peer.say(protocol.AUDIO_START, FORM)
            peer.audio(31)
            peer.audio(1, 32000 - 31 * 1024 + more)

        # Nothing is started, so that nothing is given out again.
        bench.speech.start = lambda now_ms: False
        bench.play(2, bench.end_stream, peer.speak, 10, send, 280)
        assert len(bench.attempts) == (2 if more else 1), more
        assert bench.refused == (["speak"] * 0 + ["audio-chunk", "message"] if more else [])
        assert bench.speech.state == (SILENT if more else ASKED)
        assert any(bench.speech.incoming.buffer) == (not more)


def test_audio_that_nobody_accepted_ends_the_connection_and_none_is_read():
    for kind, payload in (("audio-start", b""), ("audio-chunk", LOUD), ("audio-stop", b"")):
        peer = Talking()
        bench = Bench([peer, Talking()])

        def send(peer=peer, kind=kind, payload=payload):
            data = None if kind == "audio-stop" else FORM
            peer.take(protocol.encode(kind, data, payload))

        bench.play(3, send, 260)
        assert len(bench.attempts) == 2, kind
        # A payload is refused in its header, before a byte of it was kept.
        assert bench.refused == (["message"] if payload else [kind, "message"]), bench.refused
        assert not any(bench.speech.incoming.buffer)


def test_a_chunk_at_the_limit_and_past_it():
    for size, is_taken in ((2048, True), (2050, False)):
        peer = Talking()
        bench = Bench([peer, Talking()])

        def send(peer=peer, size=size):
            peer.say(protocol.AUDIO_START, FORM)
            peer.audio(1, size)

        bench.play(2, bench.end_stream, peer.speak, 10, send, 260)
        assert (len(bench.attempts) == 1) == is_taken, size
        assert (bench.speech.incoming.count == size) == is_taken


def test_what_is_refused_is_answered_recorded_and_counted():
    peer = Talking()
    bench = Bench([peer])

    def full():
        bench.room = bench.room_for_streams = False
        peer.speak(id="f" * 16)

    bench.play(2, peer.speak, 5, bench.gate.mute, peer.speak, 5, full, 5)
    whys = [data["why"] for data in peer.of("speak-refused")]
    assert whys == ["stream", "muted", "log"] and bench.refused == ["speak"] * 3
    peer = Talking()
    bench = Bench([peer], speaker=False)
    bench.play(2, peer.speak, 5, lambda: peer.speak("timer"), 5)
    assert [data["why"] for data in peer.of("speak-refused")] == ["no-speaker"] * 2
    peer = Talking()
    bench = Bench([peer, Talking()])
    asks = [3]
    for _ in range(MAX_IGNORED + 1):
        asks += [peer.speak, 12]
    bench.play(*asks, 250)
    assert len(bench.attempts) == 2 and bench.refused.count("speak") == MAX_IGNORED + 1


def test_who_may_speak_to_the_device_is_answered():
    """An answer has its place in the log with its stream; what the network begins has less."""
    peer = Talking()
    bench = Bench([peer])
    bench.room = False
    bench.play(2, bench.end_stream, lambda: peer.speak("timer"), 5, peer.speak, 5)
    assert [data["why"] for data in peer.of("speak-refused")] == ["log"]
    assert len(peer.of("speak-accepted")) == 1 and bench.speech.kind == "reply"


def test_what_the_network_may_not_ask_is_refused():
    for kind in ("word", "start-conversation", "continue-conversation", "unmute"):
        peer = Talking()
        bench = Bench([peer])
        bench.play(
            3, lambda peer=peer, kind=kind: peer.take(b'{"type":"%s"}\n' % kind.encode()), 5
        )
        assert bench.refused == [kind], bench.refused
        assert bench.speech.state == SILENT and bench.gate.state == IDLE


def test_a_sound_is_stopped_by_its_name_and_by_the_end_of_the_connection():
    peer = Talking()
    bench = Bench([peer])

    def send():
        peer.say(protocol.AUDIO_START, FORM)
        peer.audio(20)

    def stop(id):
        return lambda: peer.say(protocol.SPEAK_STOP, {"id": id})

    bench.play(
        2,
        bench.end_stream,
        peer.speak,
        10,
        send,
        40,
        stop("0" * 16),
        5,
        stop(ID),
        10 + REST_MS // 10,
    )
    (played,) = peer.of("played")
    assert played["why"] == "receiver" and 300 <= played["ms"] <= 500, played
    assert not any(bench.speech.incoming.buffer)
    peer = Talking()
    bench = Bench([peer])
    bench.play(2, bench.end_stream, peer.speak, 10, send, 40, peer.close, 10 + REST_MS // 10)
    assert peer.of("played") == [] and bench.speech.reason == "network"
    assert not any(bench.speech.incoming.buffer) and bench.speech.state == SILENT


def test_audio_on_its_way_when_a_person_ended_the_sound_is_dropped():
    peer = Talking()
    bench = Bench([peer, Talking()])

    def send():
        peer.say(protocol.AUDIO_START, FORM)
        peer.audio(10)

    def on_its_way():
        peer.audio(10)

    def finish():
        peer.say(protocol.AUDIO_STOP)

    bench.play(
        2,
        bench.end_stream,
        peer.speak,
        10,
        send,
        30,
        lambda: bench.speech.stop("button"),
        5,
        on_its_way,
        60,
        lambda: bench.end_stream(5),
        lambda: peer.speak(stream=5),
        5,
        finish,
        5,
        lambda: peer.speak(stream=5),
        5,
    )
    assert [data["why"] for data in peer.of("played")] == ["button"]
    assert [data["why"] for data in peer.of("speak-refused")] == ["busy"]
    assert len(peer.of("speak-accepted")) == 2 and len(bench.attempts) == 1
    assert not any(bench.speech.incoming.buffer)
    # A receiver that never says that it has ended is not listened to for ever.
    peer = Talking()
    bench = Bench([peer, Talking()])
    bench.play(
        *(2, bench.end_stream, peer.speak, 10, send, 30, lambda: bench.speech.stop("button"), 5),
        *(lambda: peer.audio(1), 5 + DROP_MS // 10, lambda: peer.audio(1), 260),
    )
    assert len(bench.attempts) == 2


def test_a_chime_needs_no_audio():
    peer = Talking()
    bench = Bench([peer])

    def chime(kind, stream=None):
        data = {"id": ID, "kind": kind}
        if stream is not None:
            data["stream"] = "%016x" % stream
        return lambda: peer.say(protocol.CHIME, data)

    bench.play(2, bench.end_stream, chime("error", STREAM), 80 + REST_MS // 10, chime("timer"), 20)
    assert peer.of("speak-accepted") == [{"id": ID, "credit": 0}] * 2
    assert peer.of("played") == [{"id": ID, "ms": 480, "why": "end"}]
    assert bench.speech.is_ringing


def test_the_volume_is_the_owners_to_decide():
    peer = Talking()
    bench = Bench([peer])

    def volume(percent):
        return lambda: peer.say(protocol.VOLUME, {"percent": percent})

    bench.play(3, volume(40), 3, volume(13), 3)
    assert bench.volumes == [40, 13] and bench.refused == ["volume"]


def test_the_name_of_the_wake_word_is_told_before_the_audio():
    peer = Talking()
    bench = Bench([peer])

    def wake():
        bench.streamer.word = "hey_jarvis"
        bench.wake(7)

    bench.play(3, wake, 10)
    kinds = [kind for kind in peer.kinds() if kind not in ("ping", "status")]
    assert kinds[:4] == ["consent", "detection", "audio-start", "audio-chunk"], kinds
    assert peer.of("detection") == [{"name": "hey_jarvis"}], "no probability"
    assert kinds.count("detection") == 1


def test_the_status_comes_once_and_when_it_changes():
    peer = Talking()
    bench = Bench([peer])

    def mute():
        peer.say(protocol.MUTE)

    bench.play(10, mute, 10, bench.streamer.changed, 300)
    told = peer.of("status")
    assert [(data["muted"], data["listening"]) for data in told] == [(False, True), (True, False)]
    assert told[0]["words"] == ["okay_nabu"] and told[0]["speaker"] is True
    assert "off_by" not in told[0] and told[1]["off_by"] == "network"
    assert told[0]["cutoffs"] == told[1]["cutoffs"] == [848]
    fields = [name.replace("?", "") for name in protocol._MESSAGES[protocol.STATUS][1]]
    assert set(told[0]) <= set(fields)


def test_the_status_comes_at_most_six_times_a_minute():
    peer = Talking()
    bench = Bench([peer])
    steps = []
    for i in range(120):

        def change(i=i):
            bench.speech.set_volume(i % 2 + 1)
            bench.streamer.changed()

        steps += [change, 50]
    bench.play(5, *steps)
    assert 3 <= len(peer.of("status")) <= 6, len(peer.of("status"))


def test_nothing_is_told_of_a_stream_or_during_a_sound():
    peer = Talking()
    bench = Bench([peer])

    def hold():
        bench.gate.wake(3)
        bench.speech.set_volume(1)
        bench.streamer.changed()

    bench.play(10, hold, 20)
    assert bench.gate.state == STREAMING and len(peer.of("status")) == 1
    peer = Talking()
    bench = Bench([peer])

    def ring():
        peer.say(protocol.CHIME, {"id": ID, "kind": "timer"})

    def change():
        bench.speech.set_volume(1)
        bench.streamer.changed()

    bench.play(10, ring, 20, change, 50)
    assert bench.speech.state and len(peer.of("status")) == 1
