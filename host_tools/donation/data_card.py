"""The data card of a donation: what goes with it, and what its owner sees before it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from host_tools.donation.review import Offer
from host_tools.receiver.labels import NOT_SAID, RIGHT, WRONG

VERSION = 2
CARD_NAME = "DATA_CARD.md"
_MONTH = len("2026-11")

_CARD = """\
# Recordings of a voice assistant, donated by their owner

Format version {version}; {count} recordings, {seconds} s of audio; 16 kHz, mono, 16 bit.
Recorded in: {months}.

## How they came about
A device of the project Earnest heard its wake word, or believed it did, and sent what followed to
a receiver in its owner's home. The owner had allowed that recordings are kept and shared for
training. The owner heard each recording before giving it, and wrote its labels.

## Labels
`labels.jsonl` has a line for each recording: `id`, `file`, `sha256` (of the file), `month`,
`duration_ms`, `preroll_ms` (how much of it precedes the detection; with 0 the wake word itself is
not in it), `wake_word` (the model that fired, if it is known), `wake_word_label` and `transcript`
(as the owner has it; `null`: none was given). `wake_word_label` is

- `right`: the wake word was said; {right} of these.
- `wrong`: a false wake, something that sounds like it was said; {wrong}.
- `not-said`: a false wake, nothing like it was said; {not_said}.
- `null`: the owner was not sure; {unsure}.

Wake words: {words}.

## What is not in it
No name, no device, no account, no address, no day or hour; the ids are random. **A voice can still
be recognised, and what is said can tell who speaks.** Treat it as personal data.

## Consent
Given by the owner of the device, who stated for each recording that everybody who can be heard
agrees. Consent to recordings that were withdrawn before this archive left was honoured.
Nobody can call back what has left: whoever passes this archive on should pass on this card.
"""


def facts_of(offer: Offer) -> dict[str, str | int | None]:
    """Return what the archive says of a recording beside its words."""
    recording = offer.recording
    return {
        "month": recording.created[:_MONTH],
        "duration_ms": recording.duration_ms,
        "preroll_ms": recording.preroll_ms,
        "wake_word": recording.wake_word,
        "wake_word_label": offer.labels.wake_word,
    }


def data_card(reviewed: Sequence[Offer]) -> str:
    """Return the card of an archive with these."""
    labels = Counter(offer.labels.wake_word for offer in reviewed)
    facts = [facts_of(offer) for offer in reviewed]
    return _CARD.format(
        version=VERSION,
        count=len(reviewed),
        seconds=round(sum(offer.recording.duration_ms for offer in reviewed) / 1000),
        months=", ".join(sorted({str(each["month"]) for each in facts})),
        words=", ".join(sorted({str(each["wake_word"] or "unknown") for each in facts})),
        right=labels[RIGHT],
        wrong=labels[WRONG],
        not_said=labels[NOT_SAID],
        unsure=labels[None],
    )
