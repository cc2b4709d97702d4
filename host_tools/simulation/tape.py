"""The audio of one simulation on its way into the device: counted, cut, kept for a while.

Stands between the microphone's effects and the device's stdin.  A device process that loses its
power gets its part of the audio, then the next gets the rest.  What was fed stays known for some
minutes, so that what left the device can be compared with what went in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from host_tools.audio.files import Samples

CHUNK_SAMPLES = 160
#: How much is remembered: far more than the longest stream and all that lies in pipes.
KEPT_SAMPLES = 10 * 60 * 16000


@dataclass
class Envelope:
    """The lowest and highest sample of each 10 ms, for the plot of the waveform."""

    low: list[Samples] = field(default_factory=list)
    high: list[Samples] = field(default_factory=list)
    _rest: Samples = field(default_factory=lambda: np.zeros(0, np.int16))

    def add(self, block: Samples) -> None:
        samples = np.concatenate([self._rest, block])
        whole = samples.size // CHUNK_SAMPLES * CHUNK_SAMPLES
        chunks = samples[:whole].reshape(-1, CHUNK_SAMPLES)
        self.low.append(chunks.min(axis=1))
        self.high.append(chunks.max(axis=1))
        self._rest = samples[whole:]


class Tape:
    """Blocks of int16 samples, read once, from start to end."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks = iter(blocks)
        self._rest: Samples = np.zeros(0, np.int16)
        self._kept: deque[Samples] = deque()
        self._kept_from = 0
        self._lock = threading.Lock()
        self.samples = 0  # taken so far
        self.has_ended = False
        self.envelope = Envelope()

    def take(self, count: int | None = None) -> Iterator[bytes]:
        """Yield the next `count` samples (None: all) as little-endian bytes; fewer at the end."""
        left = count
        while left is None or left > 0:
            if not self._rest.size:
                self._rest = next(self._blocks, self._rest)
                if not self._rest.size:
                    self.has_ended = True
                    return
            size = self._rest.size if left is None else min(left, self._rest.size)
            block, self._rest = self._rest[:size], self._rest[size:]
            if left is not None:
                left -= size
            self._keep(block)
            yield block.astype("<i2").tobytes()

    def skip(self, count: int) -> None:
        """Let `count` samples pass that nobody hears."""
        for _ in self.take(count):
            pass

    def between(self, start: int, end: int) -> bytes:
        """Return the samples from `start` to `end`, little-endian; they must still be known."""
        with self._lock:
            assert self._kept_from <= start <= end <= self.samples, (start, end)
            parts, at = [], self._kept_from
            for block in self._kept:
                if at < end and at + block.size > start:
                    parts.append(block[max(0, start - at) : end - at])
                at += block.size
        samples: Samples = np.concatenate([np.zeros(0, np.int16), *parts])
        return samples.astype("<i2").tobytes()

    def _keep(self, block: Samples) -> None:
        self.envelope.add(block)
        with self._lock:
            self._kept.append(block)
            self.samples += block.size
            while self.samples - self._kept_from - self._kept[0].size > KEPT_SAMPLES:
                self._kept_from += self._kept.popleft().size
