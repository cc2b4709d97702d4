"""Hours of speech, noise and people at the button through the whole simulated device.

`python -m tests.long.soak --hours 10` runs by itself and prints what it found; the suite runs a
shorter one (test_soak.py).  The sound is made as it goes: sentences, wake words with commands and
pink noise of changing level, all from a seed.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from host_tools.audio import speech
from host_tools.audio.effects import Noise
from host_tools.models.catalog import find_model
from host_tools.simulation import scenario
from host_tools.simulation.events import Event
from host_tools.simulation.result import Result
from host_tools.simulation.runner import Settings, simulate
from tests.fakes.simulated import COMMAND, WORDS, check_promises

TALK = (
    "We talked about this last week, you and I.",
    "The train was late again, and nobody said why.",
    "Do you remember the house by the lake?",
    "Good morning. The kettle is on.",
)
#: What a heap may differ by from minute to minute without having grown: a stream, a reconnection.
HEAP_NOISE_BYTES = 4096


@dataclass(frozen=True)
class Endless:
    """Sound of a given length; has what `simulation` asks of an audio file."""

    duration_s: float
    seed: int = 0
    notes: tuple[str, ...] = ()

    def blocks(self):
        """Blocks of about ten seconds each."""
        choice = random.Random(self.seed)
        noise = Noise("pink", self.seed)
        left = round(self.duration_s * 16000)
        while left > 0:
            block = noise.next(choice.randrange(8, 14) * 16000) * 10 ** choice.uniform(0, 2.2)
            kind = choice.random()
            at = choice.randrange(8000, 24000)
            gain = choice.uniform(0.3, 1.0)
            words = [WORDS, COMMAND] if kind < 0.3 else [choice.choice(TALK)] if kind < 0.8 else []
            for sentence in words:
                spoken = speech.synthesise(sentence) * gain
                end = min(at + spoken.size, block.size)
                block[at:end] += spoken[: end - at]
                at = end + 7000
            block = np.clip(np.rint(block[:left]), -32768, 32767).astype(np.int16)
            left -= block.size
            yield block


def people(duration_s: float, seed: int) -> tuple[scenario.Event, ...]:
    """What people, networks and receivers do: something about each minute."""
    choice = random.Random(seed + 1)
    events = []
    t_ms = 20_000
    while t_ms < duration_s * 1000 - 30_000:
        kind = choice.randrange(5)
        later_ms = t_ms + choice.randrange(1000, 20_000)
        if kind == 0:
            events += [(t_ms, "press", None), (later_ms, "press", None)]
        elif kind == 1:
            events += [(t_ms, "network", "down"), (later_ms, "network", "up")]
        elif kind == 2:
            events += [(t_ms, "network-delay-ms", 400), (later_ms, "network-delay-ms", 0)]
        elif kind == 3:
            events += [(t_ms, "request", choice.choice(("unmute", "listen", "run-pipeline")))]
        else:
            events += [(t_ms, "switch", "muted"), (later_ms, "switch", "open")]
        t_ms += choice.randrange(40_000, 80_000)
    return tuple(scenario.Event(*event) for event in events)


def run(duration_s: float, seed: int = 0, on_event=None) -> Result:
    """Simulate; the promises are checked on the whole trace."""
    settings = Settings(
        (find_model("okay_nabu"),), scenario=people(duration_s, seed), heap_step_ms=60_000
    )
    result = simulate("soak", Endless(duration_s, seed), settings, on_event)
    check_promises(result)
    return result


def missed_chunks(result: Result) -> int:
    """Chunks that the microphone delivered and the engine did not work on, by its inferences."""
    spans, since = [], None
    for event in [*result.of("mic"), {"t_ms": result.samples // 160 * 10, "on": False}]:
        if event["on"]:
            since = event["t_ms"]
        elif since is not None:
            spans.append((since, event["t_ms"]))
            since = None
    times = np.array(result.times_ms[0])
    missed = 0
    for start_ms, end_ms in spans:
        # The first slice comes with the third chunk, an inference with each third slice.
        expected = np.arange(start_ms + 50, end_ms + 1, 30)
        found = times[(times > start_ms) & (times <= end_ms)]
        same = min(found.size, expected.size)
        # The last chunk before a mute may have been read and dropped.
        if abs(found.size - expected.size) > 1 or (found[:same] != expected[:same]).any():
            missed += 3 * max(1, expected.size - found.size)
    return missed


def report(result: Result) -> str:
    used = [bytes_used for bytes_used, _ in result.heap]
    reasons = Counter(stream.reason for stream in result.streams.all)
    after = [stream.first_byte_after_ms for stream in result.streams.all if stream.samples]
    records = result.of("audit")
    began_ms = {stream.wake_ms for stream in result.streams.all}
    within = sum(
        any(stream.wake_ms < wake["t_ms"] <= stream.end_ms for stream in result.streams.all)
        for wake in result.detections
        if wake["t_ms"] not in began_ms
    )
    unsent = len(result.detections) - len(began_ms) - within
    lines = [
        f"{result.duration_s / 3600:.2f} simulated hours in {result.wall_s:.0f} s",
        f"{len(result.probabilities[0])} inferences, {missed_chunks(result)} chunks missed",
        f"{len(result.detections)} wakes, {len(result.streams.all)} streams: {dict(reasons)}; "
        f"{within} wakes within a stream, {unsent} without a connection or budget of the log",
        f"{len(result.scenario)} events of the scenario, {len(records)} audit records",
        f"{result.streams.bytes} bytes sent; streams as received: "
        f"{result.streams.are_as_received}",
        f"first byte after at most {max([a for a in after if a is not None], default=0)} ms",
        f"heap in use: {used[1]} after a minute, {used[len(used) // 10]} after a tenth, "
        f"{max(used[1:])} at most, {used[-1]} at last",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.time()
    reported_ms = 0

    def progress(event: Event) -> None:
        global reported_ms
        t_ms = event["t_ms"]
        if t_ms - reported_ms >= 600_000:
            reported_ms = t_ms
            print(f"{t_ms / 3.6e6:.2f} h after {time.time() - started:.0f} s", flush=True)

    print(report(run(given.hours * 3600, given.seed, progress)))
