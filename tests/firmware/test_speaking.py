"""A sound on the whole application: who is off before what is on, and what closes it.

The drivers are those of test_app; the loudspeaker writes into the same list.
"""

from satellite.chimes import Chime
from satellite.config import Config
from satellite.gate import ERROR, IDLE, MUTED, NO_CONSENT, STREAMING
from satellite.light import Light
from satellite.speech import ASKED, DRAINING, SILENT, SPEAKING, Speech
from test_app import BLUE, GREEN, MAGENTA, RED, YELLOW
from test_app import Bench as Quiet

WHITE = ("light", (True, True, True))
STREAM = 77
LOUD = b"\x00\x40" * 160
FORBIDDEN = "both on"


class Speaker:
    """A loudspeaker that holds 20 ms and plays 10 ms a turn."""

    late = 0
    buffer_ms = 20

    def __init__(self, bench):
        self.bench = bench
        self.on = False
        self.held = 0
        self.heard = []
        self.start_fails = self.sticks = False
        self.write_fails_at = -1

    def start(self):
        if self.start_fails:
            raise OSError
        self.bench.log.append("amp on")
        if self.bench.mic_on:
            self.bench.log.append(FORBIDDEN)
        self.on = True
        self.held = 0

    def stop(self):
        self.bench.log.append("amp off")
        self.on = self.sticks

    def is_on(self):
        return self.on

    def write(self, chunk):
        if len(self.heard) == self.write_fails_at:
            raise OSError
        if not self.on:
            raise OSError
        if self.held * 10 >= self.buffer_ms:
            return False
        self.held += 1
        self.heard.append(bytes(chunk))
        return True


class Bench(Quiet):
    """Also has a loudspeaker, and a receiver that asks at given turns."""

    def build(self, config):
        app = Quiet.build(self, config)
        parts = app.parts
        self.at = {}  # turn -> what the network does then
        self.held = []  # turns at which the button is held
        self.status_told = 0
        parts.speaker = self.speaker = Speaker(self)
        parts.speech = self.speech = Speech(
            parts.gate,
            Chime(),
            config.volume,
            config.volume_max,
            config.timers,
            config.announcements,
            self.speaker.buffer_ms,
        )
        parts.light = Light(self, 255, True, self.speaker)
        return type(app)(parts)

    def start(self):
        Quiet.start(self)
        if self.speaker.on:
            self.log.append(FORBIDDEN)

    def is_held(self):
        return self.turn in self.held

    async def pass_time(self):
        await Quiet.pass_time(self)
        self.speaker.held = max(0, self.speaker.held - 1)

    def notify(self, now_ms):
        Quiet.notify(self, now_ms)
        if self.turn in self.at:
            self.at.pop(self.turn)()

    def has_room(self, now_ms):
        return self.log_has_room

    # what the receiver does
    def answer(self, ms=100, is_all=True):
        """A reply to the stream that ended, all of its audio at once."""
        assert self.speech.ask("b" * 16, "reply", STREAM, 30000, self.now) is None
        self.send(ms, is_all)

    def send(self, ms, is_all=True):
        assert self.speech.begin_audio()
        for _ in range(ms // 10):
            assert self.speech.put(LOUD)
        if is_all:
            assert self.speech.end_audio()


def after_a_stream(turns=120, config=None, **settings):
    """A bench that hears a wake word at turn 3 and answers at turn 12."""
    values = {"timers": True, "announcements": True, "preroll_ms": 100}
    values.update(config or {})
    bench = Bench(Config(values), turns=turns, **settings)
    bench.wakes, bench.speech_ends = [3], [8]
    return bench


def order(log, *wanted):
    """The places of these in the log, each after the one before."""
    at = -1
    for what in wanted:
        at = log.index(what, at + 1)
    return at


def last_light(bench):
    return [what for what in bench.log if what[0] == "light"][-1]


def test_microphone_log_light_amplifier_and_back():
    bench = after_a_stream()
    records = bench.records
    bench.at[12] = bench.answer

    def append(kind, now_ms, **fields):
        bench.log.append(kind)
        records.append((kind, fields))

    bench.append = append
    bench.go()
    log = bench.log
    order(
        log,
        GREEN,
        "mic on",
        BLUE,
        GREEN,
        "mic off",
        "speak-start",
        WHITE,
        "amp on",
        "amp off",
        "speak-end",
        GREEN,
        "mic on",
    )
    assert FORBIDDEN not in log and bench.state == IDLE and bench.mic_on
    assert not bench.speaker.on and bench.speech.state == SILENT
    assert ("speak-start", {"what": "reply", "volume": 60}) in records
    end = {"what": "reply", "duration_ms": 100, "reason": "end", "late_ms": 0}
    assert ("speak-end", end) in records
    # What was heard is what was sent, at the volume, and silence that pushed it out.
    sounds = [chunk for chunk in bench.speaker.heard if any(chunk)]
    assert len(sounds) == 10 and not any(bench.speaker.heard[-1])
    assert bench.speech.over() == ("b" * 16, 100, "end")
    # The microphone's rest is not in the log twice: it is off from speak-start to speak-end.
    assert [fields for kind, fields in records if kind == "mic"] == [{"on": True}]


def test_the_microphone_stays_off_for_a_while_after_the_amplifier():
    bench = after_a_stream()
    times = {}

    def stop():
        times.setdefault("off", bench.now)
        Speaker.stop(bench.speaker)

    def start():
        times["on"] = bench.now
        Bench.start(bench)

    bench.at[12] = bench.answer
    bench.speaker.stop, bench.start = stop, start
    bench.go()
    assert 200 <= times["on"] - times["off"] <= 220, times


def test_nothing_of_what_was_heard_before_a_sound_is_left():
    bench = after_a_stream()
    gate = bench.app.parts.gate
    left = []
    resets = []
    bench.reset = lambda: resets.append(bench.turn)

    def look():
        left.append((bench.speech.state, any(gate._preroll.buffer), any(bench.app._chunk)))

    bench.at[12] = bench.answer
    bench.after_turn = look
    bench.go()
    assert (ASKED, True, True) in left or (SILENT, True, True) in left
    for state, has_preroll, has_chunk in left:
        assert state < SPEAKING or not (has_preroll or has_chunk), left
    assert resets[-1] > 12, "the models begin anew"


def test_what_mutes_or_fails_silences_within_a_turn():
    for close in ("button missed", "switch", "network", "read", "light", "storage"):
        bench = after_a_stream()
        bench.at[12] = lambda bench=bench: bench.answer(900)
        at = 30

        def close_it(bench=bench, close=close):
            assert bench.speech.state == SPEAKING and bench.speaker.on
            if close == "network":
                bench.app.parts.gate.mute()
                bench.app.remote_mute()
            elif close == "light":
                bench.light_fails = True
            elif close == "storage":
                bench.app.fault("storage")
            elif close == "read":
                bench.speaker.write_fails_at = len(bench.speaker.heard)

        bench.at[at] = close_it
        if close == "button missed":
            bench.missed = [at + 1]
        elif close == "switch":
            bench.switch_at = {at + 1: True}
        heard = []
        bench.after_turn = lambda bench=bench, heard=heard: heard.append(
            (bench.turn, bench.speaker.on)
        )
        bench.go()
        late = [turn for turn, on in heard if on and turn > at + 5]
        assert not late, (close, late)
        assert not bench.speaker.on and not any(bench.speech.incoming.buffer), close
        assert not any(bench.app._speaking._chunk)
        reason = [fields["reason"] for kind, fields in bench.records if kind == "speak-end"]
        is_mute = close in ("button missed", "switch", "network")
        assert reason == ["mute" if is_mute else "fault"], (close, reason)
        if is_mute:
            assert bench.state == MUTED and bench.log[-1] == RED, close
            order(bench.log, WHITE, "amp off", RED)
            assert [f for k, f in bench.records if k == "mic"][-1] == {"on": False}
        elif close == "read":
            assert bench.state == IDLE and ("fault", {"what": "speaker"}) in bench.records
        else:
            assert bench.state == ERROR, close
        assert FORBIDDEN not in bench.log


def test_a_press_ends_a_reply_and_does_no_more_and_a_second_one_mutes():
    for presses, held, state in (
        ([30], [], IDLE),
        ([30, 34], [], MUTED),
        ([30, 90], [], MUTED),
        ([30], [110], MUTED),
        ([30], [300], IDLE),
    ):
        bench = after_a_stream(turns=150)
        bench.at[12] = lambda bench=bench: bench.answer(900)
        bench.presses, bench.held = list(presses), held
        bench.go()
        assert bench.state == state, (presses, held)
        (end,) = [fields for kind, fields in bench.records if kind == "speak-end"]
        assert end["reason"] == "button" and 150 <= end["duration_ms"] <= 200, end
        assert bench.speech.over()[2] == "button"
        muted = [f for k, f in bench.records if k == "mute" and f["on"]]
        assert len(muted) == (state == MUTED), muted


def test_a_press_when_nothing_sounds_any_more_mutes():
    for after, state in ((0, IDLE), (1, MUTED), (15, MUTED)):
        bench = after_a_stream()
        bench.at[12] = bench.answer
        turns = []

        def look(bench=bench, turns=turns, after=after):
            if after == 0 and bench.speech.state == DRAINING and bench.speaker.on:
                turns.append(bench.turn)  # its tail still sounds
            elif after and bench.speech.state == DRAINING and not bench.speaker.on:
                turns.append(bench.turn + after)
            bench.presses = turns[:1]

        bench.after_turn = look
        bench.go()
        assert turns and bench.state == state, (after, bench.state)
        (end,) = [fields for kind, fields in bench.records if kind == "speak-end"]
        assert end["reason"] == ("end" if after else "button"), end


def test_a_press_while_a_reply_is_awaited_mutes():
    bench = after_a_stream()
    bench.at[12] = lambda: bench.answer(100, is_all=False)
    bench.presses = [15]
    bench.go()
    assert bench.state == MUTED and bench.speech.over() == ("b" * 16, 0, "mute")
    assert "amp on" not in bench.log and "speak-start" not in bench.kinds()


def test_who_speaks_after_a_wake_word_ends_what_is_awaited():
    bench = after_a_stream()
    bench.wakes = [3, 20]
    bench.at[12] = lambda: bench.answer(100, is_all=False)
    bench.go()
    assert bench.speech.over() == ("b" * 16, 0, "word") and "amp on" not in bench.log


def test_a_timer_rings_listens_and_rings_until_somebody_speaks():
    bench = after_a_stream(turns=1000)
    speech = bench.speech

    def ring():
        assert speech.ask("c" * 16, "timer", None, 30000, bench.now, True) is None

    bench.at[12] = ring
    listens = []
    bench.after_turn = lambda: listens.append((bench.mic_on, bench.speaker.on))
    bench.wakes = [3, 900]
    bench.speech_ends = [8, 920]
    bench.go()
    assert (True, True) not in listens and FORBIDDEN not in bench.log
    rings = [i for i in range(1, len(listens)) if listens[i][1] and not listens[i - 1][1]]
    assert len(rings) == 3, rings
    pauses = [b - a for a, b in zip(rings, rings[1:])]
    assert all(350 <= pause <= 380 for pause in pauses), pauses  # 1.4 s, and then 2.2 s
    assert speech.over()[2] == "word"
    assert [k for k in bench.kinds() if k[:5] == "speak"] == ["speak-start", "speak-end"]
    # A press ends it as well, in a pause.
    bench = after_a_stream(turns=400)
    speech = bench.speech
    bench.at[12] = ring
    bench.presses = [250]
    bench.go()
    assert speech.over()[2] == "button" and bench.state == IDLE


def test_a_timer_that_the_receiver_ends_in_a_pause_is_recorded_as_over():
    for ends in ("receiver", "network"):
        bench = after_a_stream(turns=500)
        speech = bench.speech

        def ring(bench=bench):
            assert bench.speech.ask("c" * 16, "timer", None, 30000, bench.now, True) is None

        def end(speech=speech, ends=ends):
            assert speech.state == ASKED and speech.is_ringing
            if ends == "receiver":
                speech.stop("receiver")
            else:
                speech.disconnected()

        def announce(bench=bench):
            bench.speech.over()
            assert bench.speech.ask("d" * 16, "announcement", None, 30000, bench.now) is None
            bench.send(100)

        bench.at[12], bench.at[250], bench.at[300] = ring, end, announce
        bench.go()
        said = [(k, f["what"], f.get("reason")) for k, f in bench.records if k[:5] == "speak"]
        assert said == [
            ("speak-start", "timer", None),
            ("speak-end", "timer", ends),
            ("speak-start", "announcement", None),
            ("speak-end", "announcement", "end"),
        ], said


def test_what_cannot_be_recorded_or_shown_does_not_sound():
    for fails in ("audit_fails", "light_fails", "mic_sticks"):
        bench = after_a_stream()

        def ask(bench=bench, fails=fails):
            bench.answer()
            setattr(bench, fails, True)

        bench.at[12] = ask
        bench.go()
        assert "amp on" not in bench.log and bench.state == ERROR, fails
        assert bench.speaker.heard == []
        if fails == "mic_sticks":
            assert last_light(bench) == MAGENTA


def test_a_loudspeaker_that_does_not_start_leaves_the_device_listening():
    bench = after_a_stream()
    bench.at[12] = bench.answer
    bench.speaker.start_fails = True
    bench.go()
    assert bench.state == IDLE and bench.mic_on and bench.log[-1] == GREEN
    assert ("fault", {"what": "speaker"}) in bench.records
    assert bench.speech.over() == ("b" * 16, 0, "fault")


def test_an_amplifier_that_stays_on_is_shown_and_nobody_is_heard():
    bench = after_a_stream()
    bench.at[12] = bench.answer
    bench.speaker.sticks = True
    bench.go()
    assert bench.state == ERROR and last_light(bench) == MAGENTA and not bench.mic_on
    assert FORBIDDEN not in bench.log
    assert ("fault", {"what": "speaker"}) in bench.records
    assert bench.log.count("amp off") > 10, "it is tried again and again"


def test_nothing_is_written_while_it_sounds():
    bench = after_a_stream(turns=200)
    writes = []

    def append(kind, now_ms, **fields):
        writes.append((kind, bench.speaker.on))
        bench.records.append((kind, fields))

    def ask_much():
        bench.app.remote_refused("unmute")
        assert bench.app.remote_volume(70)

    def tick(now_ms):
        assert not bench.speaker.on

    bench.append, bench.tick = append, tick
    bench.at[12] = lambda: bench.answer(900)
    bench.at[30] = ask_much
    bench.go()
    assert not [kind for kind, is_on in writes if is_on], writes
    kinds = [kind for kind, _ in writes]
    order(kinds, "speak-start", "speak-end", "refused", "volume")
    assert bench.speech.volume == 70


def test_the_network_sets_the_volume_within_what_the_owner_allows():
    bench = after_a_stream(config={"volume_max": 65})
    results = []

    def ask(percent):
        results.append((bench.app.remote_volume(percent), bench.speech.volume))

    bench.at[4] = lambda: ask(100)
    bench.at[5] = lambda: ask(65)
    bench.at[6] = lambda: ask(10)

    def full():
        bench.log_has_room = False
        ask(20)

    bench.at[7] = full
    bench.go()
    assert results == [(True, 65), (True, 65), (True, 10), (False, 10)], results
    said = [fields for kind, fields in bench.records if kind == "volume"]
    assert said == [
        {"percent": 65, "source": "network"},
        {"percent": 10, "source": "network"},
    ], said


def test_a_quieter_volume_holds_at_once_and_is_recorded_afterwards():
    bench = after_a_stream(turns=200)
    bench.at[12] = lambda: bench.answer(900)
    bench.at[30] = lambda: bench.app.remote_volume(0)
    bench.go()
    loud = [any(chunk) for chunk in bench.speaker.heard]
    assert loud.count(True) < 25 and bench.speech.volume == 0
    assert "volume" in bench.kinds()


def test_of_several_volumes_the_last_holds_also_the_one_that_is_set_already():
    bench = after_a_stream(turns=200)
    bench.at[12] = lambda: bench.answer(900)

    def ask():
        assert bench.app.remote_volume(80) and bench.app.remote_volume(60)

    bench.at[30] = ask
    bench.go()
    assert bench.speech.volume == 60, bench.speech.volume


def test_a_wake_word_that_nobody_answers_is_told_by_a_chime_or_by_the_light():
    for has_speaker, ends in ((True, []), (True, [8]), (False, [])):
        bench = after_a_stream(turns=200)
        if not has_speaker:
            bench = Quiet(turns=200)
            bench.wakes = [3]
        bench.speech_ends = ends
        gate = bench.app.parts.gate
        bench.notify = lambda now_ms: None  # no receiver acknowledges
        bench.go()
        assert gate.last_reason == NO_CONSENT and gate.state == IDLE
        kinds = bench.kinds()
        if has_speaker:
            order(kinds, "wake", "stream-start", "stream-end", "speak-start", "speak-end")
            (end,) = [fields for kind, fields in bench.records if kind == "speak-end"]
            assert end["what"] == "error" and end["reason"] == "end", end
            assert FORBIDDEN not in bench.log and bench.speech.over() is None
        else:
            until_ms = bench.app.parts.light._unheard_until_ms
            assert "speak-start" not in kinds and until_ms > bench.now


def test_a_crash_ends_silent_and_recorded():
    bench = after_a_stream(turns=30)
    bench.at[12] = lambda: bench.answer(900)
    bench.go()
    assert bench.speaker.on and bench.speech.state == SPEAKING
    bench.app.close("crash")
    assert not bench.speaker.on and not bench.mic_on and bench.log[-1] == YELLOW
    assert not any(bench.speech.incoming.buffer)
    order(bench.kinds(), "speak-start", "speak-end", "mic", "fault")
    assert bench.speech.state == DRAINING and bench.state == ERROR


def test_nothing_is_done_a_chunk_while_nobody_asks():
    bench = after_a_stream()
    calls = []
    bench.app._speaking.turn = lambda now_ms: calls.append(now_ms)
    bench.app._speaking.shown = lambda state: calls.append(state)
    bench.go()
    assert not calls and bench.app.parts.gate.state != STREAMING
