"""What the receiver does by itself, from time to time: retention, and its own certificate.

A failure is told and tried again the next time; it does not end the receiver.
"""

from __future__ import annotations

import asyncio
import ssl

from host_tools.errors import HostToolError
from host_tools.receiver.authority import Authority
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_files import Deletion
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.traffic import Meter
from host_tools.receiver.view import View

EXPIRY_S = 60.0
CERTIFICATE_S = 3600.0
COUNTS_S = 60.0


async def enforce_retention(recordings: RecordingWorker, view: View) -> None:
    """Remove what nobody can say the consent of; then, for ever, what has expired."""
    try:
        reason = "left by a deletion that was not finished, or without a sound consent record"
        _report(view, await recordings.clean(), reason)
    except HostToolError as error:
        view.emit("warning", message=error.message)
    await _take_in(recordings, view)
    told: list[str] = []
    while True:
        try:
            done = await recordings.expire()
            _report(view, Deletion(done.count, [] if done.left == told else done.left), "expired")
            told = done.left
        except HostToolError as error:
            view.emit("warning", message=error.message)
        await asyncio.sleep(EXPIRY_S)


async def share_nothing_more(
    recordings: RecordingWorker, withdrawals: OwnerWithdrawals, view: View
) -> None:
    """Mark again what owners took back: the receiver may have ended, or its disk been full, before
    all of it was marked.  Takes its place before whatever is asked afterwards."""
    pending = [each for each in withdrawals.all() if each.is_pending]
    for marking in [recordings.unshare(each.device) for each in pending]:
        try:
            failures = await marking
        except HostToolError as error:
            failures = [error.message]
        for problem in failures:
            view.emit("warning", message=f"still shared for training: {problem}")


async def _take_in(recordings: RecordingWorker, view: View) -> None:
    """Seal what an earlier version left as plain WAVs."""
    total, count, left = 0, 1, list[str]()
    while count:
        try:
            count, left = await recordings.take_in()
        except HostToolError as error:
            count, left = 0, [error.message]
        total += count
    if total:
        view.emit("sealed", count=total)
    for problem in left:
        view.emit("warning", message=f"not sealed: {problem}")


async def keep_counts(meter: Meter, recordings: RecordingWorker, view: View) -> None:
    """Write down what was exchanged beside the audio, once a minute and when the receiver ends."""
    try:
        while True:
            await asyncio.sleep(COUNTS_S)
            try:
                await recordings.count(meter.take())
            except HostToolError as error:
                view.emit("warning", message=error.message)
    finally:
        last = recordings.count(meter.take())
        last.add_done_callback(lambda done: done.cancelled() or done.exception())


async def renew_certificate(authority: Authority, context: ssl.SSLContext, view: View) -> None:
    """Renew the receiver's certificate, for ever; connections that are up keep the old one."""
    while True:
        await asyncio.sleep(CERTIFICATE_S)
        try:
            if expires := authority.renew_if_due(context):
                view.emit("renewed", expires=expires)
        except HostToolError as error:
            view.emit("warning", message=error.message)


def _report(view: View, done: Deletion, reason: str) -> None:
    if done.count:
        view.emit("deleted", count=done.count, reason=reason)
    for left in done.left:
        view.emit("warning", message=f"cannot remove {left}")
