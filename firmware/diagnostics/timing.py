"""Real microseconds of each stage, measured on the chip while the application is stopped.

Place: `earnest bench --port` shows them beside the counted instructions.  The input is the noise
of `known_answers`; the kernels' work does not depend on what is heard.  Imports time and wakeword.
"""

import time

from .known_answers import CHUNK_SAMPLES, Noise, fill

CHUNKS = 90


def measure(models):
    """A dict of (calls, microseconds) by stage, for `models` (wakeword.model.Model).

    `frontend`: a call a chunk; `model.KERNEL`: of the first model; `engine`: everything, a call a
    chunk.  Each includes the call itself and two readings of the clock.
    """
    from drivers.pcm import Converter
    from wakeword.engine import Engine

    engine = Engine(models)
    chunk = bytearray(2 * CHUNK_SAMPLES)
    raw = bytearray(8 * CHUNK_SAMPLES)
    converter = Converter(CHUNK_SAMPLES)
    noise = Noise(1)
    totals = {"convert": 0, "frontend": 0, "engine": 0}
    for _ in range(CHUNKS):
        fill(chunk, noise, 4)
        began_us = time.ticks_us()
        converter.convert(raw, chunk)
        totals["convert"] += time.ticks_diff(time.ticks_us(), began_us)
        fill(chunk, noise, 4)
        began_us = time.ticks_us()
        engine.frontend.process(chunk, engine.slice)
        totals["frontend"] += time.ticks_diff(time.ticks_us(), began_us)
    engine.reset()
    worst_us = 0
    for _ in range(CHUNKS):
        fill(chunk, noise, 4)
        began_us = time.ticks_us()
        engine.process(chunk)
        took_us = time.ticks_diff(time.ticks_us(), began_us)
        totals["engine"] += took_us
        worst_us = max(worst_us, took_us)
    stages = {name: (CHUNKS, total) for name, total in totals.items()}
    stages.update(_kernels(models[0]))
    return {
        "version": 1,
        "frequency_hz": _frequency_hz(),
        "worst_engine_us": worst_us,
        "stages": stages,
    }


def _kernels(model):
    """(calls, microseconds) of each kernel of a stride of the model."""
    from wakeword.kernels import load
    from wakeword.model import _KERNELS

    kinds = ("", "dot", "depthwise", "requantise", "push", "lookup")
    fast = {_KERNELS[kind]: kind for kind in _KERNELS}
    model.reset()
    slice = bytearray(40)
    began_us = time.ticks_us()
    load(model._arena, slice, model._input_at)
    found = {"model.load": (1, time.ticks_diff(time.ticks_us(), began_us))}
    for program in (model._on_slice, model._on_stride):
        for kernel, at in program:
            name = "model." + kinds[fast[kernel]]
            began_us = time.ticks_us()
            kernel(model._arena, model._data, at)
            took_us = time.ticks_diff(time.ticks_us(), began_us)
            calls, total = found.get(name, (0, 0))
            found[name] = (calls + 1, total + took_us)
    model.reset()
    return found


def _frequency_hz():
    try:
        import machine

        return machine.freq()
    except (ImportError, AttributeError):
        return 0
