"""Other people's reference implementations: what "exact" is measured against.

TFLite Micro's reference kernels define a model's output and TFLM's C microfrontend defines a
feature; the converter's proof, `earnest evaluate` and the tests compare with them through this
module.  The packages are imported on first use, so that commands which need no reference start
quickly.
"""

from __future__ import annotations

import struct
from array import array

import numpy as np
from numpy.typing import NDArray

from host_tools.audio.files import Samples
from host_tools.errors import HostToolError

FEATURES = 40  # values in a feature slice
STEP_SAMPLES = 160  # samples between two slices (10 ms at 16 kHz)
FIRST_ARENA_BYTES = 1 << 18
MAX_ARENA_BYTES = 1 << 26
_FEATURE_UNIT = 0.0390625  # pymicro-features returns uint16 values times this


class TFLiteMicroModel:
    """The definition of exact: TFLite Micro's reference kernels; state is kept between calls.

    `input_shape` is (1, stride, 40); `stride` is the number of feature slices per inference.
    It trusts its input: the C++ below may crash on a damaged file, so check foreign files first.
    """

    input_shape: tuple[int, ...]

    def __init__(self, tflite_bytes: bytes) -> None:
        self._tflite_bytes = bytes(tflite_bytes)
        self._arena_bytes = FIRST_ARENA_BYTES
        self.reset()
        self.input_shape = tuple(int(n) for n in self._interpreter.get_input_details(0)["shape"])

    @property
    def stride(self) -> int:
        return self.input_shape[1]

    def run(self, slices: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Feed int8 slices of shape (n, 40); return the n // stride probabilities as uint8."""
        count = len(slices) // self.stride
        grouped = np.ascontiguousarray(slices[: count * self.stride], np.int8)
        grouped = grouped.reshape((count,) + tuple(self.input_shape))
        infer = self.infer
        return np.fromiter((infer(data) for data in grouped), np.uint8, count)

    def reset(self) -> None:
        """Make the interpreter anew: its own Reset() does not run the initialiser again."""
        from tflite_micro.python.tflite_micro import runtime

        while True:
            try:
                self._interpreter = runtime.Interpreter.from_bytes(
                    self._tflite_bytes, arena_size=self._arena_bytes
                )
                break
            except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
                raise HostToolError("the file is not a whole .tflite model", str(error)) from error
            except RuntimeError as error:
                # An arena that is too small is reported like any other failure.
                self._arena_bytes *= 4
                if self._arena_bytes > MAX_ARENA_BYTES:
                    raise HostToolError(
                        f"TFLite Micro refuses the model: {error}",
                        "its own message stands above; the file is damaged or for another runtime",
                    ) from error

    def infer(self, data: NDArray[np.int8]) -> int:
        """Run one inference on int8 data of `input_shape`; return the probability, 0..255."""
        interpreter = self._interpreter
        interpreter.set_input(data, 0)
        interpreter.invoke()
        return int(interpreter.get_output(0).reshape(-1)[0])


class FeatureExtractor:
    """The front end's reference; state and left-over samples are kept between calls."""

    def __init__(self) -> None:
        from pymicro_features import MicroFrontend

        self._frontend = MicroFrontend()
        self._rest = b""

    def process(self, pcm: Samples) -> NDArray[np.uint16]:
        """Take int16 samples, any number; return the uint16 features they complete, (n, 40)."""
        data = self._rest + np.ascontiguousarray(pcm, "<i2").tobytes()
        step_bytes = 2 * STEP_SAMPLES
        whole = len(data) // step_bytes * step_bytes
        self._rest = data[whole:]
        values = array("f")  # which holds a uint16 times 5/128 exactly
        process = self._frontend.process_samples
        for start in range(0, whole, step_bytes):
            values.extend(process(data[start : start + step_bytes]).features)
        units = np.frombuffer(values, np.float32) / np.float32(_FEATURE_UNIT)
        features: NDArray[np.uint16] = np.rint(units).astype(np.uint16).reshape(-1, FEATURES)
        return features


def features(pcm: Samples) -> NDArray[np.uint16]:
    """Return the uint16 features, shape (n, 40), of 16 kHz mono int16 samples.

    A slice per 10 ms, the first after 30 ms: n = len(pcm) // 160 - 2, or 0.
    """
    return FeatureExtractor().process(pcm)


def quantise(values: NDArray[np.uint16]) -> NDArray[np.int8]:
    """Return features as the models' int8 input: ESPHome's on-device formula, clamped."""
    scaled = (values.astype(np.int32) * 256 + 333) // 666 - 128
    return np.clip(scaled, -128, 127).astype(np.int8)


def probabilities(tflite_bytes: bytes, pcm: Samples) -> NDArray[np.uint8]:
    """Return every inference's probability (uint8, before averaging) over int16 samples."""
    return TFLiteMicroModel(tflite_bytes).run(quantise(features(pcm)))
