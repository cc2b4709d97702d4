"""The simulated device; runs inside MicroPython, started by host_tools/simulation.py.

Argument: a JSON file of settings.  Takes 16 kHz int16 PCM on stdin until it ends, runs the
application of firmware/main.py on simulated drivers, and prints what happened, in order, a line
each:

    f T_MS SLICE HEX         a feature slice, 40 bytes of int8 + 128 (only when asked for)
    p T_MS SLICE MODEL VALUE an inference, 0..255, before averaging
    d T_MS SLICE MODEL MEAN  a detection, with the mean of the detector's window
    j T_MS {...}             an event of the device as JSON, see docs/trace.md
    e CHUNKS                 the input is over

The engine runs with the heap locked, as it must on the board: an allocation ends the simulation.
"""

import asyncio
import binascii
import json
import sys

import link
import main
import micropython
import world as simulated
from drivers import tls
from drivers.files import Files
from satellite.config import Config
from satellite.gate import STATE_NAMES, STREAMING, Gate
from wakeword.engine import Engine
from wakeword.model import read

#: While a stream waits for the network, how long (in turns of 1 ms of the host) sound waits too.
PATIENCE_TURNS = 5000


class Device:
    """World, drivers and application, and the watching of them."""

    def __init__(self, settings):
        self.settings = settings
        self.world = simulated.World(sys.stdin.buffer, settings["script"], self.tell)
        self.network = link.Network(self.world)
        self.slices = 0
        self.app = None
        self.shown = None
        self.sent_from = 0
        self.random = settings["seed"] * 2 + 1

    # --- what happened ---

    def tell(self, event, *values):
        """Print an event; `values` by the event's kind."""
        fields = {"event": event}
        if event == "mic":
            fields["on"] = values[0]
        elif event == "state":
            fields["from"], fields["to"], fields["reason"] = values
        elif event == "script":
            fields["action"], fields["value"] = values
        else:
            fields.update(values[0])
        print("j", self.world.now_ms, json.dumps(fields))

    def watch_light(self):
        """An event for each change of what the light says; pulses are not changes."""
        shown = self.app.parts.light.shown
        if shown != self.shown:
            self.shown = shown
            state = "DARK" if shown is None else STATE_NAMES[shown[0]]
            rgb = (0, 0, 0) if shown is None else self.light.rgb
            mic_on = shown is not None and shown[1]
            self.tell("light", {"state": state, "mic": mic_on, "rgb": list(rgb)})

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
        if self.settings["features"]:
            print("f", self.world.now_ms, self.slices, binascii.hexlify(engine.slice).decode())
        for i, model in enumerate(engine.models):
            if model.inferred:
                print("p", self.world.now_ms, self.slices, i, model.probability)
        if detected >= 0:
            print("d", self.world.now_ms, self.slices, detected, engine.detectors[detected].mean)
        self.slices += 1

    def gate_class(self):
        device = self

        class TellingGate(Gate):
            def _go(self, state, why):
                before = self.state
                Gate._go(self, state, why)
                device.tell("state", STATE_NAMES[before], STATE_NAMES[state], why)
                if state == STREAMING:
                    preroll = self._preroll.count
                    device.sent_from = (device.world.chunks - preroll) * 160

        return TellingGate

    async def settle(self):
        """Between two chunks: the network's turn.  In a stream, wait until it has done its part."""
        self.watch_light()
        self.network.serve()
        await simulated.breathe()
        gate = self.app.parts.gate
        streamer = self.app.parts.streamer
        if not self.settings["receiver"]:
            turns = 20 if gate.state == STREAMING or not streamer.is_connected else 0
            await simulated.breathe(turns)
        else:
            for _ in range(PATIENCE_TURNS):
                waiting = gate.state == STREAMING and (gate.waiting_chunks or gate.is_closing)
                connecting = self.world.network_is_up and not streamer.is_connected
                if not waiting and not (connecting and self.world.now_ms < 1000):
                    break
                streamer.notify()
                await asyncio.sleep_ms(1)
        self.watch_light()

    def build(self):
        settings = self.settings
        self.light = simulated.LightDriver(self.world)
        parts = main.Parts()
        parts.mic = simulated.Microphone(self.world, self.settle)
        parts.light = self.light
        parts.controls = simulated.Controls(self.world)
        parts.clock = simulated.Clock(self.world, self.settle)
        parts.watchdog = simulated.Watchdog()
        parts.storage = Files(settings["folder"])
        parts.connect = self.network.connect
        parts.random_number = self.next_random
        models = [read(path) for path in settings["models"]]
        config = Config.from_json(json.dumps(settings["config"]))
        if settings["receiver"]:
            self.network.connector = tls.connector(config, parts.storage)
        self.app = main.build(parts, config, models, self.engine_class(), self.gate_class())
        self.tell_records()
        self.tell_sent()

    def next_random(self):
        """A number of 62 bits from the seed: the same run has the same stream numbers."""
        self.random = (self.random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.random >> 2

    def tell_records(self):
        audit = self.app.parts.audit
        append = audit.append

        def telling(kind, now_ms, **fields):
            append(kind, now_ms, **fields)
            fields["kind"] = kind
            self.tell("audit", fields)

        audit.append = telling

    def tell_sent(self):
        def sent(size):
            first = self.sent_from
            self.sent_from += size // 2
            self.tell(
                "sent", {"samples_from": first, "samples_to": self.sent_from, "bytes": size}
            )

        self.app.sent = sent

    async def run(self):
        try:
            await self.app.run()
        except simulated.EndOfInput:
            pass
        except simulated.PowerLoss:
            return
        self.app.close()
        self.watch_light()


def run(path):
    with open(path) as file:
        device = Device(json.load(file))
    device.build()
    try:
        asyncio.run(device.run())
    except simulated.EndOfInput:
        pass
    print("e", device.world.chunks)


run(sys.argv[1])
