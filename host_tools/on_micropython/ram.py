"""Runs in MicroPython: asks the firmware which memory it holds, and prints it as JSON.

    micropython ram.py MODEL...

Counted as the ESP32's heap would: 16-byte blocks; a buffer is its object's block and its bytes, a
tuple or list 4 bytes an item. Code is not counted here (bench adds the .mpy files).
"""

# mypy: ignore-errors
# ruff: noqa: UP038 (MicroPython has no X | Y)

import json
import sys
from array import array

from wakeword.engine import Engine
from wakeword.model import read

_BLOCK = 16


def _blocks(size):
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK


def weigh(thing, seen):
    """Bytes of `thing` and of all that it alone refers to; `seen` has the ids counted before."""
    if id(thing) in seen or thing is None or isinstance(thing, (int, str, type)):
        return 0
    seen.add(id(thing))
    if isinstance(thing, (bytes, bytearray, array)):
        return _BLOCK + _blocks(len(bytes(thing)))
    if isinstance(thing, (tuple, list)):
        return _blocks(8 + 4 * len(thing)) + sum(weigh(item, seen) for item in thing)
    if isinstance(thing, dict):
        items = list(thing.values())
    else:
        try:
            items = list(thing.__dict__.values())
        except AttributeError:
            return 0  # a function or a built-in object: code
    return _BLOCK + _blocks(8 * len(items)) + sum(weigh(item, seen) for item in items)


def main():
    engine = Engine([read(path) for path in sys.argv[1:]])
    seen = set()
    models = []
    for model in engine.models:
        models.append({"file": weigh(model._data, seen), "arena": weigh(model._arena, seen)})
        models[-1]["rest"] = weigh(model, seen)
    tables = sum(
        weigh(value, seen)
        for name, module in sys.modules.items()
        if name.startswith("wakeword")
        for value in module.__dict__.values()
        if isinstance(value, (bytes, tuple, array))
    )
    report = {"models": models, "frontend": weigh(engine.frontend, seen), "tables": tables}
    report["rest"] = weigh(engine, seen)
    print(json.dumps(report))


main()
