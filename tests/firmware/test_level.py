"""The level for the person at the cable: a number, only while asked for, and never a sample."""

import gc

import micropython
from satellite.level import Level, peak
from test_app import Bench

MARK = b"\x5a\x5a" * 160


def chunk(value):
    return bytearray((value & 0xFFFF).to_bytes(2, "little") * 160)


def test_the_peak_is_the_largest_magnitude():
    for value, want in ((0, 0), (1, 1), (-1, 1), (32767, 32767), (-32768, 32768), (-5, 5)):
        quiet = bytearray(320)
        quiet[200:202] = (value & 0xFFFF).to_bytes(2, "little")
        assert peak(quiet) == want, value


def test_it_is_measured_only_while_somebody_watches():
    level = Level()
    level.hear(chunk(1000))
    assert level.read() == 0, "nobody watched"
    level.watch(30)
    for value in (100, -700, 300, 9000):
        level.hear(chunk(value))
    assert level.read() == 700, "three chunks of 10 ms"
    assert level.read() == 0, "read twice"


def test_it_allocates_nothing():
    level = Level()
    level.watch(50)
    heard = chunk(1234)
    gc.collect()
    micropython.heap_lock()
    for _ in range(10):
        level.hear(heard)
    micropython.heap_unlock()
    assert level.read() == 1234


def reachable(thing, found, path="app", depth=4):
    """Everything that can be read from `thing` by names without an underscore."""
    found.append((path, thing))
    if depth and not isinstance(thing, (int, str, bytes, bytearray, type(None))):
        for name in dir(thing):
            if name[0] != "_":
                try:
                    inner = getattr(thing, name)
                except AttributeError:
                    continue
                reachable(inner, found, path + "." + name, depth - 1)
    return found


def with_samples(app):
    found = []
    for path, thing in reachable(app, []):
        if isinstance(thing, (bytes, bytearray, memoryview)) and MARK[:8] in bytes(thing):
            found.append(path)
    return found


def test_no_sample_can_be_read_from_a_running_application():
    """`diagnostics` is handed the application and uses names without an underscore only."""
    bench = Bench(turns=20)
    bench.wakes = [5]
    bench.notify = lambda now_ms: None  # the stream waits in the gate
    pass_time = bench.pass_time

    async def read(heard):
        heard[:] = MARK
        await pass_time()

    bench.read = read
    bench.go()
    app = bench.app
    assert bytes(app._chunk) == MARK and app.parts.gate.waiting_chunks, "it holds samples"
    assert len(reachable(app, [])) > 100
    assert with_samples(app) == []
    app.chunk = app._chunk
    assert "app.chunk" in with_samples(app), "the walk finds one"
