"""No cancellation is lost, and the receiver's end is certain."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from firmware.satellite import protocol
from host_tools.receiver import cancellation
from host_tools.receiver.assistant import Assistant
from host_tools.receiver.cancellation import cancel_all, until_done, within
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.server import Receiver
from tests.fakes.receivers import SPEECH, Device, kept_wav, new_device, serving

#: Far longer than a test may take: whoever waits for it has not obeyed.
LONG_S = 60.0
SOON_S = 10.0


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, SOON_S))


async def stubborn(times):
    """Obey the last of so many cancellations; the number of those before it is returned."""
    for seen in range(times - 1):
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            continue
        return seen
    await asyncio.sleep(LONG_S)


def test_a_result_in_time_and_one_too_late():
    async def main():
        assert await within(None, asyncio.sleep(0, "a")) == "a"
        assert await within(LONG_S, asyncio.sleep(0, "b")) == "b"
        begun = []

        async def begin():
            begun.append(1)

        for seconds in (0.0, -1.0):
            with pytest.raises(asyncio.TimeoutError):
                await within(seconds, begin())
        assert begun == []
        late = asyncio.get_running_loop().create_future()
        with pytest.raises(asyncio.TimeoutError):
            await within(0.01, late)
        assert late.cancelled()
        with pytest.raises(ZeroDivisionError):
            await within(LONG_S, asyncio.to_thread(lambda: 1 // 0))

    run(main())


def test_what_ends_with_a_result_as_its_time_is_over_is_not_lost():
    async def slow():
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            return "read already"

    assert run(within(0.01, slow())) == "read already"


def test_somebody_elses_cancellation_is_no_timeout():
    async def main():
        future = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(within(LONG_S, future))
        await asyncio.sleep(0)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(main())


@pytest.mark.parametrize("steps", range(4))
def test_a_cancellation_that_comes_with_the_result_is_not_lost(steps):
    """`steps`: of the loop, from the result to the cancellation."""

    async def main():
        result, dropped, got = asyncio.get_running_loop().create_future(), [], []

        async def wait():
            got.append(await within(LONG_S, asyncio.shield(result), dropped.append))
            await asyncio.sleep(LONG_S)

        waiting = asyncio.create_task(wait())
        for _ in range(3):
            await asyncio.sleep(0)
        result.set_result("made")
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        # What was made is either the caller's or dropped, so it can be closed.
        assert got + dropped == ["made"] or (steps == 0 and got == dropped == [])

    run(main())


def test_all_are_cancelled_until_none_is_left(monkeypatch):
    monkeypatch.setattr(cancellation, "AGAIN_S", 0.02)

    async def main():
        tasks, begun = set(), []

        async def begin_another():
            try:
                await asyncio.sleep(LONG_S)
            finally:
                tasks.add(asyncio.create_task(stubborn(2)))

        async def new():
            begun.append(1)
            await asyncio.sleep(LONG_S)

        tasks |= {asyncio.create_task(stubborn(times)) for times in (1, 2, 4)}
        tasks |= {asyncio.create_task(begin_another()), asyncio.create_task(new())}
        await cancel_all(tasks)
        assert len(tasks) == 6 and all(task.cancelled() for task in tasks)
        assert begun == [1]  # what does nothing at all tells nobody what became of its work

    run(main())


def test_a_second_cancellation_helps_at_once_and_is_raised(monkeypatch):
    monkeypatch.setattr(cancellation, "AGAIN_S", LONG_S)

    async def main():
        tasks = {asyncio.create_task(stubborn(3))}
        ending = asyncio.create_task(cancel_all(tasks))
        for _ in range(2):
            await asyncio.sleep(0.01)
            assert not ending.done()
            ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert all(task.done() for task in tasks)

    run(main())


def test_what_nothing_may_cut_short_is_waited_for():
    async def main():
        future = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(until_done(future))
        for _ in range(5):
            await asyncio.sleep(0)
            waiting.cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        future.set_result(None)
        await waiting

    run(main())


class Stubborn(Assistant):
    """Has something to do that does not obey its first cancellations."""

    def begin(self, host):
        host.start(stubborn(4))


@pytest.fixture
def receivers(monkeypatch):
    """The receivers that were made."""
    made, real = [], Receiver.__init__

    def init(self, *arguments):
        real(self, *arguments)
        made.append(self)

    monkeypatch.setattr(Receiver, "__init__", init)
    return made


@pytest.mark.parametrize("steps", range(6))
def test_data_in_the_step_of_the_cancellation_does_not_hold_a_connection(
    tmp_path, monkeypatch, receivers, steps
):
    monkeypatch.setattr(cancellation, "AGAIN_S", LONG_S)
    device = new_device(tmp_path / "data", "kitchen")
    with serving(tmp_path / "data") as served, Device(served.port, device):
        served.wait("connected")

        async def feed_and_stop():
            [connection] = receivers[0]._connections.values()
            [task] = [t for t in asyncio.all_tasks() if "_meet" in str(t.get_coro())]
            connection._reader.feed_data(protocol.encode(protocol.PING))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=SOON_S / 4)
            return task.cancelled()

        assert served.call(feed_and_stop())
        assert served.wait("disconnected")["reason"] == "receiver stopped"


def test_a_task_that_does_not_obey_does_not_hold_the_receiver(tmp_path, monkeypatch):
    monkeypatch.setattr(cancellation, "AGAIN_S", 0.05)
    new_device(tmp_path / "data", "kitchen")
    with serving(tmp_path / "data", Stubborn()) as served:
        pass
    assert not served._thread.is_alive()


def test_signals_amid_a_slow_write_lose_nothing(tmp_path, monkeypatch):
    data = tmp_path / "data"
    device = new_device(data, "kitchen")
    is_writing, may_write, real = threading.Event(), threading.Event(), Recordings.add

    def add(self, *arguments, **more):
        is_writing.set()
        assert may_write.wait(SOON_S)
        return real(self, *arguments, **more)

    monkeypatch.setattr(Recordings, "add", add)
    monkeypatch.setattr(cancellation, "AGAIN_S", 0.02)
    with serving(data) as served:
        with Device(served.port, device) as talking:
            talking.say(SPEECH[:3200], keep=True)
            assert is_writing.wait(SOON_S)
            for _ in range(5):
                served.loop.call_soon_threadsafe(served._task.cancel)
                time.sleep(0.03)
            assert served.count("stream-stop") == 0 and served._thread.is_alive()
            may_write.set()
    assert not served._thread.is_alive()
    kept = served.wait("stream-stop")["recording"]
    assert kept and kept_wav(data, kept)


NEVER = """
import asyncio, os, signal, sys, threading
from types import SimpleNamespace
from host_tools.commands import receive

receive._STUCK_S = receive._TELL_S = 0.2

class Stuck:
    counters = None
    async def run(self, name):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("not now")

worker = SimpleNamespace(finish=lambda: print("on disk"))
view = SimpleNamespace(close=lambda: print("closed"))
asyncio.run(receive._serve(Stuck(), worker, view, "", None, None))
"""


def test_a_receiver_that_never_ends_is_ended_once_all_is_on_disk():
    command = [sys.executable, "-c", NEVER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * SOON_S)
    assert (done.returncode, done.stdout) == (0, "not now\non disk\nclosed\n"), done.stderr
