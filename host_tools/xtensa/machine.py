"""XtensaMachine: a qemu-xtensa process whose memory the host reads and writes directly.

Runs the kernels' machine code, as the chip will, on a Linux host. The CPU is dc233c: windowed
registers, 32-bit multiply, zero-overhead loops, as the ESP32-S3 has them. It does not have the
S3's vector instructions: functions that use them are loaded with vector=True and run in the
interpreter (vector_calls.py), on the same memory.

    with XtensaMachine() as machine:
        kernels = machine.load(compile_firmware("kernels.py"))
        x = machine.alloc(b"abc")
        machine.call(kernels["checksum"], x, 3)
"""

from __future__ import annotations

import mmap
import os
import select
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass

import numpy as np

from host_tools.errors import HostToolError
from host_tools.xtensa import qemu_program
from host_tools.xtensa.function_names import machine_code
from host_tools.xtensa.instruction_log import InstructionLog
from host_tools.xtensa.mpy import KIND_VIPER, OBJ_FUN_TABLE, from_bytes
from host_tools.xtensa.vector_calls import interpret

SHARED_BYTES = 16 << 20
GUARD_BYTES = 32
MAX_ARGUMENTS = 16
_TABLES, _CODE, _DATA = 0x1000, 0x20000, 0x80000  # offsets into the shared memory
_GUARD = 0xA5
_NONE, _FALSE, _TRUE = 0x7E000010, 0x7E000020, 0x7E000030  # stand for the runtime's objects
_TYPE_BOOL, _TYPE_UINT = 1, 3  # of MP_NATIVE_TYPE_*; an object has no conversion
_RUNTIME_NAMES = {
    5: "the module's globals",
    9: "an attribute",
    15: "an object's item",
    18: "arithmetic on objects",
    27: "a function call",
    28: "a method call",
    46: "division //",
    47: "modulo %",
}


@dataclass(frozen=True)
class Function:
    """A viper function in the machine's memory; with `vector`, for the interpreter."""

    name: str
    address: int
    size: int
    fun_obj: int
    vector: bool = False


class Object(int):
    """An address of an object that a function reads itself, where others convert theirs."""


def find_qemu() -> str:
    """Return the path of qemu-xtensa; raise HostToolError with the command that installs it."""
    path = shutil.which("qemu-xtensa") or shutil.which("qemu-xtensa-static")
    if not path:
        raise HostToolError("qemu-xtensa is not installed", "apt-get install qemu-user")
    return path


class XtensaMachine:
    """Runs viper functions; a wild store, a wrong runtime call or a hang is a HostToolError.

    count: count the executed instructions; `counts()` then tells how many each call took (slow:
    some ten million a second; single_step, see instruction_log.py, slower still).
    timeout_s: the longest a single call may take.
    """

    def __init__(
        self, count: bool = False, timeout_s: float = 60.0, single_step: bool = False
    ) -> None:
        qemu = find_qemu()
        self.timeout_s = timeout_s
        self._next = {"tables": _TABLES, "code": _CODE, "data": _DATA}
        self._guards = np.zeros(0, np.int64)
        self._owners: list[tuple[int, int]] = []
        self._current = "the monitor"
        self._called: list[tuple[str, int | None]] = []  # None: the log has the count
        self._folder = tempfile.TemporaryDirectory(prefix="earnest-xtensa-")
        with tempfile.TemporaryFile() as file:
            file.truncate(SHARED_BYTES)
            self._memory = mmap.mmap(file.fileno(), SHARED_BYTES)
            elf, table, call_at = qemu_program.build(file.fileno(), SHARED_BYTES)
            path = os.path.join(self._folder.name, "monitor.elf")
            with open(path, "wb") as image:
                image.write(elf)
            os.chmod(path, 0o755)
            self._log = None
            options: list[str] = []
            if count:
                code = range(qemu_program.SHARED_BASE + _CODE, qemu_program.SHARED_BASE + _DATA)
                self._log = InstructionLog(self._folder.name, call_at, code, single_step)
                options = self._log.qemu_options(qemu)
            self._process = subprocess.Popen(
                [qemu, "-cpu", "dc233c", *options, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[file.fileno()],
            )
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin and stdout and stderr
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._array = np.frombuffer(self._memory, np.uint8)
        try:
            self._wait()
        except HostToolError:
            self.close()
            raise
        self.from_obj = table[qemu_program.NATIVE_FROM_OBJ]
        table[:3] = _NONE, _FALSE, _TRUE
        self._fun_table = self._place("tables", struct.pack(f"<{len(table)}I", *table))

    def __enter__(self) -> XtensaMachine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and free the memory; counts() stays usable."""
        if not self._stdin.closed:
            self._stdin.close()
            try:
                self._process.wait(self.timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._stdout.close()
            self._stderr.close()
            if self._log:
                self._log.finish()
            del self._array
            self._memory.close()
            self._folder.cleanup()

    # --- memory -------------------------------------------------------------------------------

    def _place(self, arena: str, data: bytes) -> int:
        start = self._next[arena]
        end = {"tables": _CODE, "code": _DATA, "data": SHARED_BYTES}[arena]
        if start + len(data) > end:
            raise HostToolError(f"the Xtensa machine's memory for {arena} is full")
        self._memory[start : start + len(data)] = data
        self._next[arena] = start + len(data) + 15 & ~15
        return qemu_program.SHARED_BASE + start

    def alloc(self, content: bytes | int, misalign: int = 0) -> int:
        """Place a buffer (its content, or a size in bytes, zeroed) between guards.

        Returns its address, 16-aligned plus `misalign` (0..15).
        """
        body = bytes(content) if isinstance(content, int) else bytes(memoryview(content).cast("B"))
        guard = bytes([_GUARD]) * GUARD_BYTES
        lead = bytes([_GUARD]) * (GUARD_BYTES + misalign)
        address = self._place("data", lead + body + guard) + len(lead)
        start = address - qemu_program.SHARED_BASE
        end = start + len(body)
        own = [*range(start - len(lead), start), *range(end, end + GUARD_BYTES)]
        self._guards = np.concatenate((self._guards, np.array(own, np.int64)))
        self._owners.append((address, len(body)))
        return address

    def clear(self) -> None:
        """Forget all buffers; code stays."""
        self._next["data"] = _DATA
        self._guards = np.zeros(0, np.int64)
        self._owners.clear()

    def write(self, address: int, content: bytes) -> None:
        """Write to the machine's memory."""
        start = address - qemu_program.SHARED_BASE
        self._memory[start : start + len(content)] = bytes(content)

    def read(self, address: int, size: int) -> bytes:
        """Read from the machine's memory."""
        start = address - qemu_program.SHARED_BASE
        return self._memory[start : start + size]

    def is_in_buffer(self, address: int, size: int) -> bool:
        """Return whether these bytes lie in one buffer."""
        return any(at <= address and address + size <= at + n for at, n in self._owners)

    @staticmethod
    def is_code_or_table(address: int, size: int) -> bool:
        """Return whether these bytes lie below all buffers: arguments, tables, code."""
        base = qemu_program.SHARED_BASE
        return base <= address and address + size <= base + _DATA

    def check_guards(self) -> None:
        """Raise HostToolError if a byte just before or after a buffer was changed."""
        wrong = self._guards[self._array[self._guards] != _GUARD]
        if len(wrong):
            at = int(wrong[0]) + qemu_program.SHARED_BASE
            address, size = next(o for o in self._owners if at < o[0] + o[1] + GUARD_BYTES)
            where = at - address
            raise HostToolError(
                f"{self._current} wrote outside its buffer: at byte {where} of {size} bytes"
            )

    # --- code ---------------------------------------------------------------------------------

    def load(self, mpy_file: bytes, vector: bool = False) -> dict[str, Function]:
        """Load a .mpy file's viper functions; returns them by name.

        vector: they use the S3's vector unit.
        """
        mpy = from_bytes(mpy_file)
        objects = [
            self._fun_table if constant.kind == OBJ_FUN_TABLE else 0 for constant in mpy.constants
        ]
        obj_table = self._place("tables", struct.pack(f"<{len(objects)}I", *objects) + bytes(4))
        context = self._place("tables", struct.pack("<4I", 0, 0, 0, obj_table))
        loaded = {}
        for name, code in machine_code(mpy).items():
            if code.kind == KIND_VIPER:
                loaded[name] = self.load_code(name, code.data, context, vector)
        return loaded

    def place_tuple(self, *items: Function | Object | int) -> Object:
        """Place a tuple object of functions, other objects and small integers."""
        words = [
            item.fun_obj
            if isinstance(item, Function)
            else item
            if isinstance(item, Object)
            else (item << 1 | 1) & 0xFFFFFFFF
            for item in items
        ]
        return Object(
            self._place("tables", struct.pack(f"<{2 + len(words)}I", 0, len(words), *words))
        )

    def load_code(
        self, name: str, code: bytes, context: int = 0, vector: bool = False
    ) -> Function:
        """Load the machine code of a function; `context` is its module's, for the fun table."""
        address = self._place("code", code)
        fun_obj = self._place("tables", struct.pack("<4I", 0, context, 0, address))
        return Function(name, address, len(code), fun_obj, vector)

    def call(self, function: Function, *args: int) -> int | bool | None:
        """Call a function with integers and addresses; returns what Python would get."""
        assert len(args) <= MAX_ARGUMENTS
        if any(not -(1 << 31) <= int(a) < 1 << 32 for a in args):
            raise HostToolError(f"{function.name}: an argument does not fit 32 bits: {args}")
        self._current = function.name
        base = qemu_program.SHARED_BASE
        values = [
            (int(a) + (0 if isinstance(a, Object) else qemu_program.OBJECT_OFFSET)) & 0xFFFFFFFF
            for a in args
        ]
        struct.pack_into(f"<{len(args)}I", self._memory, qemu_program.ARGS, *values)
        if function.vector:
            result, count = interpret(self, function, len(args))
            self._called.append((function.name, count))
            self.check_guards()
            return None if result == _NONE else result
        words = (function.address, function.fun_obj, len(args), base + qemu_program.ARGS)
        struct.pack_into("<7I", self._memory, 0, *words, 0, 0, qemu_program.NO_TRAP)
        self._called.append((function.name, None))
        try:
            self._stdin.write(b"c")
        except BrokenPipeError as error:
            raise HostToolError("the Xtensa machine has ended", "make a new one") from error
        self._wait()
        self.check_guards()
        value: int
        value, kind = struct.unpack_from("<2I", self._memory, qemu_program.RESULT)
        if value == _NONE and kind == 0:
            return None
        if kind == _TYPE_BOOL + 1:
            return bool(value)
        return value if kind == _TYPE_UINT + 1 else value - (value >> 31 << 32)

    def counts(self) -> list[tuple[str, int]]:
        """Return [(function, instructions executed in it)] of every call; end the machine."""
        assert self._log, "made without count=True"
        self.close()
        logged = iter(self._log.per_call())
        return [(name, next(logged) if n is None else n) for name, n in self._called]

    def _wait(self) -> None:
        """Wait for the monitor's byte; explain why when it does not come."""
        ready = select.select([self._stdout], [], [], self.timeout_s)[0]
        if not ready:
            self._process.kill()
            raise HostToolError(f"{self._current} did not return within {self.timeout_s} s")
        if self._stdout.read(1):
            return
        status = self._process.wait()
        trap = struct.unpack_from("<I", self._memory, qemu_program.TRAP)[0]
        if status != qemu_program.EXIT_TRAP:
            message = self._stderr.read().decode("utf-8", "replace").strip()
            raise HostToolError(f"{self._current} ended qemu-xtensa, status {status}: {message}")
        if trap == qemu_program.ARG_CHECK_NUM_SIG:
            raise HostToolError(f"{self._current} was called with a wrong number of arguments")
        what = _RUNTIME_NAMES.get(trap, "something")
        raise HostToolError(
            f"{self._current} asked MicroPython's runtime for {what} (fun table entry {trap})",
            "a kernel works on its arguments alone",
        )
