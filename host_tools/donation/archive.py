"""The archive of a donation: audio and labels, and nothing of where they come from.

A tar file.  `recordings/ID.wav` under a random id that is nowhere else, `labels.jsonl` (a line for
each), `SHA256SUMS`, and the data card.  The order is that of the random ids; dates are cut to the
month.  What goes in is the reviewed set (`review.given`), and nothing else.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import secrets
import tarfile
from collections.abc import Sequence
from pathlib import Path

from host_tools.donation.data_card import CARD_NAME, data_card, facts_of
from host_tools.donation.review import Offer, given, may_be_given
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.receiver_log import digest_of
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.waiting_archive import Waiting

#: The largest set that is packed while devices wait for the receiver's disk, in samples: 1 h.
MAX_SAMPLES = 3600 * 16000
_ID_BYTES = 16
_Row = dict[str, str | int | None]


class NotMadeError(HostToolError):
    """The archive cannot be made as things are; nothing was."""


class ChangedError(NotMadeError):
    """The reviewed set is not the one that its owner saw; nothing was made."""

    def __init__(self) -> None:
        super().__init__(
            "the set is not the one that you saw: something was withdrawn, deleted or decided",
            "look at it again",
        )


def name_of(recordings: Recordings, reviewed: Sequence[Offer]) -> str:
    """Return what names a reviewed set: other recordings, labels or words have another name."""
    digest = hashlib.sha256()
    for offer in reviewed:
        id = offer.recording.id
        digest.update(f"{id} {offer.labels.wake_word}\n".encode())
        digest.update(hashlib.sha256(recordings.history.transcript(id) or b"").digest())
    return digest.hexdigest()


def write_archive(recordings: Recordings, path: Path) -> int:
    """Write the archive of the reviewed set to the new file `path`, for its owner alone.

    What was withdrawn or deleted since it was reviewed is not in it.  The receiver's audit log has
    the SHA-256 of the archive and which recordings went into it.  With `path` it has left: the
    receiver does not follow it there.

    Args:
        recordings: Those of the receiver.
        path: Replaces nothing.

    Returns:
        How many recordings are in it; with none there is no archive.

    Raises:
        HostToolError: a recording is damaged, the file exists or cannot be written, or the log
            cannot be.
    """
    found = given(recordings)
    while found:
        content = _packed(recordings, found, "command")
        if _is_as(recordings, found):
            _record(recordings, found, content, "command")
            owner_only_files.write(path, content, may_replace=False)
            if _is_as(recordings, found):
                recordings.labels.note_left([o.recording for o in found], _today())
                break
            path.unlink()
        found = given(recordings)
    return len(found)


def make_waiting(recordings: Recordings, of_set: str, *, source: str = "page") -> Waiting:
    """Make the archive in the receiver's folder, where it waits to be taken away.

    Args:
        recordings: Those of the receiver.
        of_set: The name of the set that the owner saw; made twice, it is there once.
        source: One of receiver_log.SOURCES.

    Raises:
        NotMadeError: it is too large; ChangedError: it is another by now, or changed meanwhile.
        HostToolError: as `write_archive`.
    """
    found = given(recordings)
    if not found or name_of(recordings, found) != of_set:
        raise ChangedError
    if sum(offer.recording.samples for offer in found) > MAX_SAMPLES:
        raise NotMadeError("the set is longer than an hour", "make it with: earnest donate FILE")
    if (waiting := waiting_now(recordings)) is not None and waiting.of_set == of_set:
        return waiting
    content = _packed(recordings, found, source)
    if not _is_as(recordings, found):
        raise ChangedError
    _record(recordings, found, content, source)
    waiting = recordings.waiting.write(content, [o.recording.id for o in found], of_set)
    if not _is_as(recordings, found):  # another process withdrew, between our look and its own
        recordings.waiting.remove()
        raise ChangedError
    return waiting


def waiting_now(recordings: Recordings) -> Waiting | None:
    """Return the archive that waits; one with a recording that may not be given any more, for
    instance since its files were removed by hand, is removed.  Raises HostToolError."""
    waiting = recordings.waiting.find()
    if waiting is None or not _may_be_given(recordings, waiting):
        if left := recordings.waiting.remove():
            raise HostToolError(f"cannot remove {left[0]}", "remove it by hand")
        return None
    return waiting


def take_away(recordings: Recordings, *, source: str = "page") -> bytes | None:
    """Return the archive that waits, to leave this receiver; None if there is none any more.

    The log says that it leaves, and each recording in it keeps that day, before anybody has it.
    """
    waiting = waiting_now(recordings)
    if waiting is None:
        return None
    content = recordings.waiting.content(waiting)
    count = len(waiting.ids)
    recordings.log.add("leave", recordings=count, archive=waiting.sha256, source=source)
    recordings.waiting.note_left(waiting, _today())
    recordings.labels.note_left(recordings.these(waiting.ids), _today())
    return content


def _may_be_given(recordings: Recordings, waiting: Waiting) -> bool:
    """Return whether everything in the archive is still kept and shared."""
    there = may_be_given(recordings, recordings.these(waiting.ids))
    return {recording.id for recording in there} == set(waiting.ids)


def _is_as(recordings: Recordings, found: Sequence[Offer]) -> bool:
    """Return whether the reviewed set is still this one."""
    return name_of(recordings, given(recordings)) == name_of(recordings, found)


def _record(recordings: Recordings, found: Sequence[Offer], content: bytes, source: str) -> None:
    """The log says it before it is done."""
    recordings.log.add(
        "donate",
        recordings=len(found),
        ids=digest_of([offer.recording.id for offer in found]),
        archive=hashlib.sha256(content).hexdigest(),
        source=source,
    )


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def _packed(recordings: Recordings, found: Sequence[Offer], source: str) -> bytes:
    """Return the archive's content; a recording that vanishes meanwhile is left out."""
    files: dict[str, bytes] = {}
    rows: list[_Row] = []
    packed = []
    for offer in found:
        recording = offer.recording
        try:
            wav = recordings.wav(recording, what="export", source=source)
        except HostToolError:
            if recording.id in {other.recording.id for other in given(recordings)}:
                raise  # it is there, and damaged
            continue
        packed.append(offer)
        id = secrets.token_hex(_ID_BYTES)
        name = f"recordings/{id}.wav"
        files[name] = wav
        rows.append(
            {
                "id": id,
                "file": name,
                "sha256": hashlib.sha256(wav).hexdigest(),
                **facts_of(offer),
                "transcript": recordings.transcript(recording.id, source=source),
            }
        )
    rows.sort(key=lambda row: str(row["id"]))
    files["labels.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    files[CARD_NAME] = data_card(packed).encode()
    sums = (f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in sorted(files.items()))
    files["SHA256SUMS"] = "".join(sums).encode()
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # no time, no user
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()
