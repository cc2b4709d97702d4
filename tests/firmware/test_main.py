"""The composition root: however the application ends, the microphone is off first."""

import sys

import fakes  # noqa: F401
import machine
import main


class Reset(BaseException):
    """The board starts anew."""


class Quick:
    """The module `time`, but for the wait."""

    def __init__(self, log):
        self.log = log

    def sleep(self, seconds):
        self.log.append("wait")


class Hardware:
    """What can be on and what can be lit."""

    has_colour = True
    config = None

    def __init__(self, log, fails):
        self.log = log
        self.fails = fails
        self.mic = self.light = self.storage = self.watchdog = self
        self.wifi = None

    def stop(self):
        self.log.append("mic off")

    def is_on(self):
        return False

    def show(self, r, g, b):
        self.log.append(("light", r > 0, g > 0, b > 0))

    def is_ok(self):
        return True

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
        if self.fails_closing:
            raise self.fails_closing


class Module:
    pass


def play(ends, fails_before=None, fails_closing=None):
    log = []
    hardware = Hardware(log, fails_before)

    def reset():
        log.append("reset")
        raise Reset

    quiet = Module()
    quiet.attach = lambda app, hardware: None
    quiet.detach = lambda: None
    quiet.remember = lambda storage, error: log.append("remembered")
    model = Module()
    model.read = lambda path: None
    before = {name: sys.modules.get(name) for name in ("board", "time", "wakeword.model")}
    kept = (main.Hardware, main.build, main.diag, main._beside, machine.reset)
    sys.modules["board"] = Module()
    sys.modules["time"] = Quick(log)
    main.Hardware = lambda board: hardware
    main.build = lambda hardware, config, models: App(log, ends, fails_closing)
    main.diag = quiet
    main._beside = lambda hardware: None
    import wakeword.model as real

    read, real.read = real.read, model.read
    machine.reset = reset
    try:
        main.start()
    except Reset:
        pass
    finally:
        real.read = read
        main.Hardware, main.build, main.diag, main._beside, machine.reset = kept
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
    return log


def test_whatever_ends_the_application_closes_it_and_resets():
    for error in (ValueError("audit"), MemoryError(), KeyError("bug"), OSError(5), EOFError()):
        log = play(error)
        assert log[0] == ("closed", "crash") and log[-1] == "reset", (error, log)


def test_somebody_at_the_cable_closes_it_and_keeps_the_board():
    log = play(KeyboardInterrupt())
    assert log == [("closed", "other"), "watchdog"], log


def test_what_fails_while_it_closes_does_not_keep_it_from_the_reset():
    log = play(KeyError("bug"), fails_closing=ValueError("audit"))
    assert log[0] == ("closed", "crash") and log[-1] == "reset", log


def test_a_start_that_fails_is_shown_with_the_microphone_off():
    log = play(None, fails_before=ValueError("configuration"))
    assert log[:2] == ["mic off", ("light", True, True, False)] and log[-1] == "reset", log
