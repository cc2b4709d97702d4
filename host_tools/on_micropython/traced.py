"""What the simulated device does, as trace lines, and the parts of the application that emit them.

Runs inside MicroPython.  Each Traced class is the firmware's own class, which says what it does
after it did it; `kinds` gives them to main.build.  The lines are explained in simulated_device.py.
"""

import binascii
import json
import sys

import micropython
from main import Kinds
from satellite.app import App
from satellite.audit_log import AuditLog
from satellite.gate import STATE_NAMES, Gate
from satellite.level import peak
from satellite.light import SHOWN_NAMES, Light
from wakeword.engine import Engine

SAMPLES_PER_MS = 16
SAMPLES_PER_CHUNK = 160
#: How many lines of the many kinds wait to be printed at once; a `print` is ten system calls.
MAX_WAITING_LINES = 64


class Trace:
    """Prints events, in order; `world` is set as soon as there is one.

    Inferences, slices and audio sent wait until anything else happens: whoever is told of that
    has been told all that was before.

    `sent_from` is the sample of the input that the next audio sent begins with.
    """

    def __init__(self, first_slice, start_ms, with_features):
        self._start_ms = start_ms
        self._slices = first_slice
        self._with_features = with_features
        self._waiting = []
        self.world = None
        self.sent_from = 0

    def now_ms(self):
        """The time of the input."""
        return self._start_ms if self.world is None else self.world.input_ms

    def emit(self, event, **fields):
        """Print an event of docs/trace.md."""
        fields["event"] = event
        self._say(f"j {self.now_ms()} {json.dumps(fields)}\n")
        self.flush()

    def flush(self):
        """Print what waits; also called when the simulation ends, however it ends."""
        sys.stdout.write("".join(self._waiting))
        self._waiting.clear()

    def _say(self, line):
        self._waiting.append(line)
        if len(self._waiting) >= MAX_WAITING_LINES:
            self.flush()

    def start_of(self, samples):
        """The sample of the input at which the newest `samples` that were heard begin."""
        at = self.now_ms() * SAMPLES_PER_MS
        for first, last in reversed(self.world.lost):
            if at - last >= samples:
                break
            samples -= at - last
            at = first
        return at - samples

    def emit_sent(self, samples):
        """Audio on its way out, in pieces where some was lost in between."""
        for first, last in self.world.lost:
            piece = first - self.sent_from
            if piece >= samples:
                break
            if piece >= 0:
                if piece:
                    self._emit_piece(piece)
                self.sent_from = last
                samples -= piece
        self._emit_piece(samples)

    def _emit_piece(self, samples):
        first = self.sent_from
        self.sent_from += samples
        self._say(f"s {self.now_ms()} {first} {self.sent_from}\n")

    def emit_message(self, data):
        """A message on its way out; audio is reported by `sent`."""
        kind = bytes(data[:80]).split(b'"', 4)[3].decode()
        if kind != "audio-chunk":
            self.emit("message", type=kind, bytes=len(data))

    def emit_received(self, fields):
        """What the in-memory receiver got of a stream."""
        self._say(f"r {json.dumps(fields)}\n")

    def emit_sound(self, chunk):
        """10 ms that the loudspeaker played; they are over now."""
        loudest = peak(chunk)
        samples = binascii.hexlify(chunk).decode() if loudest else "-"
        self._say(f"w {self.now_ms()} {loudest} {samples}\n")
        self.flush()  # it is long, and would wait in the device's memory

    def emit_slice(self, engine, detected):
        """A feature slice, what each model made of it, and the detection, if any."""
        t_ms = self.now_ms()
        if self._with_features:
            values = binascii.hexlify(engine.slice).decode()
            self._say(f"f {t_ms} {self._slices} {values}\n")
        for i, model in enumerate(engine.models):
            if model.inferred:
                self._say(f"p {t_ms} {self._slices} {i} {model.probability}\n")
        if detected >= 0:
            mean = engine.detectors[detected].mean
            self._say(f"d {t_ms} {self._slices} {detected} {mean}\n")
            self.flush()
        self._slices += 1


def kinds(trace):
    """The classes for main.build, which report to `trace`."""

    class TracedEngine(Engine):
        def process(self, chunk):
            micropython.heap_lock()
            detected = Engine.process(self, chunk)
            micropython.heap_unlock()
            if self.slice_ready:
                trace.emit_slice(self, detected)
            return detected

    class TracedGate(Gate):
        is_acknowledged = False

        def _go(self, state, why):
            before = self.state
            Gate._go(self, state, why)
            fields = {"from": STATE_NAMES[before], "to": STATE_NAMES[state], "reason": why}
            trace.emit("state", **fields)

        def wake(self, stream_id):
            self.is_acknowledged = False
            return Gate.wake(self, stream_id)

        def speech(self):
            is_obeyed = Gate.speech(self)
            if is_obeyed:  # what waits now was held
                trace.emit("speech")
                trace.sent_from = trace.start_of(self.waiting_chunks * SAMPLES_PER_CHUNK)
            return is_obeyed

        def acknowledge(self, stream_id):
            is_obeyed = Gate.acknowledge(self, stream_id)
            self.is_acknowledged = self.is_acknowledged or is_obeyed
            return is_obeyed

    class TracedLight(Light):
        _emitted = None
        _hue = None

        def update(self, state, mic_on, now_ms):
            """Report each change of state, microphone or hue; a pulse is not a change."""
            is_shown = Light.update(self, state, mic_on, now_ms)
            rgb = trace.world.rgb
            hue = tuple(value > 0 for value in rgb) if max(rgb) or mic_on else self._hue
            self._hue = hue
            seen = (state, mic_on, is_shown, hue)
            if seen != self._emitted:
                self._emitted = seen
                name = SHOWN_NAMES[state] if is_shown else "FAILED"
                trace.emit("light", state=name, rgb=list(rgb), mic=mic_on)
            return is_shown

    class TracedAuditLog(AuditLog):
        def append(self, kind, now_ms, **fields):
            is_written = AuditLog.append(self, kind, now_ms, **fields)
            if is_written:  # a repeated fault or refusal is written later, with a count
                trace.emit("audit", kind=kind, **fields)
            return is_written

    class TracedApp(App):
        def first_byte(self):
            after_ms = App.first_byte(self)
            trace.emit("first-byte", after_ms=after_ms)
            return after_ms

        def sent(self, size):
            App.sent(self, size)
            trace.emit_sent(size // 2)

    chosen = Kinds()
    chosen.app = TracedApp
    chosen.audit_log = TracedAuditLog
    chosen.engine = TracedEngine
    chosen.gate = TracedGate
    chosen.light = TracedLight
    return chosen
