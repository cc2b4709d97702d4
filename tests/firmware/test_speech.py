"""What may sound, when, for how long and how loud; nothing of it is left when it ends."""

import micropython
from satellite.audit_record import SPEAK_ENDS, SPOKEN
from satellite.chimes import Chime
from satellite.gate import END_OF_SPEECH, MUTE, NETWORK, RECEIVER, Gate
from satellite.speech import (
    ASKED,
    BEGIN_BYTES,
    BEGIN_MS,
    DRAINING,
    LATE_MS,
    MAX_MS,
    PAUSE_MS,
    REST_MS,
    RING_BYTES,
    SILENT,
    SPEAKING,
    Speech,
)
from satellite.speech_rules import ANSWER_MS, HOUR_MS, MAX_ANNOUNCEMENTS
from satellite.volume import gain_of, scale

STREAM = 0x0123456789ABCDEF
LOUD = b"\x00\x40" * 160


class Bench:
    """A gate that has just ended a stream, and its speech."""

    def __init__(self, chime=True, **settings):
        self.gate = Gate()
        self.gate.ready(False)
        self.now_ms = 1000
        self.out = bytearray(320)
        settings.setdefault("timers", True)
        settings.setdefault("announcements", True)
        self.speech = Speech(self.gate, Chime() if chime else None, **settings)
        self.end_stream()

    def end_stream(self, stream=STREAM, reason=END_OF_SPEECH, has_sent=True):
        """A whole stream, from the wake word to its end."""
        gate = self.gate
        gate.wake(stream)
        gate.hear(LOUD)
        gate.speech()
        if has_sent:
            gate.acknowledge(stream)
            while gate.take(self.out):
                pass
        if reason == END_OF_SPEECH:
            gate.close_input(reason)
            gate.drained()
        else:
            gate.abort(reason)
        self.speech.rules.note_stream(self.now_ms)

    def ask(self, kind="reply", stream=STREAM, length_ms=MAX_MS, is_chime=False):
        stream = stream if kind in ("reply", "error") else None
        return self.speech.ask("a" * 16, kind, stream, length_ms, self.now_ms, is_chime)

    def send(self, count_ms, is_all=True):
        """Audio under the credit that there is, and its end."""
        speech = self.speech
        assert speech.begin_audio()
        for _ in range(count_ms // 10):
            assert speech.put(LOUD)
        if is_all:
            assert speech.end_audio()

    def play(self):
        """Take all that there is; how many chunks."""
        count = 0
        while self.speech.take(self.out):
            count += 1
        return count

    def rest(self):
        self.speech.rest(self.now_ms)
        self.now_ms += REST_MS
        self.speech.rest(self.now_ms)


def speaking(ms=300, **settings):
    bench = Bench(**settings)
    assert bench.ask() is None
    bench.send(ms)
    assert bench.speech.start(bench.now_ms)
    return bench


def test_the_numbers_that_docs_and_privacy_promise():
    from drivers.debounce import HOLD_MS

    assert (ANSWER_MS, MAX_MS, REST_MS, PAUSE_MS) == (60000, 30000, 200, 2000)
    assert (MAX_ANNOUNCEMENTS, HOUR_MS, RING_BYTES, HOLD_MS) == (10, 3600000, 32000, 800)


def test_an_answer_is_played_as_it_came_at_the_volume_set():
    bench = speaking(50, volume=50, buffer_ms=30)
    speech = bench.speech
    want = bytearray(LOUD)
    scale(want, 320, gain_of(50))
    for _ in range(5):
        assert speech.take(bench.out) == 320 and bench.out == want
    for left in (2, 1, 0):  # silence, which pushes out what the driver holds
        assert speech.take(bench.out) == 320 and not any(bench.out)
        assert speech.state == DRAINING and speech.may_sound == (left > 0)
    assert speech.take(bench.out) == 0 and not speech.may_sound and not speech.may_listen
    speech.rest(bench.now_ms)
    speech.rest(bench.now_ms + REST_MS - 1)
    assert speech.state == DRAINING
    speech.rest(bench.now_ms + REST_MS)
    assert speech.state == SILENT and speech.may_listen
    assert speech.has_news and speech.over() == ("a" * 16, 50, "end")
    assert speech.over() is None and not speech.has_news


def test_a_stream_is_answered_once():
    bench = Bench()
    assert bench.ask(stream=STREAM + 1) == "stream"
    assert bench.ask() is None
    assert bench.ask() == "busy"
    bench.speech.stop("button")
    assert bench.ask() == "busy", "the receiver has yet to be told of the last"
    bench.speech.over()
    assert bench.ask() == "stream" and bench.speech.refused == 4
    bench.end_stream(STREAM + 2)
    assert bench.ask("error", STREAM + 2, is_chime=True) is None


def test_a_stream_may_be_answered_for_a_minute():
    for ms, why in ((ANSWER_MS - 1, None), (ANSWER_MS, "stream")):
        bench = Bench()
        bench.now_ms += ms
        assert bench.ask() == why, ms


def test_what_did_not_end_well_is_not_answered():
    for reason, has_sent, why in (
        (RECEIVER, True, None),
        (NETWORK, True, "stream"),
        (MUTE, True, "stream"),
        (RECEIVER, False, "stream"),
    ):
        bench = Bench()
        bench.end_stream(STREAM + 3, reason, has_sent)
        if not has_sent:
            assert bench.gate.sent_bytes == 0
        assert bench.ask(stream=STREAM + 3) == why, reason


def test_a_mute_or_a_fault_in_between_takes_the_answer_away():
    for close in ("mute", "switch", "fault", "connection"):
        bench = Bench()
        gate = bench.gate
        if close == "mute":
            gate.mute()
            assert bench.ask() == "muted"
            gate.unmute()
        elif close == "switch":
            gate.switch(True)
            assert bench.ask() == "muted"
            gate.switch(False)
        elif close == "fault":
            gate.fault()
            assert bench.ask() == "fault"
            gate.ready(False)
        else:
            bench.speech.disconnected()
        assert bench.ask() == "stream", close


def test_without_a_loudspeaker_everything_is_refused():
    bench = Bench(chime=False)
    for kind in ("reply", "timer", "announcement"):
        assert bench.ask(kind) == "no-speaker"
    assert not bench.speech.complain(bench.now_ms) and bench.speech.state == SILENT
    assert not bench.speech.takes_audio and bench.speech.refused == 3


def test_timers_and_announcements_only_where_the_owner_allows_them():
    for kind in ("timer", "announcement"):
        bench = Bench(timers=kind != "timer", announcements=kind != "announcement")
        assert bench.ask(kind) == "off"
        assert Bench().ask(kind) is None


def test_ten_announcements_an_hour():
    bench = Bench()
    speech = bench.speech
    for i in range(MAX_ANNOUNCEMENTS):
        assert bench.ask("announcement") is None, i
        speech.stop("button")
        speech.over()
        bench.now_ms += 1
    assert bench.ask("announcement") == "often"
    assert bench.ask("timer") is None
    speech.stop("button")
    speech.over()
    bench.now_ms = 1000 + HOUR_MS - 1
    assert bench.ask("announcement") == "often"
    bench.now_ms += 1
    assert bench.ask("announcement") is None


def test_nobody_learns_of_a_held_stream_and_a_running_one_is_not_disturbed():
    bench = Bench()
    bench.gate.wake(STREAM + 5)
    assert bench.ask("timer") is None and not bench.speech.may_start(bench.now_ms)
    bench.speech.stop("word")
    bench.speech.over()
    bench.gate.speech()
    assert bench.ask("timer") == "busy"


def test_it_begins_when_enough_has_come_or_all_of_it():
    bench = Bench()
    assert bench.ask() is None and bench.speech.begin_audio()
    bench.speech.put(bytes(BEGIN_BYTES - 2))
    assert not bench.speech.start(bench.now_ms) and bench.speech.state == ASKED
    bench.speech.put(bytes(2))
    assert bench.speech.start(bench.now_ms) and bench.speech.state == SPEAKING
    bench = Bench()
    assert bench.ask() is None
    bench.send(0)
    assert bench.speech.start(bench.now_ms) and bench.play() == 0
    assert bench.speech.state == DRAINING and bench.speech.reason == "end"


def test_audio_at_the_credit_and_past_it():
    for more, is_allowed in ((0, True), (2, False)):
        bench = Bench()
        assert bench.ask() is None and bench.speech.begin_audio()
        for _ in range(RING_BYTES // 2000):
            assert bench.speech.put(bytes(2000))
        assert more == 0 or bench.speech.put(bytes(more)) == is_allowed
    # What was taken may be sent again, in pieces of 100 ms.
    speech = bench.speech
    assert speech.start(bench.now_ms)
    for i in range(10):
        assert not speech.has_news, i
        assert speech.take(bench.out)
    assert speech.has_news and speech.credit() == 3200 and not speech.has_news
    assert speech.put(bytes(3200)) and not speech.put(bytes(2))


def test_audio_out_of_order():
    bench = Bench()
    speech = bench.speech
    assert not speech.begin_audio() and not speech.put(LOUD) and not speech.end_audio()
    assert bench.ask() is None
    assert not speech.put(LOUD) and not speech.end_audio()
    assert speech.begin_audio() and not speech.begin_audio()
    assert speech.put(LOUD) and speech.end_audio()
    assert not speech.put(LOUD) and not speech.end_audio() and not speech.begin_audio()
    assert bench.speech.start(bench.now_ms) and bench.play() == 1
    bench.rest()
    assert not speech.begin_audio(), "it is over"
    bench = Bench()
    assert bench.ask("timer", is_chime=True) is None
    assert not bench.speech.begin_audio(), "a chime takes no audio"


def test_what_was_on_its_way_when_it_ended_is_dropped():
    bench = Bench()
    speech = bench.speech
    assert bench.ask() is None
    bench.send(300, is_all=False)
    assert speech.start(bench.now_ms)
    assert speech.stop("button") and not speech.stop("mute"), "the first reason stays"
    bench.rest()
    assert speech.state == SILENT and speech.over() == ("a" * 16, 0, "button")
    assert speech.put(LOUD) and speech.takes_audio and not any(speech.incoming.buffer)
    bench.end_stream(STREAM + 6)
    assert bench.ask(stream=STREAM + 6) == "busy", "audio-stop has not come"
    assert speech.end_audio() and not speech.takes_audio and not speech.put(LOUD)
    assert bench.ask(stream=STREAM + 6) is None


def test_late_audio_is_silence_and_too_late_is_the_end():
    bench = Bench()
    speech = bench.speech
    assert bench.ask() is None
    bench.send(200, is_all=False)
    assert speech.start(bench.now_ms)
    for _ in range(20):
        assert speech.take(bench.out) and any(bench.out)
    for _ in range(50):
        assert speech.take(bench.out) and not any(bench.out)
    assert speech.put(LOUD) and speech.take(bench.out) and any(bench.out)
    assert speech.late_ms == 500 and speech.played_ms == 210
    for _ in range(LATE_MS // 10):
        assert speech.take(bench.out) and not any(bench.out)
    assert not speech.take(bench.out) and speech.reason == "late" and not speech.may_sound
    # Before it began it may be late as well.
    bench = Bench()
    assert bench.ask() is None
    assert not bench.speech.is_late(bench.now_ms + BEGIN_MS - 1)
    assert bench.speech.is_late(bench.now_ms + BEGIN_MS)


def test_no_sound_is_longer_than_it_said_nor_than_half_a_minute():
    for length_ms, sent_ms, reason, played_ms in (
        (100, 100, "end", 100),
        (100, 110, "limit", 100),
        (MAX_MS, 31000, "limit", MAX_MS),
    ):
        bench = Bench()
        speech = bench.speech
        assert bench.ask(length_ms=length_ms) is None and speech.begin_audio()
        left = sent_ms
        while left and speech.put(LOUD):
            left -= 10
        if not left:
            speech.end_audio()
        assert speech.start(bench.now_ms)
        while speech.take(bench.out):
            if speech.has_news:
                speech.credit()
            while left and speech.put(LOUD):
                left -= 10
        assert (speech.reason, speech.played_ms) == (reason, played_ms), length_ms
        assert not any(speech.incoming.buffer)


def test_a_timer_rings_and_listens_in_turn_for_half_a_minute_of_ringing():
    bench = Bench(buffer_ms=20)
    speech = bench.speech
    assert bench.ask("timer", is_chime=True) is None and speech.is_ringing
    rounds = 0
    while speech.state != SILENT:
        assert speech.start(bench.now_ms)
        rounds += 1
        bench.play()
        assert speech.state == DRAINING and not any(bench.out[:0])
        bench.rest()
        if speech.state == ASKED:
            assert speech.is_ringing and speech.may_listen
            assert not speech.may_start(bench.now_ms + PAUSE_MS - 1)
            bench.now_ms += PAUSE_MS
    assert rounds == 22 and speech.over() == ("a" * 16, MAX_MS, "limit")
    # Somebody speaks in a pause: it does not ring on.
    bench = Bench()
    assert bench.ask("timer", is_chime=True) is None
    bench.speech.start(bench.now_ms)
    bench.play()
    bench.rest()
    bench.gate.wake(STREAM + 7)
    assert not bench.speech.start(bench.now_ms + PAUSE_MS)
    bench.gate.abort(NETWORK)
    assert bench.speech.start(bench.now_ms + PAUSE_MS)


def test_everything_that_closes_silences_at_once_and_leaves_nothing():
    for close in ("mute", "switch", "fault", "stop", "connection", "mute and unmute"):
        bench = speaking(300)
        speech = bench.speech
        assert speech.take(bench.out) and any(speech.incoming.buffer)
        if close == "mute":
            bench.gate.mute()
        elif close == "switch":
            bench.gate.switch(True)
        elif close == "fault":
            bench.gate.fault()
        elif close == "mute and unmute":
            bench.gate.mute()
            bench.gate.unmute()
        elif close == "stop":
            speech.stop("receiver")
        else:
            speech.disconnected()
        assert not speech.may_sound and not speech.take(bench.out), close
        assert close in ("stop", "connection") or speech.is_shut
        speech.stop("mute")
        assert not any(speech.incoming.buffer) and speech.state == DRAINING, close


def test_the_volume_is_never_above_what_the_owner_allows():
    speech = Bench(volume=90, volume_max=70).speech
    assert speech.volume == 70
    for percent, want in ((100, 70), (70, 70), (69, 69), (0, 0), (71, 70)):
        assert speech.set_volume(percent) == want and speech.volume == want
    speech = Bench(volume=100, volume_max=0).speech
    assert speech.volume == 0
    bench = speaking(300, volume_max=0)
    assert bench.speech.take(bench.out) and not any(bench.out)


def test_the_device_says_itself_that_nobody_answered():
    bench = Bench()
    speech = bench.speech
    assert speech.complain(bench.now_ms) and speech.state == ASKED and speech.id is None
    speech.disconnected()
    assert speech.start(bench.now_ms), "the connection was given up; the chime is the device's own"
    assert speech.take(bench.out) and any(bench.out)
    bench.play()
    bench.rest()
    assert speech.state == SILENT and speech.over() is None and not speech.has_news
    for close in ("mute", "fault"):
        bench = Bench()
        getattr(bench.gate, close)()
        assert not bench.speech.complain(bench.now_ms)


def test_taking_allocates_nothing():
    bench = speaking(300, buffer_ms=100)
    speech = bench.speech
    out = bench.out
    micropython.heap_lock()
    try:
        for _ in range(45):
            speech.take(out)
    finally:
        micropython.heap_unlock()
    assert speech.state == DRAINING
    bench = Bench()
    assert bench.ask("timer", is_chime=True) is None and bench.speech.start(bench.now_ms)
    out = bench.out
    micropython.heap_lock()
    try:
        while bench.speech.take(out):
            pass
    finally:
        micropython.heap_unlock()


def test_the_ring_keeps_the_order_over_its_end():
    bench = Bench(ring_bytes=1280, max_ms=MAX_MS)
    speech = bench.speech
    assert bench.ask() is None and speech.begin_audio()
    sent = taken = 0
    plain = bytearray(320)
    speech._gain = 32768
    while taken < 200:
        while True:
            piece = bytes([(sent + i) & 255 for i in range(254)])
            if not speech.put(piece):
                break
            sent += 254
        if speech.state == ASKED:
            assert speech.start(bench.now_ms)
        assert speech.take(plain) == 320
        first = taken * 320
        assert plain == bytes([(first + i) & 255 for i in range(320)]), taken
        taken += 1
        speech.incoming.grant()


def test_the_words_are_those_of_the_log_and_the_protocol():
    from satellite import protocol

    assert set(protocol.PLAYED_REASONS) < set(SPEAK_ENDS)
    assert set(protocol.SPEECH_KINDS) < set(SPOKEN) and "error" in SPOKEN
