"""The front end's own rules: when it gives a slice, what reset restores, no allocation."""

import micropython
from wakeword.frontend import Frontend


def noise_chunk(seed):
    """160 int16 samples of a linear congruence; returns (bytearray, next seed)."""
    chunk = bytearray(320)
    for i in range(320):
        seed = (seed * 1103515245 + 12345) & 0x3FFFFFFF
        chunk[i] = seed >> 16 & 0xFF
    return chunk, seed


def noise(count):
    chunks, seed = [], 1
    for _ in range(count):
        chunk, seed = noise_chunk(seed)
        chunks.append(chunk)
    return chunks


def slices(frontend, chunks):
    """(features, out) as bytes of each slice."""
    out, got = bytearray(40), []
    for chunk in chunks:
        if frontend.process(chunk, out):
            got.append((bytes(frontend.features), bytes(out)))
    return got


def test_first_slice_comes_with_the_third_chunk():
    frontend, out = Frontend(), bytearray(40)
    assert [frontend.process(chunk, out) for chunk in noise(5)] == [False, False, True, True, True]


def test_chunks_and_tables_are_not_written():
    from wakeword.frontend import tables

    before = [bytes(getattr(tables, name)) for name in ("WINDOW", "TWIDDLES", "GAINS")]
    chunks = noise(4)
    slices(Frontend(), chunks)
    assert chunks == noise(4)
    assert before == [tables.WINDOW, tables.TWIDDLES, tables.GAINS]


def test_reset_restores_the_exact_state():
    chunks = noise(12)
    frontend = Frontend()
    want = slices(frontend, chunks)
    for used in (1, 2, 3, 7):
        slices(frontend, chunks[:used])
        frontend.reset()
        assert bytes(frontend.features) == bytes(80), used
        assert slices(frontend, chunks) == want, used
        frontend.reset()
    assert len(set(want)) == 10


def test_two_front_ends_share_nothing():
    chunks = noise(6)
    want = slices(Frontend(), chunks)
    first, second, out, got = Frontend(), Frontend(), bytearray(40), []
    for chunk in chunks:
        if first.process(chunk, out):
            got.append((bytes(first.features), bytes(out)))
        second.process(bytearray(320), out)
    assert got == want


def run_all(frontend, chunks, out):
    for chunk in chunks:
        frontend.process(chunk, out)
    frontend.reset()


def test_process_and_reset_allocate_nothing():
    frontend, chunks, out = Frontend(), noise(6), bytearray(40)
    run_all(frontend, chunks, out)
    micropython.heap_lock()
    run_all(frontend, chunks, out)
    micropython.heap_unlock()
