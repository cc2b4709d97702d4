"""The owner's review before a donation: hear, label, then give or leave out.

The command and the page both work through these functions, on the labels that lie sealed with each
recording: what is begun in one can be finished in the other, and what is deleted or withdrawn is
out of it by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from host_tools.errors import HostToolError
from host_tools.receiver.labels import GIVE, NONE, SKIP, Labels
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.printable import one_line
from host_tools.receiver.recording import Recording
from host_tools.receiver.recordings import Recordings


class NotGivenError(HostToolError):
    """A recording cannot be given as things are; nothing was changed."""


@dataclass(frozen=True)
class Offer:
    """A recording that may be given, and what its owner said of it."""

    recording: Recording
    labels: Labels

    @property
    def is_given(self) -> bool:
        return self.labels.donation == GIVE and self.labels.is_heard

    @property
    def is_left_out(self) -> bool:
        return self.labels.donation == SKIP

    @property
    def is_decided(self) -> bool:
        return self.is_given or self.is_left_out


def offers(recordings: Recordings) -> list[Offer]:
    """Return what may be given now, kept under `share_for_training`; the oldest first."""
    labels = recordings.labels.all()
    return [
        Offer(recording, labels.get(recording.id, NONE))
        for recording in may_be_given(recordings, recordings.all())
    ]


def may_be_given(recordings: Recordings, found: Iterable[Recording]) -> list[Recording]:
    """Return those that are kept under `share_for_training`, without those of a device whose owner
    took its consent back: what died amid that left them marked."""
    withdrawals = OwnerWithdrawals(recordings.folder)
    return [r for r in found if r.share_for_training and not withdrawals.is_pending(r.device)]


def given(recordings: Recordings) -> list[Offer]:
    """Return the reviewed set: heard, everybody agrees, and still kept and shared."""
    return [offer for offer in offers(recordings) if offer.is_given]


def offer_of(recordings: Recordings, id: str) -> Offer | None:
    """Return the offer of this recording, if it may be given."""
    return next(
        (
            Offer(recording, recordings.labels.of(id))
            for recording in may_be_given(recordings, recordings.these({id}))
        ),
        None,
    )


def give(
    recordings: Recordings,
    recording: Recording,
    wake_word: str | None,
    words: str,
    *,
    everybody_agrees: bool,
    source: str,
) -> None:
    """Put a recording into the reviewed set, with its labels.

    Args:
        recordings: Those of the receiver.
        recording: One that was heard (`RecordingLabels.note_heard`).
        wake_word: One of labels.WAKE_WORDS; None: not sure.
        words: What was said, as the owner has it; "" for none: what was understood is removed.
        everybody_agrees: Whether all who can be heard in it agree, says the owner.
        source: One of receiver_log.SOURCES.

    Raises:
        NotGivenError: nobody heard it, somebody does not agree, or it may not be given any more.
        HostToolError: the words are too long, or it cannot be written.
    """
    offer = offer_of(recordings, recording.id)
    if offer is None:
        raise NotGivenError(
            "it was withdrawn or deleted meanwhile", "it cannot be given any more; go on"
        )
    if not offer.labels.is_heard:
        raise NotGivenError(
            "hear it first: nobody should give away what they have not heard", "play it"
        )
    if not everybody_agrees:
        raise NotGivenError(
            "everybody who can be heard in it must agree", "say so, or leave it out"
        )
    recordings.labels.correct_transcript(recording, one_line(words).strip(), source=source)
    recordings.labels.set_wake_word(recording, wake_word, source=source)
    recordings.labels.decide(recording, GIVE, source=source)


def leave_out(recordings: Recordings, recording: Recording, *, source: str) -> None:
    """Leave a recording out, heard or not."""
    recordings.labels.decide(recording, SKIP, source=source)
