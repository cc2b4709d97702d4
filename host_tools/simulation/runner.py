"""One audio file through the real firmware in the real MicroPython, as events and a result.

Stands between `simulate` (the command) and `on_micropython/simulated_device.py` (which runs inside
MicroPython, in a new process for every time that the device gets power).
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_tools import micropython
from host_tools.audio.effects import Microphone, rms
from host_tools.audio.files import AudioFile, Samples
from host_tools.board.definition import Board
from host_tools.errors import HostToolError
from host_tools.models.catalog import ModelFile
from host_tools.simulation import scenario, trace
from host_tools.simulation.events import Event
from host_tools.simulation.result import Result
from host_tools.simulation.sent_streams import ReceivedStream, SentStreams
from host_tools.simulation.speaker import write_reply
from host_tools.simulation.tape import Tape

if TYPE_CHECKING:
    from host_tools.simulation.loopback import LoopbackReceiver

DEVICE = micropython.GUESTS / "simulated_device.py"
# The models' files and arenas; the host's objects are twice as large as the board's.
BASE_HEAP_BYTES = 4 << 20
HEAP_BYTES_PER_MODEL = 2 << 20
MAX_MODELS = 4  # as the configuration allows
SAMPLES_PER_MS = 16

OnEvent = Callable[[Event], object]


@dataclass(frozen=True)
class Settings:
    """What is the same for every file of a simulation."""

    models: tuple[ModelFile, ...]
    microphone: Microphone = Microphone()
    with_features: bool = False
    scenario: tuple[scenario.Event, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)  # fields of the device's config.json
    config_name: str = "the configuration"  # for messages
    muted: bool = False  # at first start
    reply: Samples | None = None  # the receiver's answer to every stream; None: it gives none
    echo_db: float | None = None  # of the loudspeaker at the microphone; None: it hears none
    with_receiver: bool = False  # a real one, over real TLS
    answers: bool = False  # the real receiver answers by itself
    storage: Path | None = None  # the device's files stay here; None: gone afterwards
    board: Board | None = None  # whose parts; None: colour, button, speaker, a switch if moved
    heap_bytes: int | None = None  # None: as much as needed
    heap_step_ms: int = 0  # measure the heap so often; 0: never
    folders: tuple[Path, ...] = ()  # searched for the firmware before firmware/


@dataclass(frozen=True)
class PowerOn:
    """Where in the input the device gets power, and what was reported before it."""

    start_ms: int = 0
    reported_ms: int = -1
    first_slice: int = 0


def simulate(
    name: str, audio: AudioFile, settings: Settings, on_event: OnEvent | None = None
) -> Result:
    """Run one file through the device.

    Args:
        name: what the trace calls the file.
        audio: the input.
        settings: models, microphone, scenario and what else the device has.
        on_event: called with every event as it happens, in order of device time.

    Raises:
        HostToolError: the audio is damaged, the configuration is refused, or the firmware stopped.
    """
    notes = audio.notes
    if effects := settings.microphone.describe():
        notes = (*notes, effects)
    tape = Tape(_blocks(audio, settings.microphone))
    result = Result(
        name,
        audio.duration_s,
        notes,
        settings.models,
        tape,
        SentStreams(tape, settings.microphone.losses()),
    )
    result.has_receiver = settings.with_receiver
    result.times_ms = [[] for _ in settings.models]
    result.probabilities = [[] for _ in settings.models]
    for event in _events(result, settings):
        if on_event is not None:
            on_event(event)
    return result


def _blocks(audio: AudioFile, microphone: Microphone) -> Iterator[Samples]:
    """Yield what the device's microphone driver would deliver."""
    level = rms(audio.blocks()) if microphone.noise_snr_db is not None else 0.0
    yield from microphone.apply(audio.blocks(), level)


def _events(result: Result, settings: Settings) -> Iterator[Event]:
    started = time.perf_counter()
    names = [model.name for model in settings.models]
    board = settings.board.id if settings.board else trace.NO_BOARD
    yield trace.start_event(result.audio, names, settings.microphone.describe(), board)
    with tempfile.TemporaryDirectory(prefix="earnest-") as temporary:
        run = _Run(result, settings, Path(temporary))
        try:
            yield from run.events()
            if run.receiver is not None:
                run.received += run.receiver.end()
                result.sounds = run.receiver.sounds()
                result.answers = run.receiver.answers()
                result.transcripts = run.receiver.transcripts()
                result.wake_words = run.receiver.wake_words()
        finally:
            if run.receiver is not None:
                run.receiver.close()
    result.streams.received(run.received)
    result.wall_s = time.perf_counter() - started
    end = trace.end_event(run.chunks, result.samples)
    result.streams.read(end)
    yield end


class _Run:
    """The power-ons of one simulation, one after the other, on the same storage."""

    def __init__(self, result: Result, settings: Settings, temporary: Path) -> None:
        self._result = result
        self._settings = settings
        self._temporary = temporary
        self._storage = settings.storage or temporary / "storage"
        self._storage.mkdir(parents=True, exist_ok=True)
        self._slices = 0
        self.received: list[ReceivedStream] = []
        self.chunks = 0
        self._receiver_config: dict[str, Any] = {}
        self.receiver: LoopbackReceiver | None = None
        self._reply: Path | None = None
        reply_wav: Path | None = None
        if settings.reply is not None:
            self._reply, reply_wav = write_reply(settings.reply, temporary)
        if settings.with_receiver:
            from host_tools.simulation.loopback import LoopbackReceiver

            self.receiver = LoopbackReceiver(temporary / "receiver", reply_wav, settings.answers)
            self._receiver_config = self.receiver.settings(self._storage)

    def events(self) -> Iterator[Event]:
        """Yield the events from the first power-on to the end of the input."""
        start_ms, reported_ms = 0, -1
        losses = [e for e in self._settings.scenario if e.action == scenario.POWER_LOSS]
        tape = self._result.tape
        while True:
            losses = [loss for loss in losses if loss.t_ms > start_ms]
            power_on = PowerOn(start_ms, reported_ms, self._slices)
            if not losses:
                yield from self._power_on(power_on, None)
                break
            loss = losses[0]
            loss_ms = -(-loss.t_ms // scenario.STEP_MS) * scenario.STEP_MS
            yield from self._power_on(power_on, loss_ms)
            if self.chunks * scenario.STEP_MS < loss_ms:
                break  # the input was over before
            yield self._note({"t_ms": loss_ms, "event": "power", "on": False})
            assert isinstance(loss.value, int)
            tape.skip(loss.value * SAMPLES_PER_MS)
            reported_ms, start_ms = loss_ms, loss_ms + loss.value
            self.chunks = min(start_ms, tape.samples // SAMPLES_PER_MS) // scenario.STEP_MS
            if tape.has_ended:
                break
            yield self._note({"t_ms": start_ms, "event": "power", "on": True})

    def _power_on(self, power_on: PowerOn, until_ms: int | None) -> Iterator[Event]:
        """Run one process of the device, until the input or its power ends."""
        settings = self._settings
        start_ms = power_on.start_ms
        path = self._temporary / "settings.json"
        device = device_settings(settings, self._storage, power_on, self._receiver_config)
        device["sound"] = None if self._reply is None else str(self._reply)
        path.write_text(json.dumps(device))
        count = None if until_ms is None else (until_ms - start_ms) * SAMPLES_PER_MS
        heap_bytes = BASE_HEAP_BYTES + HEAP_BYTES_PER_MODEL * len(settings.models)
        lines = micropython.stream(
            DEVICE,
            path,
            stdin=self._result.tape.take(count),
            heap_bytes=settings.heap_bytes or heap_bytes,
            folders=settings.folders,
        )
        chunks = None
        for text in lines:
            if text.startswith(b"e "):
                chunks = int(text[2:])
            elif text.startswith(b"c "):
                raise HostToolError(
                    f"{settings.config_name}: {text[2:].decode(errors='replace')}",
                    "docs/configuration.md lists every field",
                )
            else:
                yield from self._line(text)
        if chunks is None:
            raise HostToolError("the simulated device stopped early", "run again with --debug")
        assert self._slices >= power_on.first_slice
        self.chunks = start_ms // scenario.STEP_MS + chunks

    def _line(self, text: bytes) -> Iterator[Event]:
        """Yield the events of a line that simulated_device.py printed."""
        result = self._result
        kind, _, rest = text.partition(b" ")
        names = [model.name for model in result.models]
        if kind == b"p":
            t_ms, index, model, value = map(int, rest.split())
            result.times_ms[model].append(t_ms)
            result.probabilities[model].append(value)
            name = names[model] if len(names) > 1 else None
            self._slices = index + 1
            yield trace.probability_event(t_ms, index, value, name)
        elif kind == b"f":
            when, at, hexadecimal = rest.split()
            values = bytes.fromhex(hexadecimal.decode())
            result.features_ms.append(int(when))
            result.features.append(values)
            self._slices = int(at) + 1
            yield trace.features_event(int(when), int(at), [value - 128 for value in values])
        elif kind == b"d":
            t_ms, _, model, mean = map(int, rest.split())
            yield self._note(trace.detection_event(t_ms, names[model], mean))
        elif kind == b"s":
            yield self._note(trace.sent_event(*map(int, rest.split())))
        elif kind == b"w":
            when, loudest, samples = rest.split()
            if samples != b"-":
                sound = trace.sound_event(int(when), int(loudest))
                result.played.add(sound["samples_from"], bytes.fromhex(samples.decode()))
                yield self._note(sound)
        elif kind == b"j":
            when, _, fields = rest.partition(b" ")
            event = trace.device_event(int(when), json.loads(fields))
            if event["event"] == "scenario" and self.receiver:
                self.receiver.act(event["action"], event["value"], _config_names(result.models)[0])
            yield self._note(event)
        elif kind == b"r":
            self.received.append(json.loads(rest))
        elif kind == b"h":
            used, free = map(int, rest.split())
            result.heap.append((used, free))

    def _note(self, event: Event) -> Event:
        self._result.events.append(event)
        self._result.streams.read(event)
        return event


def device_settings(
    settings: Settings,
    storage: Path,
    power_on: PowerOn,
    receiver_config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what simulated_device.py reads: paths, the scenario, the configuration, the board."""
    board = settings.board
    config: dict[str, Any] = {"receiver_name": trace.RECEIVER_NAME, **settings.config}
    config["models"] = _config_names(settings.models)
    return {
        "models": [str(model.path.resolve()) for model in settings.models],
        "features": settings.with_features,
        "heap_step_chunks": settings.heap_step_ms // scenario.STEP_MS,
        "scenario": [[event.t_ms, event.action, event.value] for event in settings.scenario],
        "seed": settings.microphone.seed + power_on.start_ms,
        "config": config | (receiver_config or {}),
        "folder": str(storage.resolve()),
        "open": not settings.muted and power_on.start_ms == 0,
        "receiver": settings.with_receiver,
        "board": {
            "has_colour": board is None or board.pins.has_colour,
            "has_button": board is None or board.pins.BUTTON is not None,
            "has_switch": board is not None and board.pins.SWITCH is not None,
            "has_speaker": board is None or board.pins.has_speaker,
        },
        "sound": None,
        "expects_reply": settings.reply is not None or settings.answers,
        "echo_q15": _echo_q15(settings.echo_db),
        "start_ms": power_on.start_ms,
        "reported_ms": power_on.reported_ms,
        "first_slice": power_on.first_slice,
    }


def _echo_q15(echo_db: float | None) -> int:
    """Return how loud the echo is: 32768 is as loud as the loudspeaker's own sound."""
    return 0 if echo_db is None else round(32768 * 10 ** (echo_db / 20))


def _config_names(models: tuple[ModelFile, ...]) -> list[str]:
    """Return the models' names as the device's configuration can hold them."""
    names: list[str] = []
    for number, model in enumerate(models, 1):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", model.name)[:32]
        names.append(name if name not in names else f"model-{number}")
    return names
