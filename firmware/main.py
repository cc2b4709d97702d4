"""The composition root: board and configuration to drivers, engine and satellite; then it runs.

On the board this is what MicroPython starts.  `build` is the same for the simulated device, which
hands in simulated drivers.  Whatever goes wrong below ends here, with the gate closed and the
microphone off; then the board starts anew.
"""

import asyncio

import diag
from drivers.backoff import BackOff
from satellite.app import App
from satellite.audit_log import AuditLog
from satellite.consent import Consent
from satellite.counters import Diagnostics
from satellite.end_of_speech import EndOfSpeech
from satellite.gate import ERROR, Gate
from satellite.light import Light
from satellite.mute_state import MuteState
from satellite.streamer import Streamer
from wakeword.engine import Engine

CPU_HZ = 240000000
#: How often the connection to the receiver looks whether there is a network.
WIFI_STEP_MS = 100


class Parts:
    """Everything an application is made of; see satellite.app.App for the names."""


def build(drivers, config, models, engine=Engine, gate=Gate):
    """An App of these drivers.

    `drivers` has mic, light, controls, clock, watchdog, storage, connect, random_number and
    reset, the reason of the start as watchdog.reset_reason says it;
    `models` are wakeword.model.Model, in the order of their precedence; `engine` and `gate` are
    the classes to use, which a simulation replaces by ones that tell what they do.
    """
    parts = Parts()
    parts.diagnostics = Diagnostics()
    parts.engine = engine(models, config.refractory_ms)
    parts.gate = gate(preroll_ms=config.preroll_ms, max_stream_ms=config.max_stream_ms)
    parts.light = Light(drivers.light, config.brightness, drivers.light.has_colour)
    parts.mic = drivers.mic
    parts.controls = drivers.controls
    parts.clock = drivers.clock
    parts.watchdog = drivers.watchdog
    parts.random_number = drivers.random_number
    parts.reset = drivers.reset
    parts.end_of_speech = EndOfSpeech(config.end_of_speech_ms)
    parts.audit = AuditLog(drivers.storage)
    parts.mute_store = MuteState(drivers.storage)
    parts.consent = Consent(drivers.storage, config.keep_recordings, config.share_for_training)
    parts.streamer = Streamer(
        drivers.connect,
        parts.gate,
        drivers.clock,
        {
            "keep_recordings": config.keep_recordings,
            "share_for_training": config.share_for_training,
            "preroll_ms": config.preroll_ms,
        },
        parts.diagnostics,
        drivers.random_number,
        BackOff(),
    )
    parts.config = config
    app = App(parts)
    parts.streamer.owner = app
    return app


class Hardware:
    """The real drivers, by the names that `build` wants."""

    def __init__(self, board):
        import machine
        from drivers import hardware
        from drivers.clock import Clock
        from drivers.storage import Files
        from drivers.watchdog import Watchdog, reset_reason

        self.mic = hardware.microphone(board)  # first: its pins are at rest whatever fails later
        machine.freq(CPU_HZ)  # some stock images start at 160 MHz
        hardware.quiet(board)
        self.storage = Files()
        self.clock = Clock()
        self.watchdog = Watchdog()
        self.light = hardware.light(board)
        self.controls = hardware.controls(board, self.clock.now_ms)
        self.reset = reset_reason()
        self.wifi = None
        self.connect = None

    def join(self, config):
        """Make ready for the network that the configuration names."""
        from drivers import tls
        from drivers.wifi import Wifi

        if config.wifi_ssid:
            self.wifi = Wifi(config.wifi_ssid, config.wifi_password)
        connect = tls.connector(config, self.storage, lambda: self.wifi.name_server())

        async def connect_over_wifi():
            if self.wifi is None:
                await asyncio.Event().wait()  # nothing is configured, nothing is tried
            while not self.wifi.is_connected():
                await asyncio.sleep_ms(WIFI_STEP_MS)
            return await connect()

        self.connect = connect_over_wifi

    def random_number(self):
        """62 bits from the chip's random number generator."""
        import os

        return int.from_bytes(os.urandom(8), "big") >> 2


async def _beside(hardware, restarts):
    """Wi-Fi, and the answers over the cable, beside the audio; ends only when Wi-Fi fails."""
    asyncio.create_task(diag.console())  # on its own: if it fails, the satellite goes on
    asyncio.create_task(_run_well(restarts))
    if hardware.wifi:
        await hardware.wifi.run()
    await asyncio.Event().wait()


async def _run_well(restarts):
    from drivers.boot_loop import GOOD_RUN_S

    await asyncio.sleep(GOOD_RUN_S)
    restarts.went_well()


def _pause(hardware, wait_s):
    """After failures in a row: the microphone off, the light says that something is wrong."""
    import time

    print("earnest failed more than once: waiting", wait_s, "s; Ctrl-C gives the REPL")
    light = Light(hardware.light, has_colour=hardware.light.has_colour)
    for tick in range(10 * wait_s):
        light.update(ERROR, hardware.mic.is_on(), 100 * tick)
        time.sleep_ms(100)


def _close(app, hardware, what):
    """Nothing may listen or leave any more, and the light says that something is wrong."""
    try:
        if app is not None:
            app.close(what)
        elif hardware is not None:
            hardware.mic.stop()
            light = Light(hardware.light, has_colour=hardware.light.has_colour)
            light.update(ERROR, hardware.mic.is_on(), 0)
    finally:  # also when the end could not be recorded
        diag.detach()


def start():
    """What the board does: read its files, build, run; a failure ends with a reset."""
    import time

    import board
    import machine
    from drivers.boot_loop import Restarts
    from drivers.watchdog import reset_reason
    from satellite.config import load
    from wakeword.model import read

    hardware = None
    app = None
    restarts = Restarts(reset_reason())
    try:
        hardware = Hardware(board)
        if restarts.wait_s:
            _pause(hardware, restarts.wait_s)
        hardware.config = config = load(hardware.storage)
        hardware.join(config)
        models = [read("models/%s.ewm" % name) for name in config.models]
        app = build(hardware, config, models)
        diag.attach(app, hardware)
        asyncio.run(app.run(_beside(hardware, restarts)))
    except KeyboardInterrupt:  # someone at the cable: nothing listens while the REPL is theirs
        try:
            try:
                _close(app, hardware, "cable")
            except KeyboardInterrupt:  # pressed again: what is still to be closed
                _close(app, hardware, "cable")
        finally:
            restarts.stopped()
            if hardware is not None:
                hardware.watchdog.loosen()
            print("KeyboardInterrupt: earnest stopped at the cable")
    except Exception as error:  # the one place: whatever it is, close and say so
        try:
            _close(app, hardware, "crash")
            print("earnest stopped:", repr(error))
            if hardware is not None:
                diag.remember(hardware.storage, error)
        finally:  # even what was wrong while closing ends with a reset, which counts
            time.sleep(5)
            machine.reset()


if __name__ == "__main__":
    start()
