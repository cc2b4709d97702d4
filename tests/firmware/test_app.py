"""The application on drivers that can fail: what happens, and in which order.

The drivers here are small and honest: they keep their state and say it; what they do is written
into one list, so that the order of light, microphone and network can be asserted.
"""

import asyncio

from drivers.debounce import SwitchDebounce
from satellite.app import AGAIN_MS, App
from satellite.config import Config
from satellite.consent import FILE, Consent
from satellite.counters import Counters
from satellite.gate import ERROR, IDLE, MUTED, NETWORK, RECEIVER, STREAMING, Gate
from satellite.level import Level
from satellite.light import Light
from satellite.sensitivity_state import FILE as SENSITIVITY_FILE
from satellite.sensitivity_state import SensitivityState, encode
from satellite.speech import Speech
from satellite.withdrawn_state import WithdrawnState


class End(Exception):
    """The script of the microphone or the clock is over."""


class Parts:
    pass


class Memory:
    """A storage in a dict; can be told to fail."""

    def __init__(self):
        self.files = {}
        self.fails = False

    def read(self, name, limit):
        return self.files.get(name)

    def write_atomic(self, name, data):
        if self.fails:
            raise OSError
        self.files[name] = data

    def remove(self, name):
        self.files.pop(name, None)


class Bench:
    """An App on drivers whose every deed goes into `log`."""

    def __init__(self, config=None, muted=False, turns=20):
        self.log = []
        self.now_ms = 0
        self.turns = turns
        self.presses = []  # turns at which the button is pressed
        self.missed = []  # turns at which a press is told that nobody saw
        self.switch_at = {}  # turn -> level
        self.switch = None
        self.wakes = []  # turns at which the wake word is heard
        self.speech_ends = []
        self.turn = 0
        self.light_fails = False
        self.start_fails = False
        self.read_fails_at = -1
        self.audit_fails = False
        self.store_fails = False
        self.mic_on = False
        self.mic_sticks = False
        self.stored = muted
        self.sent = []
        self.after_turn = None
        self.told = []  # the gate's state, whenever the receiver is to be told
        self.records = []
        self.files = Memory()
        self.app = self.build(config or Config.defaults())

    def build(self, config):
        parts = Parts()
        parts.withdrawn = WithdrawnState(self.files)
        parts.config = config = parts.withdrawn.applied_to(config)
        parts.counters = Counters()
        parts.gate = Gate(preroll_ms=config.preroll_ms, max_stream_ms=config.max_stream_ms)
        parts.light = Light(self, 255)
        for name in ("mic", "controls", "clock", "watchdog", "engine", "end_of_speech", "audit"):
            setattr(parts, name, self)
        parts.mute_store = self
        self.found = "stored"
        self.detectors = [self]
        self.cutoff = 216
        parts.sensitivity = SensitivityState(self.files, config.models, self.detectors)
        parts.consent = Consent(self.files, config.keep_recordings, config.share_for_training)
        parts.streamer = self
        parts.random_number = lambda: 77
        parts.level = Level()
        parts.wifi = None
        parts.speaker = None
        parts.speech = Speech(parts.gate, None)
        parts.reset = "power"
        self.mean = 230
        self.slice_ready = True
        self.slice = bytearray(40)
        self.is_connected = True
        return App(parts)

    # light driver
    def show(self, r, g, b):
        if self.light_fails:
            raise OSError
        seen = ("light", (r > 0, g > 0, b > 0))
        if not self.log or self.log[-1] != seen:
            self.log.append(seen)

    def is_ok(self):
        return not self.light_fails

    # microphone
    def start(self):
        if self.start_fails:
            raise OSError
        self.log.append("mic on")
        self.mic_on = True

    def stop(self):
        self.log.append("mic off")
        self.mic_on = self.mic_sticks

    def is_on(self):
        return self.mic_on

    overruns = 0
    changes = 0
    is_dead = 0

    def health(self):
        return self.is_dead

    def try_read(self, chunk):
        self.changes += 1
        return False

    async def read(self, chunk):
        if self.turn == self.read_fails_at:
            raise OSError
        chunk[0] = self.turn & 255
        await self.pass_time()

    async def pass_time(self):
        self.turn += 1
        self.now += 10
        if self.after_turn:
            self.after_turn()
        await asyncio.sleep(0)
        if self.turn >= self.turns:
            raise End

    now = 0

    # clock
    def ticks_us(self):
        return 0

    async def sleep_ms(self, ms):
        await self.pass_time()

    # controls
    has_button = True

    def are_still(self):
        return False

    def was_pressed(self):
        if self.turn in self.presses:
            self.presses.remove(self.turn)
            return True
        return False

    def press_was_missed(self):
        if self.turn in self.missed:
            self.missed.remove(self.turn)
            return True
        return False

    was_moved = False

    def switch_muted(self):
        before = self.switch
        self.switch = self.switch_at.get(self.turn, self.switch)
        self.was_moved = before is True and self.switch is False
        return self.switch

    def switch_was_moved(self):
        return self.was_moved

    # engine, end of speech
    def process(self, chunk):
        return 0 if self.turn in self.wakes else -1

    def reset(self):
        pass

    heard_speech = True

    def begin(self):
        pass

    def listen(self, slice, chunk):
        pass

    def update(self, slice, chunk):
        return self.turn in self.speech_ends

    # audit
    has_waiting = False

    def append(self, kind, now_ms, **fields):
        if self.audit_fails:
            raise OSError
        self.records.append((kind, fields))

    def tick(self, now_ms):
        pass

    log_has_room = True

    def may_stream(self, now_ms):
        return True

    def has_room(self, now_ms):
        return self.log_has_room

    # mute store
    def load(self):
        return self.stored

    def save(self, muted):
        if self.store_fails:
            raise OSError
        self.stored = muted

    # streamer
    def notify(self, now_ms):
        gate = self.app.parts.gate
        if gate.state == STREAMING:
            gate.acknowledge(77)
            out = bytearray(320)
            while gate.take(out):
                self.log.append("sent")
                self.sent.append(out[0])
            if gate.is_closing:
                gate.drained()

    def feed(self):
        pass

    async def run_network(self):
        await asyncio.sleep(1000)

    def go(self):
        bench = self

        class Network:
            is_connected = True

            async def run(self):
                await bench.run_network()

            withdrawal = None

            def forbid(self, config):
                bench.log.append("forbidden")

            def notify(self, now_ms):
                bench.notify(now_ms)

            def changed(self):
                bench.told.append(bench.app.parts.gate.state)

        self.network = Network()
        self.app.parts.streamer = self.network

        class Clock:
            def now_ms(self):
                return bench.now

            def ticks_us(self):
                return 0

            sleep_ms = bench.sleep_ms

        self.app.parts.clock = Clock()
        try:
            asyncio.run(self.app.run())
        except End:
            pass
        return self

    @property
    def state(self):
        return self.app.parts.gate.state

    def kinds(self):
        return [kind for kind, _ in self.records]


GREEN = ("light", (False, True, False))
BLUE = ("light", (False, False, True))
RED = ("light", (True, False, False))
YELLOW = ("light", (True, True, False))
MAGENTA = ("light", (True, False, True))


def test_the_light_comes_before_the_microphone_and_goes_after_it():
    bench = Bench()
    bench.presses = [5]
    bench.go()
    log = bench.log
    assert log.index(GREEN) < log.index("mic on") < log.index("mic off") < log.index(RED), log
    assert bench.state == MUTED and bench.stored is True and not bench.mic_on


def test_it_starts_muted_when_that_was_stored_or_is_unknown():
    for stored in (True, None, "no"):
        bench = Bench(muted=stored).go()
        assert bench.state == MUTED and "mic on" not in bench.log and bench.log[-1] == RED
    assert Bench(Config({"muted_on_boot": True})).go().state == MUTED


def test_what_keeps_the_microphone_off_is_known():
    assert Bench().go().app.parts.gate.off_by is None
    assert Bench(muted=True).go().app.parts.gate.off_by == "stored"
    assert Bench(Config({"muted_on_boot": True})).go().app.parts.gate.off_by == "setting"
    for found in ("missing", "damaged"):
        bench = Bench(muted=True)
        bench.found = found
        assert bench.go().app.parts.gate.off_by == "unknown"
    bench = Bench()
    bench.read_fails_at = 3
    assert bench.go().app.parts.gate.off_by == "fault"
    bench = Bench(turns=30)
    bench.read_fails_at = 3
    bench.presses = [8]  # after the fault; it leads to muted
    assert bench.go().app.parts.gate.off_by == "button"


def test_whoever_mutes_what_is_muted_already_did_not_mute_it():
    bench = Bench(turns=30)
    bench.presses = [5]
    bench.go()
    gate = bench.app.parts.gate
    gate.mute("network")
    assert gate.off_by == "button"
    gate.switch(True)
    assert gate.off_by == "switch"
    gate.switch(False)
    assert gate.off_by == "button" and gate.unmute() and gate.off_by is None
    gate.mute("network")
    assert gate.off_by == "network"


def test_a_wake_turns_the_light_blue_before_the_first_byte():
    bench = Bench(turns=30)
    bench.wakes = [5]
    bench.speech_ends = [15]
    bench.go()
    log = bench.log
    assert log.index(BLUE) < log.index("sent"), log
    assert "sent" not in log[: log.index(BLUE)]
    last = len(log) - 1 - list(reversed(log)).index("sent")
    assert GREEN in log[last:], log
    # from the chunk after the deciding one to the last of the speech
    assert bench.sent == list(range(5, 15)), bench.sent
    kinds = bench.kinds()
    assert kinds[-1] == "stream-end" and bench.records[-1][1]["reason"] == "end-of-speech"
    assert bench.records[-1][1]["bytes"] == 320 * len(bench.sent)


def test_mute_in_mid_stream_by_button_switch_and_network():
    for how in ("button", "missed", "switch", "network"):
        bench = Bench(turns=30)
        bench.wakes = [5]
        if how == "button":
            bench.presses = [10]
        elif how == "missed":
            how = "button"
            bench.missed = [10]
        elif how == "switch":
            bench.switch_at = {10: True}
        else:

            def mute(bench=bench):
                if bench.turn == 10:
                    bench.app.parts.gate.mute("network")
                    bench.app.remote_mute()

            bench.after_turn = mute
        bench.go()
        log = bench.log
        assert bench.app.parts.gate.off_by == how, bench.app.parts.gate.off_by
        assert bench.state == MUTED and not bench.mic_on, how
        assert "sent" not in log[log.index("mic off") :], how
        assert log.index("mic off") < log.index(RED), how
        assert bench.sent[-1] < 10, (how, bench.sent)
        ends = [fields["reason"] for kind, fields in bench.records if kind == "stream-end"]
        assert ends == ["mute"], (how, ends)
        assert bench.stored is (how != "switch"), how
        sources = [fields["source"] for kind, fields in bench.records if kind == "mute"]
        assert sources == ["boot", how], sources


def test_a_light_that_cannot_be_driven_keeps_the_microphone_off():
    bench = Bench()
    bench.light_fails = True
    bench.go()
    assert "mic on" not in bench.log and bench.state == ERROR


def test_a_light_that_fails_later_turns_the_microphone_off():
    bench = Bench(turns=30)

    def fail():
        if bench.turn == 10:
            bench.light_fails = True

    bench.after_turn = fail
    bench.wakes = [5]
    bench.go()
    assert not bench.mic_on and bench.state == ERROR
    assert max(bench.sent) <= 10 + 4  # a pattern's step of 40 ms later at most
    assert ("fault", {"what": "light"}) in bench.records


def test_a_microphone_that_does_not_start_or_fails():
    bench = Bench()
    bench.start_fails = True
    bench.go()
    assert bench.state == ERROR and ("fault", {"what": "microphone"}) in bench.records
    bench = Bench()
    bench.read_fails_at = 7
    bench.go()
    assert bench.state == ERROR and not bench.mic_on
    after = bench.log[bench.log.index("mic off") + 1 :]
    assert YELLOW in after and not any(seen in after for seen in (GREEN, BLUE, RED, MAGENTA))


def test_a_microphone_that_does_not_stop_is_shown():
    bench = Bench(turns=12)
    bench.mic_sticks = True
    bench.presses = [5]
    bench.go()
    assert bench.state == MUTED and bench.mic_on
    lights = [entry for entry in bench.log if isinstance(entry, tuple)]
    assert lights[-1] == MAGENTA and RED not in lights, lights
    assert bench.sent == []


def test_what_cannot_be_recorded_does_not_happen():
    bench = Bench()
    bench.audit_fails = True
    bench.go()
    assert "mic on" not in bench.log and bench.state == ERROR
    bench = Bench(turns=30)

    def fail():
        bench.audit_fails = bench.turn >= 4

    bench.after_turn = fail
    bench.wakes = [6]
    bench.go()
    assert bench.state == ERROR and bench.sent == [] and not bench.mic_on
    assert bench.told[-1:] == [ERROR], "nobody is told that it listens"
    bench = Bench(turns=30)

    def tick(now_ms):
        if bench.turn >= 4:
            raise OSError

    bench.tick = tick
    bench.has_waiting = True
    bench.go()
    assert bench.state == ERROR and bench.told[-1:] == [ERROR]


def test_unmuting_needs_the_state_to_be_stored():
    bench = Bench(muted=True)
    bench.presses = [3]
    bench.store_fails = True
    bench.go()
    assert bench.state == MUTED and "mic on" not in bench.log
    bench = Bench(muted=True)
    bench.presses = [3]
    bench.go()
    assert bench.state == IDLE and bench.stored is False


def test_a_press_with_the_switch_on_mute_opens_nothing():
    bench = Bench(muted=True)
    bench.switch = True
    bench.presses = [13, 15, 17]
    bench.go()
    assert bench.state == MUTED and "mic on" not in bench.log and bench.stored is True
    assert bench.kinds().count("refused") == 3


def test_a_press_that_nobody_saw_mutes_and_never_unmutes():
    bench = Bench(muted=True)
    bench.missed = [3, 5, 7]
    bench.go()
    assert bench.state == MUTED and "mic on" not in bench.log and bench.stored is True
    assert [fields["source"] for kind, fields in bench.records if kind == "mute"] == ["boot"]
    bench = Bench(turns=30)
    bench.missed = [3, 5, 7]
    bench.go()
    assert bench.state == MUTED and bench.log.count("mic on") == 1 and bench.stored is True
    sources = [fields["source"] for kind, fields in bench.records if kind == "mute"]
    assert sources == ["boot", "button"], sources
    bench = Bench(turns=30)
    bench.read_fails_at = 3
    bench.missed = [7, 9]
    bench.go()
    assert bench.state == ERROR, "a press that nobody saw tries nothing again"
    assert bench.stored is False and not bench.app.parts.gate.muted


def test_counts_that_cannot_be_written_close_the_gate_and_are_tried_once_a_second():
    bench = Bench(turns=250)
    tried = []

    def tick(now_ms):
        tried.append(now_ms)
        raise OSError(28)

    bench.tick = tick
    bench.has_waiting = True
    bench.go()
    assert bench.state == ERROR and not bench.mic_on
    steps_ms = [after - before for before, after in zip(tried, tried[1:])]
    assert steps_ms and min(steps_ms) >= AGAIN_MS, tried


def test_after_an_error_a_press_leads_to_muted_and_the_next_one_opens():
    bench = Bench(turns=30)
    bench.read_fails_at = 3
    bench.presses = [8, 14]

    def look():
        if bench.turn == 12:
            assert bench.state == MUTED and not bench.mic_on

    bench.after_turn = look
    bench.go()
    assert bench.state == IDLE and bench.mic_on


def test_without_a_receiver_a_wake_word_sends_nothing():
    bench = Bench(turns=30)
    bench.wakes = [5]

    def offline():
        bench.app.parts.streamer.is_connected = False

    bench.after_turn = offline
    bench.go()
    assert bench.state == IDLE and bench.sent == [] and BLUE not in bench.log
    assert ("wake", {"model": "okay_nabu", "probability": 230, "streamed": False}) in bench.records


def test_a_crash_of_the_network_task_ends_the_application_and_close_shuts_everything():
    bench = Bench(turns=40)

    async def crash():
        for _ in range(12):
            await asyncio.sleep(0)
        raise KeyError("bug")

    bench.run_network = crash
    bench.wakes = [2]
    try:
        bench.go()
        raise AssertionError("the crash was swallowed")
    except KeyError:
        bench.app.close()
    assert bench.state == ERROR and not bench.mic_on and "mic off" in bench.log
    out = bytearray(320)
    assert bench.app.parts.gate.take(out) == 0


def test_ctrl_c_in_the_middle_of_a_task_closes_everything_and_is_recorded():
    """It comes out of the loop, and that task counts as running for ever."""
    bench = Bench(turns=40)

    async def interrupted():
        for _ in range(12):
            await asyncio.sleep(0)
        raise KeyboardInterrupt

    bench.run_network = interrupted
    try:
        bench.go()
        raise AssertionError("Ctrl-C was swallowed")
    except KeyboardInterrupt:
        bench.app.close("cable")
    assert bench.state == ERROR and not bench.mic_on
    assert bench.records[-2:] == [("mic", {"on": False}), ("fault", {"what": "cable"})]


def test_nothing_of_the_old_sound_is_left_after_a_mute():
    bench = Bench(turns=30)
    resets = []
    bench.reset = lambda: resets.append(bench.turn)
    bench.presses = [5, 10]
    bench.go()
    # Engine and end of speech, at each start of the microphone.
    assert bench.state == IDLE and resets == [0, 0, 10, 10], resets


def test_a_consent_is_noted_before_its_first_stream_and_a_withdrawal_is_due_until_confirmed():
    files = Memory()

    def start(allowed, wakes):
        bench = Bench(Config({"keep_recordings": allowed, "share_for_training": False}), turns=20)
        bench.files = files
        bench.app.parts.consent = Consent(files, allowed, False)
        bench.wakes = wakes
        return bench

    assert start(False, [5]).go().network.withdrawal is None and not files.files
    bench = start(True, []).go()
    assert not files.files
    bench = start(True, [5]).go()
    assert files.files and bench.network.withdrawal is None
    for _ in range(2):  # due at every start, until it is confirmed
        bench = start(False, []).go()
        assert bench.network.withdrawal == {"keep_recordings": False, "share_for_training": False}
        assert ("consent", {"what": "withdrawn"}) in bench.records
    bench.app.deleted(4)
    assert ("consent", {"what": "deleted", "recordings": 4}) in bench.records
    assert not files.files and start(False, []).go().network.withdrawal is None
    # damaged: something may be kept
    files.files[FILE] = b"earnest consent 1 keep=0 share"
    assert start(False, []).go().network.withdrawal is not None


def test_a_deletion_that_cannot_be_recorded_is_not_confirmed():
    """A full disk takes no record, but it still lets a file go: the consent's must not."""
    bench = Bench(Config({"keep_recordings": False}))
    noted = b"earnest consent 2 keep=1 share=0 receiver=%s\n" % (b"0" * 16)
    bench.files.files[FILE] = noted
    bench.go()
    assert bench.network.withdrawal is not None
    bench.audit_fails = True
    bench.app.deleted(4)
    assert bench.files.files[FILE] == noted and bench.state == ERROR
    bench.audit_fails = False
    bench.app.deleted(4)
    assert FILE not in bench.files.files


def test_a_consent_that_cannot_be_noted_is_not_used():
    bench = Bench(Config({"keep_recordings": True}))
    bench.files.fails = True
    bench.wakes = [5]
    bench.go()
    assert bench.sent == [] and bench.state == ERROR and not bench.mic_on


def test_a_dead_microphone_and_lost_samples_are_recorded_once():
    bench = Bench(turns=30)

    def fail():
        bench.is_dead = 2 if 5 <= bench.turn < 15 else 0
        bench.overruns = 3 if bench.turn >= 20 else 0

    bench.after_turn = fail
    bench.go()
    faults = [fields["what"] for kind, fields in bench.records if kind == "fault"]
    assert faults == ["microphone", "overrun"], faults
    counts = bench.app.parts.counters.snapshot()
    assert counts["overruns"] == 3 and counts["faults"] == 1 and bench.state == IDLE


def test_a_microphone_that_stays_on_is_not_read_and_starves_nobody():
    bench = Bench(turns=30)
    bench.mic_sticks = True
    bench.presses = [5]
    read = bench.read
    fed = []
    reads = []

    async def reading(chunk):
        reads.append(bench.turn)
        if not bench.app.parts.gate.may_listen:
            raise OSError("the microphone is off")  # as the driver says, without waiting
        await read(chunk)

    bench.read = reading
    bench.feed = lambda: fed.append(bench.turn)
    bench.go()
    assert bench.state == MUTED and max(reads) < 5, reads
    assert fed[-1] >= 28, "the watchdog would reset the device"


def test_a_mute_and_a_fault_stop_the_microphone_before_anything_is_written():
    for how in ("network", "fault"):
        bench = Bench(turns=30)
        bench.wakes = [5]
        save, append = bench.save, bench.append

        def saving(muted, bench=bench, save=save):
            bench.log.append("written")
            save(muted)

        def appending(kind, now_ms, bench=bench, append=append, **fields):
            bench.log.append("written")
            append(kind, now_ms, **fields)

        def act(bench=bench, how=how):
            if bench.turn == 10:
                bench.log.append("now")
                if how == "network":
                    bench.app.parts.gate.mute()
                else:
                    bench.read_fails_at = 10

        bench.save, bench.append, bench.after_turn = saving, appending, act
        bench.go()
        after = bench.log[bench.log.index("now") :]
        assert after.index("mic off") < after.index("written"), (how, after)


def test_no_sound_is_left_in_the_chunk_after_the_microphone_stopped():
    for presses, fails_at in (([5], -1), ([], 5)):
        bench = Bench(turns=12)
        bench.presses = presses
        bench.read_fails_at = fails_at
        bench.go()
        assert not bench.mic_on and not any(bench.app._chunk)


def test_a_crash_is_recorded_and_shown():
    bench = Bench(turns=12)
    bench.wakes = [5]
    bench.speech_ends = []
    bench.now = 130  # the pattern of a fault is dark here
    bench.go()
    assert bench.state == STREAMING
    bench.app.close()
    assert bench.kinds()[-3:] == ["mic", "fault", "stream-end"], bench.kinds()
    assert bench.records[-3:-1] == [("mic", {"on": False}), ("fault", {"what": "crash"})]
    assert bench.records[-1][1]["reason"] == "fault"
    assert bench.log[-2:] == ["mic off", YELLOW]
    assert not any(bench.app._chunk)


def test_a_stream_that_ends_in_the_chunk_of_the_next_wake_word_is_recorded():
    bench = Bench(turns=30)
    bench.wakes = [5, 12]

    def stop():
        if bench.turn == 12:
            bench.app.parts.gate.abort(RECEIVER)

    bench.after_turn = stop
    bench.speech_ends = [20]
    bench.go()
    streams = [kind for kind in bench.kinds() if kind.startswith("stream")]
    assert streams == ["stream-start", "stream-end"] * 2, streams
    reasons = [fields["reason"] for kind, fields in bench.records if kind == "stream-end"]
    assert reasons == ["receiver", "end-of-speech"]


def test_what_was_dropped_and_who_received_is_recorded():
    bench = Bench(turns=30)
    bench.wakes = [5, 15]
    bench.notify = lambda now_ms: None  # nothing leaves

    def stop():
        if bench.turn in (10, 22):
            bench.app.parts.gate.abort(NETWORK)

    bench.after_turn = stop
    bench.go()
    ends = [fields for kind, fields in bench.records if kind == "stream-end"]
    assert [end["dropped_chunks"] for end in ends] == [4, 6], ends
    assert all(end["receiver"] == "earnest-receiver" and end["bytes"] == 0 for end in ends)
    assert bench.app.parts.counters.snapshot()["dropped_chunks"] == 10


def test_a_wifi_that_had_to_be_connected_anew_is_counted_and_recorded():
    class Wifi:
        renewals = 0

    bench = Bench()
    bench.app.parts.wifi = wifi = Wifi()

    def renew():
        wifi.renewals = (bench.turn > 5) + (bench.turn > 9)

    bench.after_turn = renew
    bench.go()
    assert bench.records.count(("fault", {"what": "network"})) == 2
    assert bench.app.parts.counters.snapshot()["wifi_renewals"] == 2 and bench.state == IDLE


def test_a_press_with_the_switch_on_mute_stores_nothing():
    bench = Bench(muted=True)
    bench.switch = True
    bench.presses = [13, 15]
    saved = []
    bench.save = saved.append
    bench.go()
    assert False not in saved, "a power loss in between would have opened it"
    assert bench.app.parts.gate.refused == 2


def test_a_mute_closes_the_microphone_then_stores_shows_and_records():
    """Whatever a power loss leaves, the device is muted where light or log said so."""
    for how in ("button", "missed", "network"):
        bench = Bench(turns=30)
        order = bench.log
        save, append = bench.save, bench.append

        def saving(muted, save=save, order=order):
            order.append("stored" if muted else "opened")
            save(muted)

        def appending(kind, now_ms, append=append, order=order, **fields):
            order.append((kind, fields.get("on")))
            append(kind, now_ms, **fields)

        def mute(bench=bench):
            if bench.turn == 10:
                bench.app.parts.gate.mute()
                bench.app.remote_mute()

        bench.save, bench.append = saving, appending
        if how == "network":
            bench.after_turn = mute
        else:
            (bench.presses if how == "button" else bench.missed).append(10)
        bench.go()
        steps = ["mic off", "stored", RED, ("mic", False), ("mute", True)]
        assert [step for step in order if step in steps][:5] == steps, (how, order)
    bench = Bench(muted=True, turns=30)
    order, append = bench.log, bench.append

    def appending(kind, now_ms, **fields):
        order.append((kind, fields.get("on")))
        append(kind, now_ms, **fields)

    bench.append = appending
    bench.save = lambda muted: order.append("stored" if muted else "opened")
    bench.presses = [10]
    bench.go()
    steps = ["opened", ("mute", False), ("mic", True), GREEN, "mic on"]
    assert [step for step in order if step in steps][:5] == steps, order


def test_a_mute_and_an_unmute_in_one_turn_are_both_recorded_in_their_order():
    bench = Bench(turns=30)
    bench.presses = [10]

    def mute():
        if bench.turn == 10:
            bench.app.parts.gate.mute()
            bench.app.remote_mute()

    bench.after_turn = mute
    bench.go()
    mutes = [(fields["on"], fields["source"]) for kind, fields in bench.records if kind == "mute"]
    assert mutes == [(False, "boot"), (True, "network"), (False, "button")], mutes
    assert bench.state == IDLE and bench.stored is False


def test_a_mute_that_is_not_stored_is_neither_shown_nor_recorded_as_one():
    bench = Bench(turns=60)
    bench.presses = [5]
    bench.store_fails = True
    bench.go()
    assert bench.state == MUTED and not bench.mic_on
    after = bench.log[bench.log.index("mic off") :]
    assert RED not in after and YELLOW in after, after
    assert ("mute", {"on": True, "source": "button"}) not in bench.records
    bench = Bench(turns=160)
    bench.presses = [5]
    bench.store_fails = True

    def mend():
        bench.store_fails = bench.turn < 50

    bench.after_turn = mend
    bench.go()
    assert bench.stored is True and bench.log[-1] == RED
    assert bench.records[-1] == ("mute", {"on": True, "source": "button"})


def test_a_switch_that_stands_open_at_the_start_is_not_an_unmuting():
    """The debounce says "muted" at first, whatever the switch says."""
    for stands_open in (True, False):
        bench = Bench(turns=60)
        debounce = SwitchDebounce()
        bench.switch_muted = lambda d=debounce, b=bench, o=stands_open: d.update(not o, b.now)
        bench.go()
        mutes = [fields for kind, fields in bench.records if kind == "mute"]
        assert mutes == [{"on": not stands_open, "source": "boot"}], mutes
        assert bench.state == (IDLE if stands_open else MUTED)


def test_a_mute_that_could_not_be_stored_is_stored_later():
    bench = Bench(turns=250)
    bench.presses = [5]
    bench.store_fails = True
    tries = []
    save = bench.save

    def saving(muted):
        tries.append(bench.turn)
        save(muted)

    def mend():
        if bench.turn == 150:
            bench.store_fails = False

    bench.save = saving
    bench.after_turn = mend
    bench.go()
    assert bench.state == MUTED and bench.stored is True, "a power loss would open it"
    assert len(tries) == 3, tries
    assert ("fault", {"what": "storage"}) in bench.records


def test_a_press_after_an_error_is_recorded_and_a_failed_start_too():
    bench = Bench()
    bench.start_fails = True
    bench.presses = [8]
    bench.go()
    mics = [fields["on"] for kind, fields in bench.records if kind == "mic"]
    assert mics == [True, False], mics
    assert bench.records[-1] == ("mute", {"on": True, "source": "button"})


def test_a_light_that_fails_at_the_wake_word_lets_no_stream_be_recorded():
    bench = Bench(turns=20)
    bench.wakes = [5]

    def fail():
        bench.light_fails = bench.turn >= 5

    bench.after_turn = fail
    bench.go()
    assert bench.sent == [] and bench.state == ERROR and not bench.mic_on
    assert "stream-start" not in bench.kinds() and "stream-end" not in bench.kinds()
    wakes = [fields["streamed"] for kind, fields in bench.records if kind == "wake"]
    assert wakes == [False]


def test_a_microphone_that_never_waits_leaves_the_network_its_turn():
    bench = Bench(turns=30)
    seen = []

    def try_read(chunk):  # the ring has all of it: nothing to wait for
        bench.turn += 1
        if bench.turn >= bench.turns:
            raise End
        return True

    async def network():
        while True:
            seen.append(bench.turn)
            await asyncio.sleep(0)

    bench.try_read = try_read
    bench.run_network = network
    bench.go()
    assert seen[0] <= 4 and len(seen) >= 7, seen


def test_what_the_network_does_is_recorded():
    bench = Bench()
    bench.go()
    bench.app.remote_refused("unmute")
    assert bench.records[-1] == ("refused", {"what": "unmute", "source": "network"})
    bench.app._speech_began_ms = bench.now - 30
    bench.app.first_byte()
    bench.app._speech_began_ms = bench.now - 10
    bench.app.first_byte()
    assert bench.app.worst_first_byte_ms == 30


def test_a_switch_on_mute_at_the_start_never_lets_the_microphone_on():
    bench = Bench()
    bench.switch = True
    bench.go()
    assert bench.state == MUTED and "mic on" not in bench.log
    assert bench.records[1] == ("mute", {"on": True, "source": "boot"})


def test_the_light_says_not_ready_before_anything_is_read():
    bench = Bench(muted=True)
    bench.load = lambda: bench.log.append("read") or True
    bench.go()
    assert bench.log[:2] == [YELLOW, "read"], bench.log


def test_without_room_in_the_log_no_stream_starts():
    bench = Bench()
    bench.wakes = [5]
    bench.may_stream = lambda now_ms: False
    bench.go()
    assert bench.sent == [] and BLUE not in bench.log


def test_a_mute_while_a_chunk_is_read_keeps_it_from_being_heard():
    bench = Bench()
    heard = []
    process = bench.process

    def processing(chunk):
        heard.append(bench.turn)
        return process(chunk)

    def mute():
        if bench.turn == 7:
            bench.app.parts.gate.mute()

    bench.process = processing
    bench.after_turn = mute
    bench.go()
    assert max(heard) == 6, heard


def test_a_start_that_could_not_be_recorded_opens_nothing():
    bench = Bench()
    append = bench.append

    def appending(kind, now_ms, **fields):
        if kind == "boot":
            raise OSError
        append(kind, now_ms, **fields)

    bench.append = appending
    bench.go()
    assert bench.state == ERROR and "mic on" not in bench.log


def test_closing_ends_the_network_task():
    bench = Bench(turns=10)
    ended = []

    async def network():
        try:
            await asyncio.sleep(0.001)
            while True:
                await asyncio.sleep(0)
        finally:
            ended.append(bench.turn)

    bench.run_network = network
    bench.go()
    bench.app.close()

    async def turns():
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(turns())
    assert ended


def test_a_microphone_whose_start_cannot_be_recorded_is_not_started():
    bench = Bench()
    append = bench.append

    def appending(kind, now_ms, **fields):
        if kind == "mic":
            raise OSError
        append(kind, now_ms, **fields)

    bench.append = appending
    bench.go()
    assert bench.state == ERROR and "mic on" not in bench.log


def test_no_record_says_off_while_the_microphone_is_on():
    bench = Bench(turns=12)
    bench.mic_sticks = True
    bench.presses = [5]
    bench.go()
    assert ("mic", {"on": False}) not in bench.records
    assert ("fault", {"what": "microphone"}) in bench.records


def test_a_light_that_fails_is_a_fault_in_every_state():
    for muted in (False, True):
        bench = Bench(muted=muted)

        def fail(bench=bench):
            bench.light_fails = bench.turn >= 8

        bench.after_turn = fail
        bench.go()
        assert bench.state == ERROR and not bench.mic_on, muted


def test_a_task_that_ends_quietly_ends_the_application():
    bench = Bench(turns=40)

    async def end():
        await asyncio.sleep(0)

    bench.run_network = end
    try:
        bench.go()
        raise AssertionError("nobody noticed")
    except RuntimeError:
        bench.app.close()
    assert bench.turn < 10 and not bench.mic_on


def test_an_unmute_that_may_be_stored_after_all_is_muted_at_once():
    bench = Bench(muted=True)
    bench.presses = [3]
    tries = []

    def saving(muted):
        tries.append((bench.turn, muted))
        if not muted:
            raise OSError("written, but not certain to be")

    bench.save = saving
    bench.go()
    assert tries == [(3, False), (3, True)] and bench.state == MUTED, tries


def test_each_stream_looks_anew_for_the_end_of_speech():
    class Endpoint:
        begun = 0
        heard_speech = True

        def begin(self):
            self.begun += 1

        def reset(self):
            pass

        def listen(self, features, chunk):
            pass

        def update(self, features, chunk):
            return bench.turn in (8, 18)

    bench = Bench(turns=25)
    bench.wakes = [5, 15]
    bench.app.parts.end_of_speech = endpoint = Endpoint()
    bench.go()
    assert endpoint.begun == 2 and bench.kinds().count("stream-end") == 2


def test_on_a_board_without_a_button_the_switch_unmutes_when_it_is_moved():
    for has_button in (True, False):
        bench = Bench(muted=True, turns=30)
        bench.has_button = has_button
        bench.switch_at = {0: False, 5: True, 10: False}
        bench.go()
        # at the start the switch stands open: that alone opens nothing
        assert "mic on" not in bench.log[: bench.log.index(RED) + 1]
        assert bench.state == (MUTED if has_button else IDLE), has_button
        assert bench.stored is has_button, has_button
    bench = Bench(muted=True, turns=30)
    bench.has_button = False
    bench.store_fails = True
    bench.switch_at = {0: True, 10: False}
    bench.go()
    assert bench.state == MUTED and "mic on" not in bench.log


def test_a_start_or_a_bounce_of_the_switch_unmutes_nobody_without_a_button():
    """The real debounce says "muted" at first, whatever the switch says."""
    for bounces in ((), (12,)):
        for moved in (False, True):
            bench = Bench(muted=True, turns=60)
            bench.has_button = False
            debounce = SwitchDebounce()

            def muted(bench=bench, debounce=debounce, bounces=bounces, moved=moved):
                is_on = bench.turn in bounces or (moved and 25 <= bench.turn < 35)
                return debounce.update(is_on, bench.now)

            bench.switch_muted = muted
            bench.switch_was_moved = lambda debounce=debounce: debounce.was_moved
            bench.go()
            assert bench.state == (IDLE if moved else MUTED), (bounces, moved)
            assert bench.stored is (not moved), (bounces, moved)


def test_a_task_that_failed_is_awaited_once():
    """MicroPython crashes, with no exception, when a task that has failed is awaited again."""

    class Idle(App):
        def boot(self):
            pass

        async def step(self, turns):
            await asyncio.sleep_ms(0)

    class Streamer:
        async def run(self):
            await asyncio.Event().wait()

    async def fail():
        raise ValueError("a task failed")

    async def twice():
        parts = Parts()
        parts.gate = parts.speech = parts.speaker = None
        parts.streamer = Streamer()
        app = Idle(parts)
        for _ in range(2):
            try:
                await app.run(fail())
            except ValueError:
                await asyncio.sleep_ms(2)
        assert not [task for task in app._tasks if task.done()]

    asyncio.run(twice())


def test_garbage_is_collected_after_a_stream_and_once_it_is_muted():
    import satellite.app as module

    class Collector:
        def collect(self):
            bench.log.append("collect")

    bench = Bench()
    kept = module.gc
    module.gc = Collector()
    try:
        bench.wakes = [3]
        bench.presses = [8]
        bench.go()
    finally:
        module.gc = kept
    assert bench.log.count("collect") == 2, bench.log
    after = bench.log[bench.log.index("mic off") :]
    assert after.index("collect") > after.index(("light", (True, False, False))), after


def asking(bench, *asked):
    """Let the network ask for these (word, cutoff) after turn 10; what it was answered."""
    answers = []

    def ask():
        if bench.turn == 10:
            for word, thousandths in asked:
                answers.append(bench.app.remote_sensitivity(word, thousandths))

    bench.after_turn = ask
    bench.go()
    return answers


def test_the_network_raises_a_cutoff_applied_stored_and_recorded_in_this_order():
    bench = Bench()
    order = []
    append, write = bench.append, bench.files.write_atomic

    def appending(kind, now_ms, **fields):
        if kind == "sensitivity":
            order.append((kind, bench.cutoff))
        append(kind, now_ms, **fields)

    def writing(name, data):
        order.append((name, bench.cutoff))
        write(name, data)

    bench.append, bench.files.write_atomic = appending, writing
    assert asking(bench, ("okay_nabu", 950)) == [True]
    assert order == [(SENSITIVITY_FILE, 242), ("sensitivity", 242)], order
    fields = {"model": "okay_nabu", "cutoff_thousandths": 950, "source": "network"}
    assert ("sensitivity", fields) in bench.records
    assert bench.state == IDLE and bench.mic_on
    # the next start, with the model's own cutoff again
    again = Bench(turns=5)
    again.files.files = bench.files.files
    again.go()
    assert again.cutoff == 242 and "fault" not in again.kinds()


def test_the_network_lowers_no_cutoff():
    bench = Bench()
    asked = [("okay_nabu", cutoff) for cutoff in (100, 847, 857)] + [("alexa", 990)]
    assert asking(bench, *asked) == [False] * 4
    assert bench.cutoff == 216 and bench.files.files == {}
    assert "sensitivity" not in bench.kinds()


def test_a_cutoff_that_cannot_be_stored_or_recorded_is_not_confirmed():
    bench = Bench()
    bench.files.fails = True
    assert asking(bench, ("okay_nabu", 950)) == [False]
    assert bench.cutoff == 242 and ("fault", {"what": "storage"}) in bench.records
    assert "sensitivity" not in bench.kinds() and bench.state == IDLE
    bench = Bench()
    bench.log_has_room = False
    assert asking(bench, ("okay_nabu", 950)) == [False]
    assert bench.cutoff == 216 and bench.files.files == {}


def test_a_damaged_file_starts_with_the_highest_cutoff_and_says_so():
    bench = Bench(turns=5)
    bench.files.files[SENSITIVITY_FILE] = encode({"okay_nabu": 900})[:-1]
    bench.go()
    assert bench.cutoff == 252 and ("fault", {"what": "storage"}) in bench.records


def test_what_the_gate_refused_is_counted():
    bench = Bench(turns=12)

    def refuse():
        if bench.turn in (4, 8):
            bench.app.parts.gate.refuse()

    bench.after_turn = refuse
    bench.go()
    assert bench.app.parts.counters.snapshot()["refused"] == 2
