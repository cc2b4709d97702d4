"""For the REPL: `import diag`, then `diag.status()`, `diag.mic()`, `diag.selftest()`,
`diag.bench()`, `diag.log()`.

Short text for people; with json=True one line for programs (see diagnostics/frame.py).  Works with
the application running, stopped by Ctrl-C, or never started.  The microphone starts only in
`mic` and `selftest`, the speaker in `selftest`, only where the device is not muted, and after the
light.  Nothing here opens the gate, unmutes, or shows a key or a password.
"""

from diagnostics import frame
from diagnostics import status as _status
from diagnostics import text as _text
from diagnostics.records import newest as _newest

#: The application of main.py and its drivers, while there are any; see attach.
_app = None
_hardware = None
_is_running = False
_models = None


def attach(app, hardware):
    """Called by main.py: what `status` is about; the receiver is told the firmware's version."""
    global _app, _hardware, _is_running
    _app, _hardware, _is_running = app, hardware, True
    app.parts.streamer.status.firmware = _status.installed_version()


def detach():
    """Called by main.py once the application has been closed."""
    global _is_running
    _is_running = False


def console():
    """The task that answers over the cable beside the running application."""
    from diagnostics.console import Console

    return Console(_app, _hardware).run()


def remember(storage, error, run_ms):
    """Called by main.py: keep the error that ended a run of `run_ms` for the next `status`."""
    _status.remember(storage, error, run_ms)


def forget(storage):
    """Called by main.py after a good run: what ended an earlier one is no news any more."""
    _status.forget(storage)


def status(json=False):
    """Versions, state, mute, microphone and light as read back, network, counters, errors."""
    _say(_status.collect(_app, _hardware, _is_running), _text.status_lines, json)


def levels(json=False):
    """For `earnest monitor`; without a running application there is only its state."""
    _say({"state": "STOPPED"}, lambda value: [value["state"]], json)


def log(json=False):
    """What was recorded last, and the error that last stopped the application."""
    value = {"version": 1, "records": _newest(), "last_error": _status.last_error()}
    _say(value, _text.log_lines, json)


def mic(json=False):
    """Listen for two seconds and judge the microphone; refused while muted."""
    from diagnostics import microphone

    _say(microphone.measure(_stopped()), _text.microphone_lines, json)


def selftest(*names, json=False, expected=None):
    """Run the tests of these names, or all of them; see diagnostics/self_test.py."""
    from diagnostics import self_test

    results = []
    try:
        for name in names or self_test.NAMES:
            # A damaged file may keep the drivers from being made.
            hardware = None if name in self_test.BARE else _stopped()
            found = self_test.run(name, hardware, hardware and hardware.config, expected)
            results.append(found)
            if not json:
                print("\n".join(_text.test_lines([found])))
    finally:
        self_test.tidy()
    if json:
        print(frame.encode({"version": 1, "results": results}))


def bench(json=False):
    """Microseconds of each stage on this chip."""
    from diagnostics import timing
    from wakeword.model import read

    names = _stopped().config.models
    models = []
    for name in names:
        try:
            models.append(read("models/%s.ewm" % name))
        except OSError:
            raise RuntimeError("models/%s.ewm is not there: earnest install" % name)
    result = timing.measure(models)
    result["models"] = list(names)
    _say(result, _text.timing_lines, json)


def _say(value, lines, json):
    print(frame.encode(value) if json else "\n".join(lines(value)))


def _stopped():
    """The drivers, for a test; RuntimeError while the application uses them.  Feeds the watchdog
    that an application which was stopped has left behind.
    """
    global _hardware
    if _is_running:
        raise RuntimeError("Earnest is running: press Ctrl-C first")
    if _hardware is None:
        import board
        from drivers.hardware import Hardware
        from satellite.config import load

        _hardware = Hardware(board)
        _hardware.config = load(_hardware.storage)
        _hardware.join(_hardware.config)
    return _hardware
