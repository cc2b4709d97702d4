"""With thousands of recordings the event loop goes on: wake words are acknowledged in time."""

import asyncio

import pytest

from host_tools.receiver.devices import DeviceList
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.withdrawal import Wishes
from tests.long.many_recordings import DEVICES, fill, longest_gap_s

COUNT = 1500


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "data"
    fill(folder, COUNT)
    return folder


def test_the_event_loop_is_free_whatever_is_done_with_thousands(folder, figure):
    """In the loop itself each expiry took a second; the limit leaves room for a busy machine."""

    async def main():
        worker = RecordingWorker(Recordings(folder, 30.0), DeviceList(folder / "devices.json"))
        gaps_s = {}
        try:
            for what, work in (
                ("made the index", worker.clean),
                ("expired", worker.expire),
                ("withdrew a tenth", lambda: worker.withdraw(DEVICES[0], Wishes(False, False))),
            ):
                gaps_s[what], _, done = await longest_gap_s(work)
            return gaps_s, done
        finally:
            worker.close()

    gaps_s, done = asyncio.run(main())
    assert done.count == COUNT // 10
    assert max(gaps_s.values()) < 0.3, gaps_s
    worst_ms = max(gaps_s.values()) * 1000
    figure(f"{COUNT} recordings: event loop late by {worst_ms:.0f} ms at most")
