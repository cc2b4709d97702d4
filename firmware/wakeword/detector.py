"""Turn probabilities into a decision, in integers.

Place in the pipeline: after `model`, before whatever acts on a detection.  The rule is that of
ESPHome's micro_wake_word (streaming_model.cpp): the mean over a sliding window against a
cutoff, then a pause.
"""


class Detector:
    """Decide on every probability whether the wake word was heard.

    `cutoff` is in 0..255, `int(probability_cutoff * 255)` of a manifest, and may be changed at
    any time; `window` is the number of probabilities averaged; `step_ms` the time between two
    of them; after a detection the window is emptied and `refractory_ms` must pass in steps
    whose probability is below the cutoff.
    """

    def __init__(self, cutoff, window, step_ms, refractory_ms=1000):
        if not (0 <= cutoff <= 255 and window >= 1 and step_ms >= 1 and refractory_ms >= 0):
            raise ValueError("cutoff %d, window %d, step %d ms" % (cutoff, window, step_ms))
        self.cutoff = cutoff
        self.step_ms = step_ms
        self.refractory_ms = refractory_ms
        self._recent = bytearray(window)
        self.reset()

    def reset(self):
        """Restore the initial state: an empty window, no pause.  The cutoff stays."""
        self._empty()
        self._pause_ms = 0
        self.mean = 0

    def _empty(self):
        recent = self._recent
        for i in range(len(recent)):
            recent[i] = 0
        self._sum = 0
        self._at = 0

    def update(self, probability):
        """Take the next probability, 0..255; return True on a detection, whose mean is then in
        `mean`.  Allocates nothing.
        """
        recent = self._recent
        at = self._at
        total = self._sum = self._sum + probability - recent[at]
        recent[at] = probability
        at += 1
        self._at = 0 if at == len(recent) else at
        if self._pause_ms > 0:
            if probability < self.cutoff:
                self._pause_ms -= self.step_ms
            if self._pause_ms > 0:
                return False
        if total <= self.cutoff * len(recent):
            return False
        self.mean = total // len(recent)
        self._empty()
        self._pause_ms = self.refractory_ms
        return True
