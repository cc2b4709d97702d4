"""The firmware's front end and end of speech, run in MicroPython on recordings."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.generators.spoken_commands import CHUNK_SAMPLES, RATE_HZ, Recording

#: How much from before the speech is sent, see gate.Gate.
HOLD_S = 0.3
CHUNKS_PER_S = RATE_HZ // CHUNK_SAMPLES

#: Reads (chunk of the detection, chunks, PCM) again and again; prints for each recording the chunk
#: after which speech began and the one after which it had ended, or -1.
RUN = """
import struct, sys
import micropython
from satellite.end_of_speech import EndOfSpeech
from wakeword.frontend import Frontend

stream = sys.stdin.buffer
frontend = Frontend()
end_of_speech = EndOfSpeech()
chunk, slice_ = bytearray(320), bytearray(40)


def run(detected, chunks):
    frontend.reset()
    end_of_speech.reset()
    began = ended = -1
    for i in range(chunks):
        stream.readinto(chunk)
        micropython.heap_lock()
        if frontend.process(chunk, slice_):
            is_over = end_of_speech.update(slice_, chunk)
            if i >= detected:
                if began < 0 and end_of_speech.heard_speech:
                    began = i + 1
                if is_over and ended < 0:
                    ended = i + 1
            if i == detected - 1:
                end_of_speech.begin()
        micropython.heap_unlock()
    print("[%d, %d]" % (began, ended))


while True:
    header = stream.read(8)
    if len(header) < 8:
        break
    run(*struct.unpack("<II", header))
"""


@dataclass(frozen=True)
class Found:
    """When speech began and ended in a recording, in s; None for never."""

    recording: Recording
    began_s: float | None
    ended_s: float | None

    @property
    def cut_s(self) -> float:
        """How much is missing of what was said from the detection on, when it begins."""
        assert self.began_s is not None
        heard_from = max(self.recording.said_from_s, self.recording.detected_s)
        return max(0.0, self.began_s - HOLD_S - heard_from)

    @property
    def late_s(self) -> float:
        """How long after the last word it ended; negative when it was cut."""
        assert self.ended_s is not None
        return self.ended_s - self.recording.said_to_s


def find(run_micropython: Callable[..., bytes], recordings: list[Recording]) -> list[Found]:
    """Run the firmware on the recordings."""
    packed = []
    for recording in recordings:
        chunks = recording.samples.size // CHUNK_SAMPLES
        packed.append(struct.pack("<II", round(recording.detected_s * CHUNKS_PER_S), chunks))
        packed.append(recording.samples[: chunks * CHUNK_SAMPLES].astype("<i2").tobytes())
    lines = run_micropython(RUN, stdin=b"".join(packed)).splitlines()
    assert len(lines) == len(recordings)
    found = []
    for recording, line in zip(recordings, lines, strict=True):
        began, ended = (None if at < 0 else at / CHUNKS_PER_S for at in json.loads(line))
        found.append(Found(recording, began, ended))
    return found
