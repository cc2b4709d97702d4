"""What the owner says of a recording: was its wake word right, was it heard, may it be given away.

Labels belong to their recording: they lie in its row of the history, sealed under its key, and go
with both.  The one place that writes them is `RecordingLabels`; the page, the commands and the
archive of a donation read the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from host_tools.errors import HostToolError
from host_tools.receiver import sealing
from host_tools.receiver.history import History
from host_tools.receiver.history_rows import row_of_recording
from host_tools.receiver.receiver_log import ReceiverLog
from host_tools.receiver.recording import Recording
from host_tools.receiver.recording_keys import RecordingKeys

VERSION = 1
#: The wake word was said; something that sounds like it was said; nothing like it was said.
RIGHT, WRONG, NOT_SAID = WAKE_WORDS = ("right", "wrong", "not-said")
#: What the owner decided for a donation, after hearing it or without.
GIVE, SKIP = DECISIONS = ("give", "skip")
MAX_TRANSCRIPT_CHARACTERS = 1000


@dataclass(frozen=True)
class Labels:
    """Of one recording; what the owner has not said is None."""

    #: One of WAKE_WORDS.
    wake_word: str | None = None
    #: Whether somebody has asked for its audio to hear it.
    is_heard: bool = False
    #: One of DECISIONS; GIVE: heard, and everybody in it agrees.
    donation: str | None = None
    #: The day (UTC, 2026-11-29) on which an archive with it left this receiver last.
    left: str | None = None

    @property
    def is_false_wake(self) -> bool:
        """Whether the device should not have woken."""
        return self.wake_word in (WRONG, NOT_SAID)

    def to_json(self) -> bytes:
        return json.dumps({"version": VERSION, **asdict(self)}).encode()


NONE = Labels()
_TYPES: dict[str, Any] = {
    "wake_word": str | None,
    "is_heard": bool,
    "donation": str | None,
    "left": str | None,
}


def labels_from_json(content: bytes) -> Labels | None:
    """Return the labels, or None unless all of them are sound."""
    try:
        fields = json.loads(content)
        if fields.pop("version") != VERSION or set(fields) != set(_TYPES):
            return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not all(isinstance(fields[name], kind) for name, kind in _TYPES.items()):
        return None
    labels = Labels(**fields)
    is_known = labels.wake_word in (None, *WAKE_WORDS) and labels.donation in (None, *DECISIONS)
    return labels if is_known else None


class RecordingLabels:
    """The labels of the recordings that are there; each method raises HostToolError."""

    def __init__(self, keys: RecordingKeys, history: History, log: ReceiverLog) -> None:
        self._keys = keys
        self._history = history
        self._log = log

    def of(self, id: str) -> Labels:
        """Return the labels of a recording; none of one that is gone, or whose are damaged."""
        return self._unsealed(id, self._history.labels_of(id)) or NONE

    def all(self) -> dict[str, Labels]:
        """Return the labels of every recording that is there and has some."""
        found = {}
        for id, sealed in self._history.labels().items():
            if (labels := self._unsealed(id, sealed)) is not None:
                found[id] = labels
        return found

    def set_wake_word(
        self, recording: Recording, wake_word: str | None, *, source: str = "command"
    ) -> None:
        """Say whether the wake word was right: one of WAKE_WORDS, None: not said yet."""
        self._record(recording, source)
        self._keep(recording, replace(self.of(recording.id), wake_word=wake_word))

    def decide(self, recording: Recording, donation: str | None, *, source: str) -> None:
        """Decide what a donation does with it: one of DECISIONS; None takes that back.

        Raises:
            HostToolError: it is to be given, and nobody has heard it.
        """
        labels = self.of(recording.id)
        if donation == GIVE and not labels.is_heard:
            raise HostToolError(
                "hear it first: nobody should give away what they have not heard",
                "play it to its end, then decide",
            )
        self._record(recording, source)
        self._keep(recording, replace(labels, donation=donation))

    def note_heard(self, recording: Recording) -> None:
        """Note that its audio was asked for to be heard; the log has that look already."""
        labels = self.of(recording.id)
        if not labels.is_heard:
            self._keep(recording, replace(labels, is_heard=True))

    def note_left(self, recordings: Iterable[Recording], day: str) -> None:
        """Note that an archive with these left the receiver on this day."""
        for recording in recordings:
            self._keep(recording, replace(self.of(recording.id), left=day))

    def correct_transcript(
        self, recording: Recording, words: str, *, source: str = "command"
    ) -> None:
        """Put the owner's words in place of what was understood; "" removes both.

        From then on the words of a machine that come late change nothing.
        """
        if len(words) > MAX_TRANSCRIPT_CHARACTERS or not words.replace("\n", "").isprintable():
            raise HostToolError(
                "the transcript is too long, or holds control characters",
                f"at most {MAX_TRANSCRIPT_CHARACTERS} characters",
            )
        self._record(recording, source)
        self._keep(recording, self.of(recording.id))
        key = self._key(recording.id)
        sealed = self._sealed(recording.id, words.encode(), key, sealing.TRANSCRIPT)
        self._history.correct_transcript(recording.id, sealed if words else None)

    def _record(self, recording: Recording, source: str) -> None:
        """The log says that labels change, and not to what."""
        self._log.add("label", source=source, recording=recording.id)

    def _keep(self, recording: Recording, labels: Labels) -> None:
        id = recording.id
        sealed = self._sealed(id, labels.to_json(), self._key(id), sealing.LABELS)
        if not self._history.keep_labels(id, sealed):
            # The disk was full when its row was to be entered, or it was deleted just now.
            self._key(id)
            self._history.add([row_of_recording(recording, {})])
            self._history.keep_labels(id, sealed)

    def _key(self, id: str) -> bytes:
        if (key := self._keys.get(id)) is None:
            raise HostToolError("the recording is not there any more", "look at the list again")
        return key

    def _sealed(self, id: str, content: bytes, key: bytes, what: str) -> bytes:
        return sealing.seal(content, key, self._keys.store(), id, what)

    def _unsealed(self, id: str, sealed: bytes | None) -> Labels | None:
        if sealed is None or (key := self._keys.get(id)) is None:
            return None
        content = sealing.unseal(sealed, key, id, sealing.LABELS)
        return None if content is None else labels_from_json(content)
