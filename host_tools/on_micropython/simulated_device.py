"""The simulated device; runs inside MicroPython, started by host_tools/simulation/runner.py.

Argument: a JSON file of settings, see `simulation.device_settings`.  Takes 16 kHz int16 PCM on
stdin until it ends, runs the application of firmware/main.py on simulated drivers, and prints what
happened, in order, a line each.  T_MS is the time of the input:

    f T_MS SLICE HEX         a feature slice, 40 bytes of int8 + 128 (only when asked for)
    p T_MS SLICE MODEL VALUE an inference, 0..255, before averaging
    d T_MS SLICE MODEL MEAN  a detection, with the mean of the detector's window
    j T_MS {...}             an event of the device as JSON, see docs/trace.md
    r {...}                  what the receiver in memory got of a stream
    h USED FREE              the heap, in bytes (only when asked for)
    c TEXT                   the configuration is refused: nothing runs
    e CHUNKS                 the input, or the power, is over

The engine runs with the heap locked, as it must on the board: an allocation ends the simulation.
"""

import asyncio
import binascii
import gc
import json
import os
import sys

import main
import micropython
import simulated_network as link
import simulated_world as simulated
from diagnostics.console import Console
from drivers import tls
from satellite.config import Config, ConfigError
from satellite.gate import STATE_NAMES, STREAMING, Gate
from satellite.mute_state import MuteState
from simulated_cable import Cable
from wakeword.engine import Engine
from wakeword.model import read

#: How long, in turns of 1 ms of the host, sound waits for what a real network has to do.
PATIENCE_TURNS = 5000
#: How often it looks at the socket while there is nothing to wait for.
QUIET_CHUNKS = 20
HEAP_STEP_CHUNKS = 6000


class Device:
    """World, drivers and application, and the watching of them."""

    def __init__(self, settings):
        self.settings = settings
        self.world = None
        self.slices = settings["first_slice"]
        self.app = None
        self.shown = None
        self.hue = None
        self.sent_from = 0
        self.received = 0
        self.random = settings["seed"] * 2 + 1
        self.world = simulated.World(
            sys.stdin.buffer,
            settings["script"],
            self.tell,
            settings["start_ms"],
            settings["told_ms"],
            False if settings["board"]["has_switch"] else None,
        )
        self.network = link.Network(self.world, None, self.tell_message, self.tell_received)

    # --- what happened ---

    def now_ms(self):
        return self.settings["start_ms"] if self.world is None else self.world.input_ms

    def tell(self, event, *values):
        """Print an event; `values` by the event's kind."""
        fields = {"event": event}
        if event == "mic":
            fields["on"] = values[0]
        elif event == "state":
            fields["from"], fields["to"], fields["reason"] = values
        elif event == "cable":
            fields["line"], fields["late_ms"] = values
        elif event == "script":
            fields["action"], fields["value"] = values
        else:
            fields.update(values[0])
        print("j", self.now_ms(), json.dumps(fields))

    def tell_message(self, data):
        """A message on its way out; audio is told by `sent`."""
        line = bytes(data[:80])
        kind = line.split(b'"', 4)[3].decode()
        if kind != "audio-chunk":
            self.tell("message", {"type": kind, "bytes": len(data)})

    def tell_received(self, fields):
        print("r", json.dumps(fields))

    # --- the application, told to tell ---

    def engine_class(self):
        device = self

        class TellingEngine(Engine):
            def process(self, chunk):
                micropython.heap_lock()
                detected = Engine.process(self, chunk)
                micropython.heap_unlock()
                if self.slice_ready:
                    device.after_slice(self, detected)
                return detected

        return TellingEngine

    def after_slice(self, engine, detected):
        t_ms = self.now_ms()
        if self.settings["features"]:
            print("f", t_ms, self.slices, binascii.hexlify(engine.slice).decode())
        for i, model in enumerate(engine.models):
            if model.inferred:
                print("p", t_ms, self.slices, i, model.probability)
        if detected >= 0:
            print("d", t_ms, self.slices, detected, engine.detectors[detected].mean)
        self.slices += 1

    def gate_class(self):
        device = self

        class TellingGate(Gate):
            def _go(self, state, why):
                before = self.state
                Gate._go(self, state, why)
                device.tell("state", STATE_NAMES[before], STATE_NAMES[state], why)
                if state == STREAMING:
                    device.sent_from = device.now_ms() * 16 - self._preroll.count * 160

        return TellingGate

    def tell_light(self):
        """Tell each change of state, microphone or hue when it happens; pulses are no changes."""
        light = self.app.parts.light
        update = light.update

        def telling(state, mic_on, now_ms):
            is_shown = update(state, mic_on, now_ms)
            rgb = self.light.rgb
            hue = tuple(value > 0 for value in rgb) if max(rgb) or mic_on else self.hue
            self.hue = hue
            shown = (state, mic_on, is_shown, hue)
            if shown != self.shown:
                self.shown = shown
                name = STATE_NAMES[state] if is_shown else "FAILED"
                self.tell("light", {"state": name, "rgb": list(rgb), "mic": mic_on})
            return is_shown

        light.update = telling

    def tell_records(self):
        audit = self.app.parts.audit
        append = audit.append

        def telling(kind, now_ms, **fields):
            written = append(kind, now_ms, **fields)
            if written:  # a repeated fault or refusal is written later, with a count
                fields["kind"] = kind
                self.tell("audit", fields)
            return written

        audit.append = telling

    def tell_stream(self):
        app = self.app
        first_byte = app.first_byte

        def telling_first_byte():
            first_byte()
            after_ms = self.world.now_ms - app._stream_began_ms
            self.tell("first-byte", {"after_ms": after_ms})

        def sent(size):
            first = self.sent_from
            self.sent_from += size // 2
            self.tell("sent", {"samples_from": first, "samples_to": self.sent_from, "bytes": size})

        app.first_byte = telling_first_byte
        app.sent = sent

    # --- time ---

    async def settle(self):
        """Between two chunks: the network's turn.  In a stream, wait until it is done."""
        self.network.serve()
        gate = self.app.parts.gate
        streamer = self.app.parts.streamer
        if not self.settings["receiver"]:
            await simulated.breathe()
            if gate.state == STREAMING or not streamer.is_connected:
                await simulated.breathe(20)
        else:
            # Looking at a TLS socket takes this MicroPython 2 ms: not at each quiet chunk.
            if self.world.chunks % QUIET_CHUNKS == 0:
                await simulated.breathe(2)
            await self.wait_for_receiver(gate, streamer)
        if self.settings["heap"] and self.world.chunks % HEAP_STEP_CHUNKS == 0:
            gc.collect()
            print("h", gc.mem_alloc(), gc.mem_free())

    async def wait_for_receiver(self, gate, streamer):
        """Sound waits while a real receiver has yet to answer, if it may be expected to."""
        world = self.world
        network = self.network
        asked = None
        if world.requests:  # the host has passed the request on
            world.requests.clear()
            asked = self.received  # before the request was told: the answer may be here already
        for _ in range(PATIENCE_TURNS):
            is_streaming = gate.state == STREAMING and (
                gate.waiting_chunks or gate.is_closing or not gate._acknowledged
            )
            is_ending = streamer._stream and gate.state != STREAMING
            is_lost = streamer.is_connected and world.network == "down"
            is_asked = asked is not None and network.received == asked
            is_connecting = network.is_busy and not streamer.is_connected
            if not is_lost and (
                not world.is_patient
                or not (is_streaming or is_ending or is_asked or is_connecting)
            ):
                break
            streamer.notify()
            await asyncio.sleep_ms(1)
        self.received = network.received

    # --- one power-on ---

    def build(self):
        settings = self.settings
        world = self.world
        self.light = simulated.LightDriver(world, settings["board"]["has_colour"])
        parts = main.Parts()
        parts.mic = simulated.Microphone(world, self.settle)
        parts.light = self.light
        parts.controls = simulated.Controls(world, settings["board"]["has_button"])
        parts.clock = simulated.Clock(world, self.settle)
        parts.watchdog = simulated.Watchdog()
        parts.storage = simulated.Disk(settings["folder"], world)
        parts.wifi = simulated.Wifi(world)
        parts.connect = self.network.connect
        parts.random_number = self.next_random
        parts.reset = "power"
        gc.collect()  # what compiling left, and a board does not compile
        models = [read(path) for path in settings["models"]]
        config = Config.from_json(json.dumps(settings["config"]))
        if settings["receiver"]:
            self.network.real = tls.connector(config, parts.storage)
        if settings["open"]:
            MuteState(parts.storage).save(False)
        self.app = main.build(parts, config, models, self.engine_class(), self.gate_class())
        os.chdir(settings["folder"])  # where `status` reads, as on the board
        self.console = Console(self.app, parts, Cable(world), world.sleep_ms)
        self.tell_light()
        self.tell_records()
        self.tell_stream()

    def next_random(self):
        """A number of 62 bits from the seed: the same run has the same stream numbers."""
        self.random = (self.random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.random >> 2

    async def run(self):
        """Until the input or the power ends: at once, as when the plug is pulled."""
        try:
            await self.app.run(self.console.run())
        except (simulated.EndOfInput, simulated.PowerLoss):
            self.network.end()


def run(path):
    with open(path) as file:
        device = Device(json.load(file))
    try:
        device.build()
    except ConfigError as error:
        print("c", error)
        return
    asyncio.run(device.run())
    print("e", device.world.chunks)


run(sys.argv[1])
