"""Ten milliseconds of PCM in, forty features out.

Place in the pipeline: the engine calls it on each chunk and gives the slices to the models.  Holds
the state and the buffers; the arithmetic is in kernels.py, or in kernels_xtensa.py on the chip,
and the numbers in tables.py.  Imports micropython, array, struct and its own room only.
"""

import struct
from array import array

import micropython

from . import tables

try:
    from ..walk_xtensa import address, make_slice
    from .kernels_xtensa import compress, energies, fft, filter_bank, window
except (ImportError, SyntaxError):  # not there, or not an ESP32-S3
    from .kernels import compress, energies, fft, filter_bank, window

    make_slice = None

_KERNELS = (window, fft, energies, filter_bank, compress)

_CHANNELS = 40
_CHUNKS_BEFORE_FIRST_SLICE = 2  # a window is 480 samples, three chunks


def _clear(buffer):
    """Zero a bytearray in calls of 64 bytes: an empty string is filled up with zeros."""
    for at in range(0, len(buffer), 64):
        struct.pack_into("64s", buffer, at, b"")


class Frontend:
    """Holds 20 ms of audio, 40 noise estimates and the scratch of a step; allocated once.

    After `process` returned True, `features` (array of 40 uint16) holds the slice as
    pymicro-features gives it, divided by 0.0390625.
    """

    def __init__(self):
        self.features = array("H", bytes(2 * _CHANNELS))
        self._history = bytearray(640)  # int16[320], the two chunks before the present one
        self._windowed = bytearray(1024)  # int16[512], the last 32 stay zero
        self._spectrum = bytearray(1024)  # uint16[256][2]
        self._energies = bytearray(988)  # uint32[247], bins 5..251
        self._channels = bytearray(320)  # uint32[40] noise estimates, uint32[40] signals
        self._missing = _CHUNKS_BEFORE_FIRST_SLICE
        self._words = None if make_slice is None else self._arguments()

    def reset(self):
        """Put the exact initial state back; allocates nothing."""
        _clear(self._history)
        _clear(self._channels)
        for i in range(_CHANNELS):
            self.features[i] = 0
        self._missing = _CHUNKS_BEFORE_FIRST_SLICE

    @micropython.native
    def process(self, chunk, out):
        """Take 160 int16 samples; return whether a slice was written to `out`.

        `chunk` is a buffer of 320 bytes, little-endian, aligned to 4 (true of any bytearray and of
        its slices at whole chunks); `out` one of 40 bytes, which gets uint8 = int8 + 128 values
        of the model's input.  False for the first two chunks after a reset.  Allocates nothing.
        """
        if self._words is not None and not self._missing:
            make_slice(_KERNELS, self._words, chunk, out)
            return True
        shift = window(self._history, chunk, tables.WINDOW, self._windowed)
        if self._missing:
            self._missing -= 1
            return False
        spectrum = self._spectrum
        energy = self._energies
        fft(spectrum, self._windowed, tables.TWIDDLES, shift)
        energies(spectrum, spectrum, tables.SUPER_TWIDDLES, energy)
        filter_bank(energy, tables.FILTER_BANK, self._channels, shift)
        compress(self._channels, tables.GAINS, self.features, out)
        return True

    def _arguments(self):
        """What `make_slice` gives each kernel, as in `process`; 0 is filled in there."""
        spectrum = address(self._spectrum)
        energy = address(self._energies)
        channels = address(self._channels)
        windowed = address(self._windowed)
        window_ = address(self._history), 0, address(tables.WINDOW), windowed
        fft_ = spectrum, windowed, address(tables.TWIDDLES), 0
        energies_ = spectrum, spectrum, address(tables.SUPER_TWIDDLES), energy
        filter_bank_ = energy, address(tables.FILTER_BANK), channels, 0
        compress_ = channels, address(tables.GAINS), address(self.features), 0
        return array("I", window_ + fft_ + energies_ + filter_bank_ + compress_)
