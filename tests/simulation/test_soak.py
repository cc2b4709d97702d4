"""Twenty simulated minutes through the whole device, and how much memory it takes.

The long one: `python -m tests.long.soak --hours 10`.
"""

import numpy as np

from tests.fakes.simulated import silence, simulate, sound, wake_and_command
from tests.long import soak

#: The sources are compiled in it, too; a board loads compiled files.
HEAP_BYTES = 700_000


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


def test_the_whole_device_listens_and_speaks_in_700_kb(tmp_path, figure):
    """And a reply that plays takes hardly more than listening: its second of audio has its place
    from the start, and 10 kB of what is measured are the simulated DMA's buffers."""
    reply = np.full(32000, 1000, np.int16)
    result = simulate(
        tmp_path,
        sound(wake_and_command(), silence(4.0)),
        heap_bytes=HEAP_BYTES,
        heap_step_ms=100,
        with_receiver=True,
        reply=reply,
    )
    (stream,) = result.streams.all
    assert stream.reason == "end-of-speech" and stream.is_as_received
    (once,) = result.spoken
    assert once.sound_ms == 2000
    used = [bytes_used for bytes_used, _ in result.heap]
    idle = max(used[5:15])
    speaking = max(used[once.start_ms // 100 + 1 : once.end_ms // 100])
    figure(f"heap in use: {idle} bytes while it listens, {speaking} while a reply plays")
    assert speaking - idle < 16_000
