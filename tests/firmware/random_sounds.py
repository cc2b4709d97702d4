"""Random people, networks and faults around the whole application, with the promises held after
each event: no sound out of turn, and no microphone while it speaks.

`play(seed, events)`; the suite plays a few thousand (test_random_sounds.py), tests/long a million.
"""

import asyncio
import random

from satellite.config import Config
from satellite.gate import END_OF_SPEECH, ERROR, IDLE, NETWORK, STREAMING
from satellite.speech import ASKED, SILENT, SPEAKING
from test_speaking import LOUD, Bench, Speaker

#: What happens, and how often of all.
PEOPLE = ("press", "press", "hold", "missed", "switch")
TALK = ("wake", "wake", "silence")
NETWORK_DOES = ("ask",) * 8 + ("audio",) * 6 + ("end", "end", "stop", "mute", "volume", "lost")
FAULTS = ("fault", "speaker fails", "speaker sticks", "light", "log", "microphone")
#: Turns of the loop between two events, on average.
TURNS = 3


class World:
    """The application, its drivers, and what the promises have to remember."""

    def __init__(self, seed):
        self.random = random
        self.out = bytearray(320)
        random.seed(seed)
        config = Config({"timers": True, "announcements": True, "preroll_ms": 100})
        self.bench = bench = Bench(config, turns=1 << 29)
        self.app = bench.app
        self.gate = self.app.parts.gate
        self.speech = bench.speech
        self.streams = 0
        self.app.parts.random_number = self.number
        self.app.parts.streamer.is_connected = True
        self.app.parts.streamer.changed = lambda: None
        bench.now_ms = lambda: bench.now
        bench.pass_time = self.pass_no_time
        bench.notify = lambda now_ms: False  # `carry` is the network
        bench.speaker.write = self.write
        self.answerable = None  # the stream that ended well
        self.ended_ms = 0
        self.may_sound = False  # a sound was accepted, and nothing has closed since
        self.wants_speech_end = False
        self.in_log = None  # the kind of the sound whose beginning is in the log
        self.sounds = self.chunks = self.closed = 0
        bench.process = self.process
        bench.update = self.update
        self.hears_wake = False
        self.app.boot()

    def number(self):
        self.streams += 1
        return self.streams

    def process(self, chunk):
        heard, self.hears_wake = self.hears_wake, False
        return 0 if heard else -1

    def update(self, slice, chunk):
        ends, self.wants_speech_end = self.wants_speech_end, False
        return ends

    async def pass_no_time(self):
        """It passes in `turn`."""

    def write(self, chunk):
        """The only place where anything sounds."""
        is_taken = Speaker.write(self.bench.speaker, chunk)
        self.bench.speaker.heard.clear()
        if is_taken and any(chunk):
            self.chunks += 1
            assert self.may_sound and self.speech.state == SPEAKING, self.speech.state
            assert self.speech.is_in_log
            assert self.gate.state == IDLE and not self.bench.mic_on
        return is_taken

    def turn(self):
        """One turn of the loop, and the network's after it."""
        bench, gate = self.bench, self.gate
        closings = gate.closings
        asyncio.run(self.app.step())
        self.look_at_records()
        bench.now += 10
        bench.turn += 1
        bench.log.clear()
        bench.speaker.held = max(0, bench.speaker.held - 1)
        if gate.closings != closings:
            self.close()
        self.carry()
        # Within a turn of whatever closed it, nothing sounds.
        if gate.muted or gate.state == ERROR:
            assert not bench.speaker.on or bench.speaker.sticks, gate.state

    def look_at_records(self):
        """The beginning of a sound is in the log before it sounds, and its end as it is over."""
        for kind, fields in self.bench.records:
            if kind == "speak-start":
                assert self.in_log is None, self.in_log
                self.in_log = fields["what"]
            elif kind == "speak-end":
                assert self.in_log == fields["what"], (self.in_log, fields)
                self.in_log = None
        self.bench.records.clear()
        if not self.speech.is_in_log:  # or the log could not be written
            self.in_log = None
        if self.speech.state == SILENT:
            assert self.in_log is None, "an end that is not recorded"

    def carry(self):
        """What the streamer does with a stream, at random as slow as it likes."""
        gate = self.gate
        if gate.state != STREAMING or gate.is_held or self.random.getrandbits(1):
            return
        gate.acknowledge(gate.stream_id)
        stream = gate.stream_id
        while gate.take(self.out):
            pass
        if gate.is_closing and gate.drained() and gate.last_reason == END_OF_SPEECH:
            self.answerable, self.ended_ms = stream, self.bench.now

    def close(self):
        """Something muted or failed: what was accepted, and what might be answered, is over."""
        self.may_sound = False
        self.answerable = None
        self.closed += 1

    # --- events ---

    def happen(self, what):
        bench, app, gate, speech = self.bench, self.app, self.gate, self.speech
        closings = gate.closings
        if what == "press":
            bench.presses = [bench.turn]
        elif what == "hold":
            bench.held = [bench.turn + self.random.getrandbits(4)]
        elif what == "missed":
            bench.missed = [bench.turn]
        elif what == "switch":
            bench.switch_at[bench.turn] = not bench.switch
        elif what == "wake":
            self.hears_wake = True
        elif what == "silence":
            self.wants_speech_end = True
        elif what == "ask":
            self.ask()
        elif what == "audio":
            if not speech.incoming.has_begun:
                speech.begin_audio()
            for _ in range(self.random.getrandbits(6)):
                speech.put(LOUD)
        elif what == "end":
            speech.end_audio()
        elif what == "stop":
            speech.stop("receiver")
            self.may_sound = False
        elif what == "mute":
            gate.mute()
            app.remote_mute()
        elif what == "volume":
            app.remote_volume(self.random.getrandbits(6))
        elif what == "lost":
            if gate.state == STREAMING:
                gate.abort(NETWORK)
            is_own = speech.id is None
            speech.disconnected()
            self.answerable = None
            self.may_sound = self.may_sound and is_own
        else:
            self.fail(what)
        if gate.closings != closings:
            self.close()

    def mend(self):
        """Whatever was broken is whole again, and the switch is off mute."""
        bench = self.bench
        bench.light_fails = bench.audit_fails = bench.mic_sticks = False
        bench.speaker.start_fails = bench.speaker.sticks = False
        bench.switch_at[bench.turn] = False

    def fail(self, what):
        """A fault comes, or one that was there goes."""
        bench = self.bench
        if what == "fault":
            self.app.fault("other")
        elif what == "speaker fails":
            bench.speaker.start_fails = not bench.speaker.start_fails
        elif what == "speaker sticks":
            bench.speaker.sticks = not bench.speaker.sticks
        elif what == "light":
            bench.light_fails = not bench.light_fails
        elif what == "log":
            bench.audit_fails = not bench.audit_fails
        else:
            bench.mic_sticks = not bench.mic_sticks

    def ask(self):
        """A sound of a random kind; only what is promised is accepted."""
        speech, gate = self.speech, self.gate
        kind = ("reply", "reply", "timer", "announcement", "error")[self.random.getrandbits(8) % 5]
        is_chime = kind == "error" or (kind == "timer" and self.random.getrandbits(1) == 1)
        stream = gate.stream_id if kind in ("reply", "error") else None
        state = speech.state
        why = speech.ask("a" * 16, kind, stream, 30000, self.bench.now, is_chime)
        if why is not None:
            return
        self.sounds += 1
        assert state == SILENT and not gate.muted and gate.state in (IDLE, STREAMING)
        if stream is not None:
            assert stream == self.answerable, (stream, self.answerable)
            assert self.bench.now - self.ended_ms < 60000
            self.answerable = None
        self.may_sound = True

    def hold_promises(self):
        bench, speech = self.bench, self.speech
        amp = bench.speaker.on
        assert not (bench.mic_on and amp), (bench.mic_sticks, bench.speaker.sticks)
        assert "both on" not in bench.log
        if speech.state not in (ASKED, SPEAKING):
            assert speech.incoming.count == 0
        if speech.over() is not None:
            self.may_sound = False


def play(seed, events):
    """Play so many events; the figures of what happened."""
    world = World(seed)
    complain = world.speech.complain

    def watched(now_ms):
        """The device's own chime, when nobody answered."""
        is_obeyed = complain(now_ms)
        world.may_sound = world.may_sound or is_obeyed
        return is_obeyed

    world.speech.complain = watched
    for _ in range(events):
        kind = random.getrandbits(6)
        if kind == 0:
            what = FAULTS[random.getrandbits(8) % len(FAULTS)]
        elif not world.gate.may_listen and kind < 48:
            world.mend()
            what = "press"
        elif kind < 8:
            what = PEOPLE[random.getrandbits(8) % len(PEOPLE)]
        elif kind < 24:
            what = TALK[random.getrandbits(8) % len(TALK)]
        else:
            what = NETWORK_DOES[random.getrandbits(8) % len(NETWORK_DOES)]
        world.happen(what)
        world.hold_promises()
        for _ in range(random.getrandbits(8) % (2 * TURNS + 1)):
            world.turn()
            world.hold_promises()
    return world.sounds, world.chunks, world.closed
