"""Runs in MicroPython: records every call of the firmware's kernels while a script drives it.

    micropython record_calls.py OUT KERNELS SCRIPT [ARGUMENT...]

KERNELS is `wakeword.kernels=dot,push;wakeword.frontend.kernels=fft`: modules and functions. They
are wrapped before anything else of the firmware is imported, so it makes no difference how it
imports them. SCRIPT then runs as a program. OUT gets the calls; xtensa/call_trace.py describes and
reads the format. A buffer is known by its address and size, so that slices of one buffer and the
buffer itself are the same memory, and only what changed since it was last seen is written.
"""

# mypy: ignore-errors

import struct
import sys

import micropython
import uctypes


@micropython.viper
def _changed(a: ptr8, b: ptr8, limits: ptr32) -> int:
    """Copy a to b within limits[0]..limits[1]; leave the changed span there; its size."""
    first = limits[0]
    last = limits[1]
    while first < last and a[first] == b[first]:
        first += 1
    while last > first and a[last - 1] == b[last - 1]:
        last -= 1
    limits[0] = first
    limits[1] = last
    i = first
    while i < last:
        b[i] = a[i]
        i += 1
    return last - first


class Recorder:
    """Writes the calls to a file; `wrap` makes a function that does so."""

    def __init__(self, file):
        self._file = file
        self._seen = {}
        self._limits = bytearray(8)
        self._count = 0

    def _changes(self, buffer):
        address = uctypes.addressof(buffer)
        size = len(bytes(buffer))
        copy = self._seen.get((address, size))
        if copy is None:
            copy = self._seen[(address, size)] = bytearray(size)
            first, content = 0, bytes(buffer)
            copy[:] = content
        else:
            struct.pack_into("<2I", self._limits, 0, 0, size)
            if not _changed(buffer, copy, self._limits):
                return struct.pack("<2I", 0, 0)
            first, last = struct.unpack("<2I", self._limits)
            content = bytes(memoryview(copy)[first:last])
        return struct.pack("<2I", first, len(content)) + content

    def wrap(self, name, function):
        """A function that records and then is `function`."""
        file, kernel = self._file, self._count
        self._count += 1
        file.write(b"N" + struct.pack("<H", len(name)) + name.encode())

        def recorded(*arguments):
            file.write(b"C" + struct.pack("<HB", kernel, len(arguments)))
            buffers = []
            for argument in arguments:
                if isinstance(argument, int):
                    file.write(b"i" + struct.pack("<q", int(argument)))
                else:
                    buffers.append(argument)
                    where = uctypes.addressof(argument), len(bytes(argument))
                    file.write(b"b" + struct.pack("<QI", *where) + self._changes(argument))
            result = function(*arguments)
            if result is None:
                file.write(b"n")
            elif isinstance(result, bool):
                file.write(b"t" if result else b"f")
            else:
                file.write(b"i" + struct.pack("<q", result))
            for buffer in buffers:
                file.write(self._changes(buffer))
            return result

        return recorded


def load_alone(name):
    """Import a module of a package without running the package, under its full name."""
    folder, _, own = name.replace(".", "/").rpartition("/")
    for root in list(sys.path):
        sys.path.insert(0, root + "/" + folder)
        try:
            module = __import__(own)
        except ImportError:
            module = None
        sys.path.pop(0)
        if module is not None:
            del sys.modules[own]
            sys.modules[name] = module
            return module
    raise ImportError(name)


def main():
    out, kernels, script = sys.argv[1:4]
    with open(out, "wb") as file:
        recorder = Recorder(file)
        for item in kernels.split(";"):
            name, _, functions = item.partition("=")
            module = load_alone(name)
            for function in functions.split(","):
                wrapped = recorder.wrap(name + "." + function, getattr(module, function))
                setattr(module, function, wrapped)
        with open(script) as source:
            program = source.read()
        sys.argv[:] = sys.argv[3:]
        exec(program, {"__name__": "__main__"})


main()
