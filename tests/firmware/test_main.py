"""The composition root: however the application ends, the microphone is off first."""

import asyncio
import sys

import fakes  # noqa: F401
import machine
import main
import network
from drivers import boot_loop as restarts_module
from drivers import hardware as hardware_module
from drivers.boot_loop import Restarts

chip = machine.reset  # `play` replaces them


class Reset(BaseException):
    """The board starts anew."""


class Quick:
    """The module `time`, but for the wait."""

    def __init__(self, log):
        self.log = log
        self.slept_ms = 0

    def sleep(self, seconds):
        self.log.append("wait")

    def sleep_ms(self, ms):
        self.slept_ms += ms


class Hardware:
    """What can be on and what can be lit."""

    has_colour = True
    config = None

    def __init__(self, log, fails):
        self.log = log
        self.fails = fails
        self.mic = self.light = self.storage = self.watchdog = self.clock = self
        self.wifi = self.speaker = None

    def stop(self):
        self.log.append("mic off")

    def is_on(self):
        return False

    def show(self, r, g, b):
        self.log.append(("light", r > 0, g > 0, b > 0))

    def is_ok(self):
        return True

    def now_ms(self):
        return 12345

    def loosen(self):
        self.log.append("watchdog")

    def join(self, config):
        if self.fails:
            raise self.fails

    def read(self, name, limit):
        return None

    def __getattr__(self, name):
        raise AttributeError(name)


class App:
    def __init__(self, log, ends, fails_closing):
        self.log = log
        self.ends = ends
        self.fails_closing = fails_closing

    async def run(self, beside=None):
        raise self.ends

    def close(self, what="crash"):
        self.log.append(("closed", what))
        fails, self.fails_closing = self.fails_closing, None
        if fails:
            raise fails


class Module:
    pass


def play(ends, fails_before=None, fails_closing=None, log=None, models=None):
    log = [] if log is None else log
    hardware = Hardware(log, fails_before)

    def reset():
        log.append("reset")
        raise Reset

    quiet = Module()
    quiet.attach = lambda app, hardware: None
    quiet.detach = lambda: log.append("detached")
    quiet.remember = lambda storage, error, run_ms: log.append(("remembered", repr(error)))
    before = {name: sys.modules.get(name) for name in ("board", "time", "wakeword.model")}
    kept = (hardware_module.Hardware, main.build, main.diag, main._beside, machine.reset)
    sys.modules["board"] = Module()
    sys.modules["time"] = time = Quick(log)
    hardware_module.Hardware = lambda board: hardware
    main.build = lambda hardware, config, models: App(log, ends, fails_closing)
    main.diag = quiet
    main._beside = lambda hardware, restarts: None
    import wakeword.model as real

    read = real.read
    real.read = lambda path: None
    if models is not None:
        real.read = models
    machine.reset = reset
    try:
        main.start()
    except Reset:
        pass
    finally:
        real.read = read
        hardware_module.Hardware, main.build, main.diag, main._beside, machine.reset = kept
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
    if time.slept_ms:
        log.append(("slept", time.slept_ms))
    return log


def test_whatever_ends_the_application_closes_it_and_resets():
    for error in (ValueError("audit"), MemoryError(), KeyError("bug"), OSError(5), EOFError()):
        chip()
        log = play(error)
        assert log[0] == ("closed", "crash") and log[-1] == "reset", (error, log)


def test_somebody_at_the_cable_closes_it_and_keeps_the_board():
    log = play(KeyboardInterrupt())
    assert log == [("closed", "cable"), "detached", "watchdog"], log
    log = []
    try:
        play(KeyboardInterrupt(), fails_closing=ValueError("audit"), log=log)
        raise AssertionError("what was wrong while closing was swallowed")
    except ValueError:
        assert log == [("closed", "cable"), "detached", "watchdog"], log


def test_an_impatient_second_ctrl_c_leaves_nothing_open():
    log = play(KeyboardInterrupt(), fails_closing=KeyboardInterrupt())
    assert log[-3:] == [("closed", "cable"), "detached", "watchdog"], log
    assert log.count(("closed", "cable")) == 2, log


def test_what_fails_while_it_closes_does_not_keep_it_from_the_reset():
    log = play(KeyError("bug"), fails_closing=ValueError("audit"))
    assert log[0] == ("closed", "crash") and log[-1] == "reset", log


def test_a_start_that_fails_is_shown_with_the_microphone_off():
    log = play(None, fails_before=ValueError("configuration"))
    assert log[:2] == ["mic off", ("light", True, True, False)] and log[-1] == "reset", log


def test_a_start_that_fails_is_silent_first():
    class Speaker:
        def stop(self):
            log.append("speaker off")

        def is_on(self):
            return False

    log = []
    hardware = Hardware(log, None)
    hardware.speaker = Speaker()
    main._close(None, hardware, "crash")
    assert log == ["speaker off", "mic off", ("light", True, True, False)], log


def test_a_start_without_its_model_names_the_file_and_what_to_type():
    from wakeword.model_format import ModelFormatError

    def missing(path):
        raise OSError(2)

    def damaged(path):
        raise ModelFormatError("checksum")

    for read, words in ((missing, "is not there"), (damaged, "checksum")):
        chip()
        log = play(None, models=read)
        said = [entry[1] for entry in log if entry[0] == "remembered"]
        assert len(said) == 1 and log[-1] == "reset", log
        for part in ("models/okay_nabu.ewm", words, "earnest install"):
            assert part in said[0], said
        assert log[:2] == ["mic off", ("light", True, True, False)], log


def test_the_error_that_ended_a_run_is_kept_with_its_file_and_its_time_until_a_good_run():
    from diagnostics import status

    class Storage:
        files = {}
        fails = False

        def write_atomic(self, name, data):
            if self.fails:
                raise OSError(28)
            self.files[name] = data

        remove = files.pop

    storage = Storage()
    for error, said in (
        (OSError(2, "models/x.ewm"), "OSError: no such file, models/x.ewm (after 12 s)"),
        (OSError(28), "OSError: the disk is full (after 12 s)"),
        (OSError(116), "OSError: number 116 (after 12 s)"),
        (OSError("the radio"), "OSError: the radio (after 12 s)"),
        (KeyError("bug"), "KeyError: bug (after 12 s)"),
        (main.StartError("models/x.ewm"), "StartError: models/x.ewm (after 12 s)"),
        (ValueError("x" * 900), "ValueError: " + "x" * 188 + " (after 12 s)"),
    ):
        status.remember(storage, error, 12345)
        assert storage.files == {"last_error.txt": said.encode()}, storage.files
    storage.fails = True
    status.remember(storage, KeyError("bug"), 1)
    status.forget(storage)
    assert storage.files == {}


def test_an_error_of_the_storage_names_its_file():
    from drivers.storage import Files

    for call in (
        lambda files: files.write_atomic("a", b"x"),
        lambda files: files.append("a", b"x"),
    ):
        try:
            call(Files("/no/such/folder"))
            raise AssertionError("written")
        except OSError as error:
            assert error.args[0] == 2 and "/no/such/folder/a" in error.args[1], error


def test_failures_in_a_row_make_the_pauses_longer():
    chip()
    machine.world.cause = machine.HARD_RESET  # as after machine.reset
    slept_s = []
    for _ in range(14):
        log = play(KeyError("bug"))
        assert log[0][0] == "light" or log[0] == ("closed", "crash"), log[:3]
        slept_s.append(log[-1][1] // 1000 if log[-1][0] == "slept" else 0)
    assert slept_s[:6] == [0, 0, 5, 10, 20, 40] and slept_s[-3:] == [2560, 3600, 3600], slept_s
    machine.world.cause = machine.PWRON_RESET
    assert play(KeyError("bug"))[0] == ("closed", "crash"), "somebody plugged it in again"


def test_a_person_at_the_cable_need_not_wait_and_is_no_failure():
    chip()
    machine.world.cause = machine.HARD_RESET
    for _ in range(5):
        assert play(KeyboardInterrupt())[-1] == "watchdog"
    assert Restarts("reset").failures == 0


def test_watchdog_and_brownout_count_as_failures_and_a_good_run_ends_the_row():
    chip()
    for expected, reason in enumerate(("watchdog", "brownout", "watchdog"), 1):
        restarts = Restarts(reason)
        assert restarts.failures == expected
    assert restarts.wait_s == 10
    restarts.went_well()
    assert (restarts.failures, restarts.wait_s) == (0, 0)
    for reason in ("power", "soft"):
        for _ in range(3):
            Restarts("watchdog")
        assert Restarts(reason).failures == 0


def test_a_crash_of_micropython_itself_counts_as_a_failure():
    """Nobody saw the run end, and the reset is one of the software (ports/esp32/modmachine.c)."""
    chip()
    for expected in (0, 1, 2, 3):
        assert Restarts("reset").failures == expected
    assert Restarts("unknown").failures == 3, "a tool that pulled the chip's reset"
    Restarts("unknown").stopped()
    assert Restarts("reset").failures == 3
    restarts = Restarts("soft")
    restarts.went_well()
    assert Restarts("reset").failures == 1, "it ran well, and then crashed"


def test_whatever_is_in_the_memory_is_a_number_of_failures():
    chip()
    ours = b"earnest failures "
    for data in (b"", ours, ours + b"x1 stopped", ours + b"1 stopped", ours + b"07", bytes(2048)):
        machine.world.rtc_memory = data
        assert Restarts("reset").failures == 0, data
    for _ in range(120):
        Restarts("watchdog")
    assert Restarts("reset").failures == 99 and Restarts("reset").wait_s == 3600


def test_a_good_run_is_told():
    class Row:
        wells = removed = 0

        def went_well(self):
            self.wells += 1

        def remove(self, name):
            assert name == "last_error.txt" and self.wells == 1
            self.removed += 1

    async def run(good_run_s):
        restarts_module.GOOD_RUN_S = good_run_s
        row = Row()
        task = asyncio.create_task(main._run_well(row, row))
        await asyncio.sleep_ms(50)
        task.cancel()
        assert row.removed == row.wells, "the error of an earlier run is no news any more"
        return row.wells

    kept = restarts_module.GOOD_RUN_S
    try:
        assert asyncio.run(run(0.01)) == 1 and asyncio.run(run(1)) == 0
    finally:
        restarts_module.GOOD_RUN_S = kept


def test_the_connection_waits_for_the_network_and_not_in_vain_attempts():
    class Config:
        wifi_ssid, wifi_password, receiver_host, receiver_port = "home", "secret", "", 10700

    class Hardware:
        storage = wifi = connect = None

    async def run():
        hardware = Hardware()
        hardware_module.Hardware.join(hardware, Config)
        network.air.is_near = False
        attempt = asyncio.create_task(hardware.connect())
        await asyncio.sleep_ms(3 * hardware_module.WIFI_STEP_MS)
        assert not attempt.done() and hardware.wifi.attempts == 0
        network.air.is_near = True
        assert await hardware.wifi.connect()
        try:
            await attempt
        except OSError as error:
            return str(error)

    async def run_offline():
        hardware = Hardware()
        Config.wifi_ssid = ""
        hardware_module.Hardware.join(hardware, Config)
        attempt = asyncio.create_task(hardware.connect())
        await asyncio.sleep_ms(3 * hardware_module.WIFI_STEP_MS)
        return attempt.done()

    network.reset()
    assert asyncio.run(run()) == "no receiver in the configuration"
    assert not asyncio.run(run_offline()), "without a network nothing is tried"
