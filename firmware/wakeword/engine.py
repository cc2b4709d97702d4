"""The whole engine: 10 ms of PCM in, the number of the wake word that was heard out.

Place in the pipeline: what the satellite calls on every chunk.  One front end feeds any number
of models.  Each model is paired with what decides on its probabilities; which that is follows
from the kind in the model's header.
"""

import micropython
from micropython import const

from .detector import Detector
from .frontend import Frontend
from .model_format import FEATURE_STEP_MS, FEATURES, WAKE_WORD

CHUNK_SAMPLES = 160
_CHUNK_BYTES = const(320)


def _wake_word(header, refractory_ms, setting=(None, None)):
    cutoff, window = setting
    return Detector(
        header.probability_cutoff if cutoff is None else cutoff,
        header.sliding_window_size if window is None else window,
        header.stride * FEATURE_STEP_MS,
        refractory_ms,
    )


#: Kind of model to the maker of what decides on its probabilities.
_DECIDERS = {WAKE_WORD: _wake_word}


class Engine:
    """Listen with several models at once.

    `models` is a sequence of `model.Model`; `refractory_ms` as in `detector.Detector`; `settings`
    has for each model None or (cutoff, window), which count instead of those in the model's file
    where they are not None.  After `process`: `slice_ready` tells whether the chunk completed a
    feature slice, `slice` holds it (40 uint8, int8 + 128); each model has its own `inferred` and
    `probability`.
    """

    def __init__(self, models, refractory_ms=1000, settings=()):
        self.models = tuple(models)
        detectors = []
        for i, model in enumerate(self.models):
            own = settings[i] if i < len(settings) else None
            more = () if own is None else (own,)
            detectors.append(_DECIDERS[model.header.kind](model.header, refractory_ms, *more))
        self.detectors = tuple(detectors)
        self.frontend = Frontend()
        self.slice = bytearray(FEATURES)
        self.slice_ready = False
        self._checked = None

    def reset(self):
        """Restore the exact initial state; cutoffs stay."""
        self.frontend.reset()
        for model in self.models:
            model.reset()
        for detector in self.detectors:
            detector.reset()
        self.slice_ready = False

    @micropython.native
    def process(self, chunk):
        """Take 160 int16 samples, little-endian; return the index of the model that detected, or
        -1.

        Where several detect in the same chunk, the first of them counts.  Allocates nothing.
        Raises ValueError for another length and TypeError for what holds no bytes: the kernels
        below read 320 bytes wherever they are told to.
        """
        if chunk is not self._checked:
            self._check(chunk)
        values = self.slice
        ready = self.slice_ready = self.frontend.process(chunk, values)
        if not ready:
            return -1
        detected = -1
        models = self.models
        i = len(models)
        while i:  # from the last on, so that the first of them counts
            i -= 1
            if models[i].push(values) and self.detectors[i].update(models[i].probability):
                detected = i
        return detected

    def _check(self, chunk):
        """Once for a buffer that comes again and again, so that it costs the 10 ms nothing."""
        if len(chunk) != _CHUNK_BYTES:
            raise ValueError("a chunk has 320 bytes")
        self._checked = chunk
