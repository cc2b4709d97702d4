"""Recognise one utterance with the built-in engine, in a process of its own; started by `hearing`.

The engine (Moonshine, base, English) is native code that keeps some 25 MB for each utterance, so a
process serves one and ends.  It is started when a stream starts: while somebody speaks it loads
its model, which takes longer than to recognise a command.

Reads 16 kHz mono int16 from standard input to its end, and writes the words to standard output as
UTF-8.  Imports nothing of the project.
"""

import array
import ctypes
import os
import sys

RATE_HZ = 16000
#: The engine understands best with little silence around the words, and often nothing with a
#: second of it (counted with tests/long/heard_commands.py).
MARGIN_S = 0.15
#: What is this much below the loudest counts as silence: a factor of the amplitude, 32 dB.
QUIET = 40
_FRAME = RATE_HZ // 50
#: What is shorter holds no word.
MIN_S = 0.1
FAILED = 3


def trimmed(samples: "array.array[int]") -> "array.array[int]":
    """Return samples with MARGIN_S of what was around the words, made silence if there is less."""
    peaks = [max(max(part), -min(part)) for part in _frames(samples)]
    wanted = max(peaks, default=0) // QUIET
    loud = [number for number, peak in enumerate(peaks) if peak > wanted]
    first, last = (loud[0], loud[-1] + 1) if loud else (0, 0)
    margin = round(MARGIN_S * RATE_HZ)
    start, end = first * _FRAME - margin, min(last * _FRAME, len(samples)) + margin
    before = array.array("h", bytes(2 * max(0, -start)))
    after = array.array("h", bytes(2 * max(0, end - len(samples))))
    return before + samples[max(0, start) : min(end, len(samples))] + after


def _frames(samples: "array.array[int]") -> "list[array.array[int]]":
    return [samples[at : at + _FRAME] for at in range(0, len(samples), _FRAME)]


def main() -> int:
    """Return the exit status."""
    # Native code may print; only the words go to our output.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from moonshine_cpp import moonshine_cpp

    model = moonshine_cpp.MoonshineModel()  # the one in the package
    samples = array.array("h")
    samples.frombytes(sys.stdin.buffer.read())
    if len(samples) < MIN_S * RATE_HZ:
        return 0
    samples = trimmed(samples)
    count = len(samples)
    floats = (ctypes.c_float * count)(*[sample / 32768 for sample in samples])
    # Not model.transcribe(): in 0.1.4 it cannot read the engine's answer.
    words = ctypes.c_char_p()
    status = moonshine_cpp.moonshine_lib.moonshine_transcribe(
        model.model_handle, floats, count, ctypes.byref(words)
    )
    if status != 0:
        print(f"the engine fails with {status}", file=sys.stderr)
        return FAILED
    output.write(words.value or b"")
    output.flush()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # The operating system takes the memory; the engine's own way of giving it back takes longer.
    os._exit(status)
