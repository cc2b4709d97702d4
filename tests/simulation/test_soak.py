"""Twenty simulated minutes through the whole device, and how much memory it takes.

The long one: `python -m tests.long.soak --hours 10`.
"""

from tests.fakes.simulated import simulate, wake_and_command
from tests.long import soak

#: The sources are compiled in it, too; a board loads compiled files.
HEAP_BYTES = 500_000


def test_twenty_minutes_of_speech_and_noise():
    result = soak.run(20 * 60)
    assert soak.missed_chunks(result) == 0
    assert len(result.detections) >= 10 and len(result.streams.all) >= 5
    assert result.streams.are_as_received
    assert len(result.scenario) > 20
    used = [bytes_used for bytes_used, _ in result.heap[1:]]
    assert max(used) - used[0] < soak.HEAP_NOISE_BYTES, used
    assert used[-1] - used[0] < soak.HEAP_NOISE_BYTES // 4, used


def test_a_missed_chunk_would_be_seen():
    result = soak.run(30, seed=1)
    assert soak.missed_chunks(result) == 0
    del result.times_ms[0][200:203]
    assert soak.missed_chunks(result) >= 9


def test_the_whole_device_runs_in_500_kb(tmp_path):
    result = simulate(tmp_path, wake_and_command(), heap_bytes=HEAP_BYTES, with_receiver=True)
    (stream,) = result.streams.all
    assert stream.reason == "end-of-speech" and stream.is_as_received
