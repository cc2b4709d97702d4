"""The composition root: board and configuration to drivers, engine and satellite; then it runs.

On the board this is what MicroPython starts.  `build` is the same for the simulated device, which
hands in simulated drivers.  Whatever goes wrong below ends here, with the gate closed and the
microphone off; then the board starts again.
"""

import asyncio

import diag
from drivers.backoff import BackOff
from satellite.app import App
from satellite.audit_log import AuditLog
from satellite.chimes import Chime
from satellite.consent import Consent, receiver_id
from satellite.counters import Counters
from satellite.device_status import DeviceStatus
from satellite.end_of_speech import EndOfSpeech
from satellite.gate import ERROR, Gate
from satellite.level import Level
from satellite.light import Light
from satellite.mute_state import MuteState
from satellite.sensitivity_state import SensitivityState
from satellite.speech import Speech
from satellite.streamer import Streamer
from satellite.withdrawn_state import WithdrawnState
from wakeword.engine import Engine


class Parts:
    """Everything an application is made of; see satellite.app.App for the names."""


class Kinds:
    """The classes that `build` makes an application of; a simulation replaces some of them."""

    app = App
    audit_log = AuditLog
    engine = Engine
    gate = Gate
    light = Light
    speech = Speech


def build(drivers, config, models, kinds=Kinds):
    """Return an App.

    Args:
        drivers: what a device hands in, as satellite/ports.py declares it (ports.Hardware).
        config: satellite.config.Config.
        models: wakeword.model.Model, in the order of their precedence.
        kinds: the classes to use, by the names of Kinds.
    """
    parts = Parts()
    parts.withdrawn = WithdrawnState(drivers.storage)
    config = parts.withdrawn.applied_to(config)  # before anything else reads a consent in it
    parts.counters = Counters()
    parts.level = Level()
    parts.engine = kinds.engine(models, config.refractory_ms, config.detector_settings())
    parts.gate = kinds.gate(
        preroll_ms=config.preroll_ms,
        max_stream_ms=config.max_stream_ms,
        no_speech_ms=config.no_speech_ms,
    )
    speaker = parts.speaker = drivers.speaker
    parts.speech = kinds.speech(
        parts.gate,
        None if speaker is None else Chime(),
        config.volume,
        config.volume_max,
        config.timers,
        config.announcements,
        0 if speaker is None else speaker.buffer_ms,
    )
    parts.light = kinds.light(drivers.light, config.brightness, drivers.light.has_colour, speaker)
    parts.mic = drivers.mic
    parts.controls = drivers.controls
    parts.clock = drivers.clock
    parts.watchdog = drivers.watchdog
    parts.random_number = drivers.random_number
    parts.reset = drivers.reset
    parts.wifi = drivers.wifi
    parts.end_of_speech = EndOfSpeech(config.end_of_speech_ms)
    parts.audit = kinds.audit_log(drivers.storage)
    parts.mute_store = MuteState(drivers.storage)
    parts.sensitivity = SensitivityState(drivers.storage, config.models, parts.engine.detectors)
    parts.consent = Consent(
        drivers.storage,
        config.keep_recordings,
        config.share_for_training,
        receiver_id(config, drivers.storage),
    )
    parts.streamer = Streamer(
        drivers.connect,
        parts.gate,
        drivers.clock,
        {
            "keep_recordings": config.keep_recordings,
            "share_for_training": config.share_for_training,
            "preroll_ms": config.preroll_ms,
        },
        parts.counters,
        drivers.random_number,
        BackOff(),
        parts.speech,
    )
    parts.streamer.log = parts.audit
    parts.streamer.status = DeviceStatus(config, parts.gate, parts.speech, parts.sensitivity)
    parts.config = config
    app = kinds.app(parts)
    parts.streamer.owner = app
    return app


class StartError(Exception):
    """The start cannot be: says why, and what to type."""


def _read_models(names):
    """The models of these names, in order; StartError names the file that is wrong."""
    from wakeword.model import ModelFormatError, read

    models = []
    for name in names:
        path = "models/%s.ewm" % name
        try:
            models.append(read(path))
        except OSError:
            raise StartError("%s is not there: earnest install" % path)
        except ModelFormatError as error:
            raise StartError("%s: %s: earnest install" % (path, error))
    return models


async def _beside(hardware, restarts):
    """Wi-Fi, and the answers over the cable, beside the audio; ends only when Wi-Fi fails."""
    asyncio.create_task(diag.console())  # on its own: if it fails, the satellite goes on
    asyncio.create_task(_run_well(restarts, hardware.storage))
    if hardware.wifi:
        await hardware.wifi.run()
    await asyncio.Event().wait()


async def _run_well(restarts, storage):
    from drivers.boot_loop import GOOD_RUN_S

    await asyncio.sleep(GOOD_RUN_S)
    restarts.went_well()
    diag.forget(storage)


def _pause(hardware, wait_s):
    """After failures in a row: the microphone off, the light says that something is wrong."""
    import time

    print("earnest failed more than once: waiting", wait_s, "s; Ctrl-C gives the REPL")
    light = Light(hardware.light, has_colour=hardware.light.has_colour, speaker=hardware.speaker)
    for tick in range(10 * wait_s):
        light.update(ERROR, hardware.mic.is_on(), 100 * tick)
        time.sleep_ms(100)


def _close(app, hardware, what):
    """Nothing may listen or leave any more, and the light says that something is wrong."""
    try:
        if app is not None:
            app.close(what)
        elif hardware is not None:
            if hardware.speaker is not None:
                hardware.speaker.stop()
            hardware.mic.stop()
            light = Light(
                hardware.light, has_colour=hardware.light.has_colour, speaker=hardware.speaker
            )
            light.update(ERROR, hardware.mic.is_on(), 0)
    finally:  # also when the end could not be recorded
        diag.detach()


def start():
    """What the board does: read its files, build, run; a failure ends with a reset."""
    import time

    import board
    import machine
    from drivers.boot_loop import Restarts
    from drivers.hardware import Hardware
    from drivers.watchdog import reset_reason
    from satellite.config import load

    hardware = None
    app = None
    restarts = Restarts(reset_reason())
    try:
        hardware = Hardware(board)
        if restarts.wait_s:
            _pause(hardware, restarts.wait_s)
        hardware.config = config = load(hardware.storage)
        hardware.join(config)
        app = build(hardware, config, _read_models(config.models))
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
                diag.remember(hardware.storage, error, hardware.clock.now_ms())
        finally:  # even what was wrong while closing ends with a reset, which counts
            time.sleep(5)
            machine.reset()


if __name__ == "__main__":
    start()
