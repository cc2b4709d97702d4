"""The archive of a donation: audio and labels, and nothing of where they come from.

A tar file.  `recordings/ID.wav` under a random id that is nowhere else, `labels.jsonl` (a line for
each), `SHA256SUMS`, and `DATA_CARD.md`, which says what it is.  The order is that of the random
ids; dates are cut to the month.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.receiver_log import digest_of
from host_tools.receiver.recording import Recording
from host_tools.receiver.recordings import Recordings

VERSION = 1
_ID_BYTES = 16
_MONTH = len("2026-11")
_Row = dict[str, str | int | bool | None]

CARD = """\
# Recordings of a voice assistant, donated by their owner

Format version {version}; {count} recordings, {seconds} s of audio; 16 kHz, mono, 16 bit.
Recorded in: {months}.

## How they came about
A device of the project Earnest heard its wake word, or believed it did, and sent what followed to
a receiver in its owner's home. The owner had allowed that recordings are kept and shared for
training. The owner heard each recording before giving it, and wrote its labels.

## Labels
`labels.jsonl` has a line for each recording: `id`, `file`, `sha256` (of the file), `month`,
`duration_ms`, `preroll_ms` (how much of it precedes the detection), `wake_word` (the model that
fired, if it is known), `wake_word_said` (`true`, `false`: a false wake, or `null`: the owner was
not sure), `transcript` (`null`: none was given).

Wake words: {words}. Said: {said}, not said: {not_said}, not sure: {unsure}.

## What is not in it
No name, no device, no account, no address, no day or hour; the ids are random. **A voice can still
be recognised, and what is said can tell who speaks.** Treat it as personal data.

## Consent
Given by the owner of the device, who stated for each recording that everybody who can be heard
agrees. Consent to recordings that were withdrawn before this archive was written was honoured.
Nobody can call back what has left: whoever passes this archive on should pass on this card.
"""


@dataclass(frozen=True)
class Labels:
    """What the owner says of a recording that was heard; None: not sure, or not given."""

    wake_word_said: bool | None
    transcript: str | None


def donatable(recordings: Recordings) -> list[Recording]:
    """Return what may be donated at this moment: kept under `share_for_training`."""
    recordings.reconcile()  # another process may have withdrawn, or deleted
    return [recording for recording in recordings.all() if recording.share_for_training]


def write_archive(recordings: Recordings, chosen: dict[str, Labels], path: Path) -> int:
    """Write the archive to the new file `path`, for its owner alone.

    What was withdrawn or deleted since it was chosen is not in it.  The receiver's audit log has
    the SHA-256 of the archive and which recordings went into it.

    Args:
        recordings: Those of the receiver.
        chosen: The labels of the recordings that the owner has heard and chosen, by their id.
        path: Replaces nothing.

    Returns:
        How many recordings are in it; with none there is no archive.

    Raises:
        HostToolError: a recording is damaged, the file exists or cannot be written, or the log
            cannot be.
    """
    found = _still_given(recordings, chosen)
    while found:
        content = _packed(recordings, found, chosen)
        now = _still_given(recordings, chosen)
        if [recording.id for recording in now] == [recording.id for recording in found]:
            recordings.log.add(  # before it is done
                "donate",
                recordings=len(found),
                ids=digest_of([recording.id for recording in found]),
                archive=hashlib.sha256(content).hexdigest(),
            )
            owner_only_files.write(path, content, may_replace=False)
            break
        found = now
    return len(found)


def _still_given(recordings: Recordings, chosen: dict[str, Labels]) -> list[Recording]:
    return [recording for recording in donatable(recordings) if recording.id in chosen]


def _packed(recordings: Recordings, given: list[Recording], chosen: dict[str, Labels]) -> bytes:
    """Return the archive's content; a recording that vanishes meanwhile is left out."""
    files: dict[str, bytes] = {}
    rows: list[_Row] = []
    for recording in given:
        try:
            wav = recordings.wav(recording, what="export")
        except HostToolError:
            if recording.id in {other.id for other in donatable(recordings)}:
                raise  # it is there, and damaged
            continue
        id, labels = secrets.token_hex(_ID_BYTES), chosen[recording.id]
        name = f"recordings/{id}.wav"
        files[name] = wav
        rows.append(
            {
                "id": id,
                "file": name,
                "sha256": hashlib.sha256(wav).hexdigest(),
                "month": recording.created[:_MONTH],
                "duration_ms": recording.duration_ms,
                "preroll_ms": recording.preroll_ms,
                "wake_word": recording.wake_word,
                "wake_word_said": labels.wake_word_said,
                "transcript": labels.transcript,
            }
        )
    rows.sort(key=lambda row: str(row["id"]))
    files["labels.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    files["DATA_CARD.md"] = _card(rows).encode()
    sums = (f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in sorted(files.items()))
    files["SHA256SUMS"] = "".join(sums).encode()
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # no time, no user
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def _card(rows: list[_Row]) -> str:
    said = Counter(row["wake_word_said"] for row in rows)
    return CARD.format(
        version=VERSION,
        count=len(rows),
        seconds=round(sum(int(row["duration_ms"] or 0) for row in rows) / 1000),
        months=", ".join(sorted({str(row["month"]) for row in rows})),
        words=", ".join(sorted({str(row["wake_word"] or "unknown") for row in rows})),
        said=said[True],
        not_said=said[False],
        unsure=said[None],
    )
