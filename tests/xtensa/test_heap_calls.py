"""What a chunk puts on the heap, counted in the host's MicroPython while the application runs."""

import pytest

from host_tools import micropython
from host_tools.models import catalog
from host_tools.xtensa import heap_calls, interpreter_cost

#: asyncio's own: MicroPython's compiled-in event loop and its poll have frames above 11 words.
ASYNCIO_FRAMES = 3


@pytest.mark.skipif(not interpreter_cost.has_valgrind(), reason="valgrind is not installed")
def test_a_quiet_chunk_allocates_nothing_and_a_sent_one_little(figure):
    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")
    found = heap_calls.per_chunk(catalog.find_model("okay_nabu").path)
    for state, calls in found.items():
        figure(f"{state}: {calls.frames:.1f} frames, {calls.objects:.1f} objects per chunk")
    assert found["idle"].frames <= ASYNCIO_FRAMES and found["idle"].objects == 0
    assert found["streaming"].frames <= 5 and found["streaming"].objects <= 3
