"""What the receiver does from time to time, and that a failure does not end it."""

import asyncio
import contextlib

from host_tools.errors import HostToolError
from host_tools.receiver import upkeep
from host_tools.receiver.recording_files import Deletion


class Told(list):
    """A view that remembers."""

    def emit(self, event, **fields):
        self.append((event, fields))

    def level(self, audio):
        pass

    def close(self):
        pass


def run_until(coroutine, told, count):
    """Run upkeep until it has told so much."""

    async def main():
        task = asyncio.create_task(coroutine)
        while len(told) < count:
            assert not task.done()
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), 20))


class Authority:
    """Renews at its third try; the first one fails."""

    def __init__(self):
        self.answers = [HostToolError("no space"), None, "2031-05-04", None]

    def renew_if_due(self, context):
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, HostToolError):
            raise answer
        return answer


def test_the_certificate_is_looked_at_again_and_again(monkeypatch):
    monkeypatch.setattr(upkeep, "CERTIFICATE_S", 0.001)
    told = Told()
    run_until(upkeep.renew_certificate(Authority(), None, told), told, 2)
    assert told == [("warning", {"message": "no space"}), ("renewed", {"expires": "2031-05-04"})]


class Worker:
    """Fails, then deletes, then has something left for ever."""

    def __init__(self):
        self.answers = [Deletion(2), HostToolError("disk"), Deletion(1, ["x"])]

    async def clean(self):
        raise HostToolError("cannot list")

    async def take_in(self):
        return 0, []

    async def expire(self):
        answer = self.answers.pop(0) if self.answers else Deletion(0, ["x"])
        if isinstance(answer, HostToolError):
            raise answer
        return answer


def test_retention_goes_on_after_a_failure_and_says_once_what_is_left(monkeypatch):
    monkeypatch.setattr(upkeep, "EXPIRY_S", 0.001)
    told = Told()
    worker = Worker()
    run_until(upkeep.enforce_retention(worker, told), told, 5)
    worker.answers = []
    assert [(event, fields.get("count") or fields.get("message")) for event, fields in told] == [
        ("warning", "cannot list"),
        ("deleted", 2),
        ("warning", "disk"),
        ("deleted", 1),
        ("warning", "cannot remove x"),
    ]
