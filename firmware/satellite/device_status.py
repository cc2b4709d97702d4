"""What the device tells its receiver about itself, and how often.

Place in the pipeline: beside the streamer, which sends it.  Pure; times are passed in.
"""

#: At most this many at once, and one more every REFILL_MS: six within any minute.
BURST = 3
REFILL_MS = 20000


class DeviceStatus:
    """The fields of `status` in docs/protocol.md, out of config, gate, speech and sensitivity (a
    sensitivity_state.SensitivityState, or None).

    `firmware` is the installed version, at most 64 printable ASCII characters, None where nobody
    knows.  Read: `is_due`.
    """

    def __init__(self, config, gate, speech, sensitivity=None):
        self._config = config
        self._gate = gate
        self._speech = speech
        self._sensitivity = sensitivity
        self.firmware = None
        self._told = None  # what was last said on this connection
        self._tokens = BURST
        self._refilled_ms = 0
        self.is_due = True

    def configured(self, config):
        """Another configuration holds from now on."""
        self._config = config
        self.changed()

    def connected(self):
        """Another connection: whoever is there has been told nothing."""
        self._told = None
        self.is_due = True

    def changed(self):
        """Something may have changed."""
        self.is_due = True

    def may_tell(self, now_ms):
        """Whether it may be told now; allocates nothing."""
        grown = (now_ms - self._refilled_ms) // REFILL_MS
        if grown > 0:
            self._refilled_ms += grown * REFILL_MS
            self._tokens = min(BURST, self._tokens + grown)
        return self._tokens > 0

    def news(self):
        """The data of the message that is due, or None where nothing has changed after all."""
        self.is_due = False
        data = self._data()
        if data == self._told:
            return None
        self._told = data
        self._tokens -= 1
        return data

    def _data(self):
        config = self._config
        gate = self._gate
        data = {
            "speaker": self._speech.has_speaker,
            "muted": gate.muted,
            "switch": gate.switch_muted,
            "listening": gate.may_listen,
            "volume": self._speech.volume,
            "volume_max": self._speech.volume_max,
            "words": list(config.models),
            "keep_recordings": config.keep_recordings,
            "share_for_training": config.share_for_training,
            "timers": config.timers,
            "announcements": config.announcements,
            "withdraw": True,
        }
        if gate.off_by is not None:
            data["off_by"] = gate.off_by
        if self._sensitivity is not None:
            data["cutoffs"] = self._sensitivity.cutoffs()
        if self.firmware is not None:
            data["firmware"] = self.firmware
        return data
