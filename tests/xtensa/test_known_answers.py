"""What `earnest selftest` expects of the kernels is what the chip's machine code gives."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from firmware.diagnostics import known_answers
from firmware.wakeword import model_format
from host_tools.models.catalog import find_model, known_models
from host_tools.shared_firmware import FIRMWARE

NAMES = {
    model_format.DOT: "dot",
    model_format.DEPTHWISE: "depthwise",
    model_format.REQUANTISE: "requantise",
    model_format.PUSH: "push",
    model_format.LOOKUP: "lookup",
}


class ModelOnTheChip:
    """What `known_answers.model_answer` uses of a model, every kernel run by the machine."""

    def __init__(self, chip, data):
        self.header, ops = model_format.check(data)
        self._chip = chip
        self._data = data
        self._input_at = self.header.input_at
        self._arena = bytearray(self.header.arena_bytes)
        chip.machine.clear()
        self._at = chip.machine.alloc(bytes(self._arena))
        self._model = chip.machine.alloc(bytes(data))
        self._values = chip.machine.alloc(40)
        program = [(self._kernel(NAMES[kind]), at) for kind, at in ops]
        self._on_slice = program[: self.header.input_op_count]
        self._on_stride = program[self.header.input_op_count :]

    def reset(self):
        self._arena[:] = bytes(len(self._arena))
        for i in range(self.header.fill_count):
            at = self.header.fills_at + i * model_format.FILL_BYTES
            start, size, value = self.header.words(self._data, at, 3)
            self._arena[start : start + size] = bytes([value]) * size

    def load(self, _arena, values, at):
        self._chip.machine.write(self._values, bytes(values))
        self._run("load", self._values, at)

    def _kernel(self, name):
        return lambda _arena, _data, at: self._run(name, self._model, at)

    def _run(self, name, *arguments):
        machine = self._chip.machine
        machine.write(self._at, bytes(self._arena))
        self._chip("wakeword.kernels." + name, self._at, *arguments)
        self._arena[:] = machine.read(self._at, len(self._arena))


@pytest.mark.parametrize("name", list(known_models()))
def test_the_chip_gives_the_answer_that_selftest_knows(each_chip, monkeypatch, name):
    model = ModelOnTheChip(each_chip, find_model(name).path.read_bytes())
    wakeword = ModuleType("wakeword")
    wakeword.kernels = SimpleNamespace(load=model.load)
    monkeypatch.setitem(sys.modules, "wakeword", wakeword)
    monkeypatch.setitem(sys.modules, "wakeword.model_format", model_format)
    known = {}
    exec((FIRMWARE / "diagnostics" / "vectors.py").read_text(), known)
    assert known_answers.model_answer(model) == known["MODELS"][model.header.crc32]
