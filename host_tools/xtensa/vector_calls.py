"""Calls of vector kernels: the interpreter on the Xtensa machine's memory, every access checked.

A kernel is called as the runtime calls it.  It may read code and tables, read and write whole
buffers, and nothing else: an access that leaves a buffer by a byte is an error, also where the
memory beside it exists.
"""

from __future__ import annotations

from typing import Protocol

from host_tools.errors import HostToolError
from host_tools.xtensa import qemu_program
from host_tools.xtensa.interpreter import WORD, Interpreter

STACK_POINTER = 0x7F000000  # a frame of its own; a kernel keeps nothing there but a0
_FRAME_BYTES = 64
_FETCH_BYTES = 4


class Function(Protocol):
    """What is called: its code's address and size, and its function object's address."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def fun_obj(self) -> int: ...


class Machine(Protocol):
    """The Xtensa machine: its memory, and the address that converts an argument."""

    from_obj: int

    def read(self, address: int, size: int) -> bytes: ...
    def write(self, address: int, content: bytes) -> None: ...
    def is_in_buffer(self, address: int, size: int) -> bool: ...
    def is_code_or_table(self, address: int, size: int) -> bool: ...


class _Memory:
    """The machine's memory as the interpreter sees it."""

    def __init__(self, machine: Machine, function: Function) -> None:
        self._machine, self._function = machine, function
        self._stack: dict[int, int] = {}

    def _check(self, what: str, address: int, size: int) -> None:
        if address % size:
            raise HostToolError(
                f"{self._function.name} {what} {size} bytes at {address:#x}, which is not aligned"
            )
        inside = self._machine.is_in_buffer(address, size)
        if not inside and not (what == "read" and self._machine.is_code_or_table(address, size)):
            raise HostToolError(
                f"{self._function.name} {what} outside its buffers: {size} bytes at {address:#x}"
            )

    def fetch(self, address: int) -> bytes:
        start = self._function.address
        if not start <= address < start + self._function.size:
            raise HostToolError(f"{self._function.name} left its code for {address:#x}")
        return self._machine.read(address, _FETCH_BYTES)

    def load(self, address: int, size: int) -> int:
        if address in self._stack:
            return self._stack[address]
        self._check("read", address, size)
        return int.from_bytes(self._machine.read(address, size), "little")

    def store(self, address: int, size: int, value: int) -> None:
        if 0 <= STACK_POINTER - address <= _FRAME_BYTES:
            self._stack[address] = value
            return
        self._check("wrote", address, size)
        self._machine.write(address, value.to_bytes(size, "little"))


def interpret(machine: Machine, function: Function, n_args: int) -> tuple[int, int]:
    """Call a function whose arguments are in place: (its result, instructions executed)."""

    def runtime(address: int, value: int, _kind: int) -> int:
        if address != machine.from_obj:
            raise HostToolError(
                f"{function.name} asked MicroPython's runtime for something ({address:#x})",
                "a kernel works on its arguments alone",
            )
        return value - qemu_program.OBJECT_OFFSET & WORD

    core = Interpreter(_Memory(machine, function), runtime)
    arguments = qemu_program.SHARED_BASE + qemu_program.ARGS
    core.a[1:6] = STACK_POINTER, function.fun_obj, n_args, 0, arguments
    return core.run(function.address), core.count
