"""The composition root: board and configuration to drivers, engine and satellite; then it runs.

On the board this is what MicroPython starts.  `build` is the same for the simulated device, which
hands in simulated drivers.  Whatever goes wrong below ends here, with the gate closed and the
microphone off; then the board starts anew.
"""

import asyncio

from satellite.app import App
from satellite.audit import AuditLog
from satellite.diagnostics import Diagnostics
from satellite.endpoint import EndOfSpeech
from satellite.gate import Gate
from satellite.light import Light
from satellite.mute_state import MuteState
from satellite.streamer import Streamer
from wakeword.engine import Engine


class Parts:
    """Everything an application is made of; see satellite.app.App for the names."""


def build(drivers, config, models, engine=Engine, gate=Gate):
    """An App of these drivers.

    `drivers` has mic, light, controls, clock, watchdog, storage, connect and random_number;
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
    parts.endpoint = EndOfSpeech(config.end_of_speech_ms)
    parts.audit = AuditLog(drivers.storage)
    parts.mute_store = MuteState(drivers.storage)
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
    )
    parts.config = config
    app = App(parts)
    parts.streamer.owner = app
    return app


def start():
    """What the board does: read its files, build, run; a failure ends with a reset."""
    import time

    import drivers.board
    import machine
    from satellite.config import load
    from wakeword.model import read

    hardware = drivers.board.Drivers()
    app = None
    try:
        config = load(hardware.storage)
        hardware.configure(config)
        models = [read("models/%s.ewm" % name) for name in config.models]
        app = build(hardware, config, models)
        asyncio.run(app.run())
    except Exception as error:  # the one place: whatever it is, close and say so
        if app is not None:
            app.close()
        hardware.mic.stop()
        print("earnest stopped:", repr(error))
        time.sleep(5)
        machine.reset()


if __name__ == "__main__":
    start()
