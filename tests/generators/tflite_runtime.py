"""A second reference for the tests: TFLite itself, with its reference kernels."""

from __future__ import annotations

import importlib.util

import numpy as np

from host_tools.models.reference import TFLiteMicroModel


def has_tflite_runtime() -> bool:
    """Return True where tflite-runtime has wheels (Linux, Python before 3.12)."""
    return importlib.util.find_spec("tflite_runtime") is not None


class TFLiteRuntimeModel(TFLiteMicroModel):
    """The same model under tflite-runtime; needs `has_tflite_runtime`."""

    def __init__(self, tflite_bytes: bytes) -> None:
        self._tflite_bytes = bytes(tflite_bytes)
        self.reset()
        self.input_shape = tuple(int(n) for n in self._interpreter.get_input_details()[0]["shape"])

    def reset(self) -> None:
        from tflite_runtime.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=self._tflite_bytes,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def infer(self, data: np.ndarray) -> int:
        interpreter = self._interpreter
        interpreter.set_tensor(self._input, data)
        interpreter.invoke()
        return int(interpreter.get_tensor(self._output).reshape(-1)[0])
