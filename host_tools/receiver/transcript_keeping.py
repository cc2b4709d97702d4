"""Keeps the words of a stream with its recording, and forgets them where there is none.

Words may come before the stream has ended and after it was kept.  Used by the recordings' thread.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict

from host_tools.errors import HostToolError
from host_tools.receiver.recordings import Recordings

#: The newest streams that words are waited for, and that have words before their end.
MAX_ENDED, MAX_EARLY = 256, 32
#: The device's name and the stream's number.
Key = tuple[str, str]


class TranscriptKeeping:
    """The streams that words may come for."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        #: Which recording a stream became; None: none.
        self._ended: OrderedDict[Key, str | None] = OrderedDict()
        self._early: OrderedDict[Key, str] = OrderedDict()

    def ended(self, key: Key, recording: str | None) -> None:
        """The stream ended, and became this recording, or none."""
        self._ended[key] = recording
        self._ended.move_to_end(key)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        words = self._early.pop(key, None)
        if words is not None:
            self.heard(key, words)

    def heard(self, key: Key, words: str) -> None:
        """These are the words of a stream; without a recording they are forgotten."""
        if key not in self._ended:
            self._early[key] = words
            if len(self._early) > MAX_EARLY:
                self._early.popitem(last=False)
        elif (recording := self._ended[key]) is not None:
            with contextlib.suppress(HostToolError):  # a full disk keeps no words
                self._recordings.keep_transcript(recording, words)

    def forget(self, device: str) -> None:
        """No words of this device are kept, by its name, for streams that it has begun so far."""
        for key in [key for key in self._early if key[0] == device]:
            del self._early[key]
        for key in self._ended:
            if key[0] == device:
                self._ended[key] = None
