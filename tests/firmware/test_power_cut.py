"""The power is cut at every write to the flash: what light or log have said holds afterwards.

The real App, AuditLog, MuteState, SensitivityState and Consent on MicroPython's LittleFS, in RAM;
after each cut the flash is mounted again, as at the next start.
"""

import asyncio

import fakes  # noqa: F401
import main
import vfs
from drivers.storage import Files
from flash_in_ram import FlashInRam
from satellite.config import Config
from satellite.consent import Consent, receiver_id
from satellite.mute_state import MuteState
from satellite.sensitivity_state import SensitivityState
from wakeword.detector import Detector

HEAP_BYTES = 4194304
ROOT = "/cut"
#: The one that `build` configures.
RECEIVER = receiver_id(Config.defaults(), Files(ROOT))


class Drivers:
    """Everything that a device hands in, in one object; `seen` is what the light showed."""

    has_colour = has_button = True
    overruns = 0
    reset = "power"
    wifi = speaker = None

    def __init__(self):
        self.storage = Files(ROOT)
        self.seen = []
        self.presses = 0
        self._now_ms = 0
        self._is_on = False
        for port in ("mic", "light", "controls", "clock", "watchdog"):
            setattr(self, port, self)

    async def connect(self):
        await asyncio.Event().wait()

    def random_number(self):
        return 5

    def show(self, r, g, b):
        colour = "red" if r and not g and not b else "green" if g and not r and not b else "other"
        if self.seen[-1:] != [colour]:
            self.seen.append(colour)

    def is_ok(self):
        return True

    def start(self):
        self._is_on = True
        self.seen.append("listens")

    def stop(self):
        self._is_on = False

    def is_on(self):
        return self._is_on

    def health(self):
        return 0

    changes = 0

    def try_read(self, chunk):
        return False

    async def read(self, chunk):
        self._now_ms += 10

    async def sleep_ms(self, ms):
        self._now_ms += ms

    def now_ms(self):
        return self._now_ms

    def ticks_us(self):
        return 1000 * self._now_ms

    def are_still(self):
        return False

    def was_pressed(self):
        is_pressed, self.presses = self.presses > 0, 0
        return is_pressed

    def press_was_missed(self):
        return False

    def switch_muted(self):
        return None

    def switch_was_moved(self):
        return False

    def feed(self):
        pass


class Deaf:
    """An engine that hears nothing."""

    slice_ready = False
    slice = bytearray(40)
    detectors = models = ()

    def __init__(self, models, *settings):
        pass

    def reset(self):
        pass

    def process(self, chunk):
        return -1


class Kinds(main.Kinds):
    engine = Deaf


class OneWord(Deaf):
    def __init__(self, models, *settings):
        self.detectors = [Detector(216, 5, 30)]


class OneWordKinds(main.Kinds):
    engine = OneWord


def fresh(muted):
    """A flash with this mute state, and a log that has begun."""
    flash = FlashInRam()
    vfs.VfsLfs2.mkfs(flash)
    with_flash(flash, started, muted)
    return flash


def started(muted):
    MuteState(Files(ROOT)).save(muted)
    drivers, app = build()
    asyncio.run(steps(app, 20, boots=True))


def with_flash(flash, work, *arguments):
    vfs.mount(vfs.VfsLfs2(flash), ROOT)
    try:
        return work(*arguments)
    finally:
        vfs.umount(ROOT)


def build(kinds=Kinds):
    drivers = Drivers()
    return drivers, main.build(drivers, Config.defaults(), [], kinds)


async def steps(app, count, boots=False):
    if boots:
        app.boot()
    for _ in range(count):
        await app.step()


def every_cut(flash, act):
    """Yields what `act()` returned, and the flash, after a cut at each write; then without one."""
    for is_torn in (False, True):
        after = 0
        while True:
            trial = flash.copy()
            said = with_flash(trial, act, trial, after, is_torn)
            was_cut = trial.is_off
            trial.on()
            yield said, trial, was_cut
            if not was_cut:
                break
            after += 1


def log_bytes():
    return Files(ROOT).read("audit.jsonl", 40000) or b""


def last_mute():
    """What the last mute record of the log on the flash says, or None."""
    said = None
    for line in log_bytes().split(b"\n"):
        if b'"kind":"mute"' in line and line.endswith(b"}"):
            said = b'"on":true' in line
    return said


def found():
    """(the stored mute state, what the log says last)"""
    return MuteState(Files(ROOT)).load(), last_mute()


def muted_by_network(trial, after, is_torn):
    return press(trial, after, is_torn, by_network=True)


def press(trial, after, is_torn, by_network=False):
    drivers, app = build()

    async def run():
        app.boot()
        await steps(app, 3)
        drivers.seen.clear()
        trial.cut(after, is_torn)
        if by_network:
            app.parts.gate.mute()
            app.remote_mute()
        else:
            drivers.presses = 1
        await steps(app, 4)

    try:
        asyncio.run(run())
    except OSError:
        pass
    return drivers.seen


def test_a_mute_that_was_shown_or_recorded_survives():
    flash = fresh(False)
    for mute in (press, muted_by_network):
        cuts = 0
        for seen, trial, was_cut in every_cut(flash, mute):
            muted, recorded = with_flash(trial, found)
            cuts += was_cut
            assert muted or not recorded, (cuts, "the log says muted", seen)
            assert muted or "red" not in seen, (cuts, "the light has said muted", seen)
            if not was_cut:
                assert muted and recorded and seen[-1] == "red", seen
        assert cuts > 60, cuts


def test_an_unmute_is_stored_and_recorded_before_anything_listens():
    flash = fresh(True)
    cuts = 0
    for seen, trial, was_cut in every_cut(flash, press):
        muted, recorded = with_flash(trial, found)
        cuts += was_cut
        if "listens" in seen or "green" in seen:
            assert muted is False and recorded is False, (cuts, seen)
        if not was_cut:
            assert seen[-1] == "listens", seen
    assert cuts > 60, cuts


def test_a_consent_is_on_the_flash_before_a_stream_and_a_withdrawal_until_it_is_recorded():
    flash = FlashInRam()
    vfs.VfsLfs2.mkfs(flash)

    def grant(trial, after, is_torn):
        consent = Consent(Files(ROOT), True, False, RECEIVER)
        consent.load()
        trial.cut(after, is_torn)
        try:
            consent.use()
        except OSError:
            return False
        return True

    def due():
        consent = Consent(Files(ROOT), False, False, RECEIVER)
        consent.load()
        return consent.withdrawal() is not None

    for may_stream, trial, _ in every_cut(flash, grant):
        if may_stream:
            assert with_flash(trial, due), "kept under a consent that nobody would withdraw"
    granted = trial

    def withdraw(trial, after, is_torn):
        drivers, app = build()

        async def run():
            app.boot()
            trial.cut(after, is_torn)
            app.deleted(3)

        try:
            asyncio.run(run())
        except OSError:
            pass

    cuts = 0
    for _, trial, was_cut in every_cut(granted, withdraw):
        cuts += was_cut
        is_due = with_flash(trial, due)
        log = with_flash(trial, log_bytes)
        assert is_due or b'"what":"deleted"' in log, "confirmed, and not in the log"
        assert was_cut or not is_due, "it was confirmed"
    assert cuts > 20, cuts


def test_a_raised_cutoff_that_was_recorded_survives():
    word = Config.defaults().models[0]

    def ask(trial, after, is_torn):
        drivers, app = build(OneWordKinds)

        async def run():
            app.boot()
            await steps(app, 3)
            trial.cut(after, is_torn)
            app.remote_sensitivity(word, 950)

        try:
            asyncio.run(run())
        except OSError:
            pass

    def cutoff_at_start():
        detector = Detector(216, 5, 30)
        state = SensitivityState(Files(ROOT), (word,), [detector])
        state.load()
        assert not state.is_damaged
        return detector.cutoff

    cuts = 0
    seen = set()
    for _, trial, was_cut in every_cut(fresh(False), ask):
        cuts += was_cut
        cutoff = with_flash(trial, cutoff_at_start)
        is_recorded = b'"kind":"sensitivity"' in with_flash(trial, log_bytes)
        seen.add(cutoff)
        assert cutoff == 242 or not is_recorded, (cuts, "the log says raised")
        assert was_cut or is_recorded
    assert cuts > 20 and seen == {216, 242}, (cuts, seen)


class Loud(Drivers):
    """Also has a loudspeaker."""

    def __init__(self):
        Drivers.__init__(self)
        self.speaker = Loudspeaker(self.seen)

    def is_held(self):
        return False


class Loudspeaker:
    """Says what was heard of it into `seen`."""

    late = 0
    buffer_ms = 20

    def __init__(self, seen):
        self.seen = seen
        self.on = False

    def start(self):
        self.on = True

    def stop(self):
        self.on = False

    def is_on(self):
        return self.on

    def write(self, chunk):
        if any(chunk):
            self.seen.append("sounds")
        return bool(self.on)


def test_what_sounds_is_in_the_log_before_and_a_mute_meanwhile_survives():
    """The power is cut at every write from the request to the mute in the middle of the sound."""
    config = Config({"timers": True})

    def ring(trial, after, is_torn):
        drivers = Loud()
        app = main.build(drivers, config, [], Kinds)

        async def run():
            app.boot()
            await steps(app, 3)
            drivers.seen.clear()
            trial.cut(after, is_torn)
            speech = app.parts.speech
            assert speech.ask("a" * 16, "timer", None, 30000, drivers.now_ms(), True) is None
            await steps(app, 4)
            app.parts.gate.mute()
            app.remote_mute()
            at = len(drivers.seen)
            await steps(app, 25)
            assert "sounds" not in drivers.seen[at:], "it was muted"

        try:
            asyncio.run(run())
        except OSError:
            pass
        return drivers.seen

    cuts = 0
    for seen, trial, was_cut in every_cut(fresh(False), ring):
        cuts += was_cut
        log = with_flash(trial, log_bytes)
        muted, recorded = with_flash(trial, found)
        assert b'"speak-start","what":"timer"' in log or "sounds" not in seen, (cuts, seen)
        assert muted or not ("red" in seen or recorded), (cuts, seen)
        if not was_cut:
            assert "sounds" in seen and b'"speak-end"' in log and muted and recorded
    assert cuts > 60, cuts
