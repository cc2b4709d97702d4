"""What a chunk puts on the heap, counted in the host's MicroPython while the application runs."""

import pytest

from host_tools import micropython
from host_tools.models import catalog
from host_tools.xtensa import heap_calls, interpreter_cost

#: asyncio's own: MicroPython's compiled-in event loop and its poll have frames above 11 words.
ASYNCIO_FRAMES = 2.1


@pytest.mark.skipif(not interpreter_cost.has_valgrind(), reason="valgrind is not installed")
def test_a_chunk_allocates_nothing_also_when_it_is_sent(figure):
    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")
    found = heap_calls.per_chunk(catalog.find_model("okay_nabu").path)
    for state, calls in found.items():
        figure(f"{state}: {calls.frames:.1f} frames, {calls.objects:.1f} objects per chunk")
    for state in ("idle", "streaming"):
        assert found[state].frames <= ASYNCIO_FRAMES and found[state].objects == 0, state
