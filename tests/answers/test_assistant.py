"""The assistant alone: how much it hears at a time."""

import asyncio

from host_tools.answers.assistant import MAX_OF_A_DEVICE, LocalAnswers
from host_tools.answers.timers import Timers
from host_tools.receiver.transcription import TranscriptionError
from tests.fakes.answers import FakeClock
from tests.fakes.satellites import FakeHost, FakeSatellite, until


class Slow:
    """A way to words that takes until `is_free`."""

    is_free: asyncio.Event

    def hear(self, audio):
        pass

    def end(self):
        pass

    def cancel(self):
        pass

    async def text(self):
        await self.is_free.wait()
        raise TranscriptionError("nothing was heard")


def test_a_device_that_streams_again_and_again_starts_few_engines(tmp_path):
    async def main():
        Slow.is_free = asyncio.Event()
        made = []

        def hearing():
            made.append(Slow())
            return made[-1]

        answers = LocalAnswers(hearing, None, Timers(tmp_path, FakeClock()), None)
        host = FakeHost()
        answers.begin(host)
        device, other = FakeSatellite("1", "kitchen"), FakeSatellite("2", "hall")

        def stream(satellite, number, is_complete=True):
            name = f"{number:016x}"
            answers.stream_started(satellite, name, None)
            answers.stream_ended(satellite, name, is_complete)

        for number in range(MAX_OF_A_DEVICE + 2):
            stream(device, number)
        assert len(made) == MAX_OF_A_DEVICE
        assert device.asked == [("end", f"{MAX_OF_A_DEVICE + n:016x}") for n in (0, 1)]
        reasons = [fields["reason"] for fields in host.events("unanswered")]
        assert reasons == ["too much is being recognised"] * 2
        stream(other, 100)
        assert len(made) == MAX_OF_A_DEVICE + 1, "others are heard"
        Slow.is_free.set()
        await until(lambda: len(host.events("transcript-failed")) == MAX_OF_A_DEVICE + 1)
        await asyncio.sleep(0)
        for number in range(10):
            stream(device, 200 + number, is_complete=False)  # broken off: none of them is left
        assert len(made) == MAX_OF_A_DEVICE + 11
        for task in list(host.tasks):
            task.cancel()

    asyncio.run(main())
