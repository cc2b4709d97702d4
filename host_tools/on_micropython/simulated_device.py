"""The simulated device; runs inside MicroPython, started by host_tools/simulation/runner.py.

Argument: a JSON file of settings, see `simulation.device_settings`.  Takes 16 kHz int16 PCM on
stdin until it ends, runs the application of firmware/main.py on simulated drivers, and prints what
happened, in order, one line per event.  T_MS is the time of the input:

    f T_MS SLICE HEX         a feature slice, 40 bytes of int8 + 128 (only when asked for)
    p T_MS SLICE MODEL VALUE an inference, 0..255, before averaging
    d T_MS SLICE MODEL MEAN  a detection, with the mean of the detector's window
    s T_MS FROM TO           audio was sent: these samples of the input, the second exclusive
    w T_MS PEAK HEX          the loudspeaker played 10 ms, in place of these of the input: int16
    j T_MS {...}             an event of the device as JSON, see docs/trace.md
    r {...}                  what the receiver in memory got of a stream
    h USED FREE              the heap, in bytes (only when asked for)
    c TEXT                   the configuration is refused: nothing runs
    e CHUNKS                 the input, or the power, is over

The engine runs with the heap locked, as it must on the board: an allocation ends the simulation.
"""

import asyncio
import gc
import json
import os
import sys

import main
import simulated_world as simulated
import traced
from diagnostics.console import Console
from drivers import tls
from satellite.config import Config, ConfigError
from satellite.gate import IDLE, STREAMING
from satellite.mute_state import MuteState
from satellite.speech import SILENT
from simulated_cable import Cable
from simulated_network import Network
from simulated_speaker import Speaker
from wakeword.model import read

#: How long, in turns of 1 ms of the host, sound waits for what a real network has to do.
PATIENCE_TURNS = 5000
#: For the answer to a stream, which a receiver has to think about.
REPLY_TURNS = 30000
#: The first of them take no time: what has only to be written is.
QUICK_TURNS = 8
#: How long 10 ms of sound take, in ms of the host, while the scenario disturbs a real network:
#: nothing can be waited for then, and the receiver's answers take their time.
DISTURBED_MS = 3
#: How much of a sound is there before the next 10 ms of it are played.
SOUND_BYTES = 6400


class Drivers:
    """Simulated drivers, by the names of satellite/ports.py."""

    def __init__(self, world, settings, network, let_network_settle, emit_sound):
        board = settings["board"]
        self.mic = simulated.Microphone(world, let_network_settle)
        self.speaker = None
        if board["has_speaker"]:
            self.speaker = Speaker(world, self.mic, emit_sound, settings["echo_q15"])
        self.light = simulated.LightDriver(world, board["has_colour"])
        self.controls = simulated.Controls(world, board["has_button"])
        self.clock = simulated.Clock(world, let_network_settle)
        self.watchdog = simulated.Watchdog()
        self.storage = simulated.Disk(settings["folder"], world)
        self.wifi = simulated.Wifi(world)
        self.reset = "power"
        self.connect = network.connect
        self._random = settings["seed"] * 2 + 1

    def random_number(self):
        """A number of 62 bits from the seed: the same run has the same stream numbers."""
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self._random >> 2


class Device:
    """World, drivers and application of one power-on."""

    def __init__(self, settings):
        self._settings = settings
        self._app = None
        self._console = None
        self._received = 0
        self._awaits_reply = False
        self._refused = 0  # sounds, when the newest stream ran
        trace = traced.Trace(settings["first_slice"], settings["start_ms"], settings["features"])
        self._trace = trace
        self.world = trace.world = simulated.SimulatedWorld(
            sys.stdin.buffer,
            settings["scenario"],
            trace.emit,
            settings["start_ms"],
            settings["reported_ms"],
            False if settings["board"]["has_switch"] else None,
        )
        self._network = Network(
            self.world,
            None,
            trace.emit_message,
            trace.emit_received,
            settings["sound"],
        )

    def build(self):
        """Make the application; ConfigError where the configuration is refused."""
        settings = self._settings
        world = self.world
        drivers = Drivers(
            world, settings, self._network, self._let_network_settle, self._trace.emit_sound
        )
        gc.collect()  # what compiling left, and a board does not compile
        models = [read(path) for path in settings["models"]]
        config = Config.from_json(json.dumps(settings["config"]))
        self._network.word = config.models[0]
        if settings["receiver"]:
            self._network.real = tls.connector(config, drivers.storage)
        if settings["open"]:
            MuteState(drivers.storage).save(False)
        self._app = main.build(drivers, config, models, traced.kinds(self._trace))
        os.chdir(settings["folder"])  # where `status` reads, as on the board
        self._console = Console(self._app, drivers, Cable(world), world.sleep_ms)

    def flush(self):
        """Print what the trace still holds back."""
        self._trace.flush()

    async def run(self):
        """Until the input or the power ends: at once, as when the plug is pulled."""
        try:
            await self._app.run(self._console.run())
        except (simulated.EndOfInput, simulated.PowerLoss):
            self._network.end()

    async def _let_network_settle(self):
        """Between two chunks: the network's turn.  In a stream, wait until it is done."""
        self._network.serve()
        gate = self._app.parts.gate
        streamer = self._app.parts.streamer
        if not self._settings["receiver"]:
            await simulated.yield_to_tasks()
            if gate.state == STREAMING or not streamer.is_connected:
                await simulated.yield_to_tasks(20)
        else:
            if not streamer.is_connected:
                await simulated.yield_to_tasks(2)  # it may begin to connect
            await self._wait_for_receiver(gate, streamer)
        heap_step = self._settings["heap_step_chunks"]
        if heap_step and self.world.chunks % heap_step == 0:
            gc.collect()
            self._trace.flush()
            print("h", gc.mem_alloc(), gc.mem_free())

    async def _wait_for_receiver(self, gate, streamer):
        """Sound waits while a real receiver has yet to answer, if it may be expected to."""
        world = self.world
        network = self._network
        asked = None
        if world.requests:  # the host has passed the request on
            world.requests.clear()
            asked = self._received  # before the request was told: the answer may be here already
        for turn in range(REPLY_TURNS):
            if network.look():
                await asyncio.sleep_ms(0)  # the turn of who reads
            is_streaming = (
                gate.state == STREAMING
                and not gate.is_held
                and (gate.waiting_chunks or gate.is_closing or not gate.is_acknowledged)
            )
            is_ending = streamer.is_in_stream and gate.state != STREAMING
            is_lost = streamer.is_connected and world.network == "down"
            is_asked = asked is not None and network.received == asked
            is_pinging = streamer.awaits_answer
            is_waiting_for_sound = self._waits_for_sound(gate, streamer)
            is_connecting = network.is_busy and not streamer.is_connected
            if not is_lost and not world.is_patient:
                await asyncio.sleep_ms(DISTURBED_MS)
                break
            if turn >= PATIENCE_TURNS and not self._awaits_reply:
                break
            is_waiting = is_asked or is_pinging or is_waiting_for_sound
            if not (is_lost or is_streaming or is_ending or is_waiting or is_connecting):
                break
            streamer.notify(world.now_ms)
            await asyncio.sleep_ms(0 if turn < QUICK_TURNS else 1)
        else:
            self._awaits_reply = False
        self._received = network.received

    def _waits_for_sound(self, gate, streamer):
        """Whether the receiver is about to let the device speak, or to send more of a sound."""
        speech = self._app.parts.speech
        if speech.state != SILENT:
            self._awaits_reply = False
            incoming = speech.incoming
            is_coming = speech.takes_audio and not incoming.is_complete
            return is_coming and incoming.count < SOUND_BYTES
        if gate.state == STREAMING:
            is_asked = gate.is_acknowledged and speech.has_speaker
            self._awaits_reply = is_asked and self._settings["expects_reply"]
            self._refused = speech.refused
            return False
        if speech.refused != self._refused:  # it was answered, in vain
            self._awaits_reply = False
        return self._awaits_reply and gate.state == IDLE and not streamer.is_in_stream


def run(path):
    with open(path) as file:
        device = Device(json.load(file))
    try:
        device.build()
    except ConfigError as error:
        print("c", error)
        return
    try:
        asyncio.run(device.run())
    finally:
        device.flush()  # before a traceback, too
    print("e", device.world.chunks)


run(sys.argv[1])
