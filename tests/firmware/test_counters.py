"""Counters: cheap, bounded, and nothing is counted that has no name."""

import micropython
from satellite.counters import COUNTERS, Counters


def test_everything_starts_at_nothing():
    snapshot = Counters().snapshot()
    assert sorted(snapshot) == sorted(COUNTERS + ("worst_step_us",))
    assert all(snapshot[name] == 0 for name in COUNTERS + ("worst_step_us",)), snapshot


def test_counting():
    counters = Counters()
    for number, name in enumerate(COUNTERS):
        counters.count(name)
        counters.count(name, number)
    snapshot = counters.snapshot()
    assert [snapshot[name] for name in COUNTERS] == [n + 1 for n in range(len(COUNTERS))]
    counters.count("wakes")
    assert snapshot["wakes"] + 1 == counters.snapshot()["wakes"]


def test_a_name_that_is_not_known_raises():
    try:
        Counters().count("secrets")
        raise RuntimeError("counted")
    except KeyError:
        pass


def test_the_worst_step_and_late_chunks():
    counters = Counters()
    for took_us in (100, 10000, 10001, 30000, 5):
        counters.step(took_us)
    snapshot = counters.snapshot()
    assert (snapshot["worst_step_us"], snapshot["late_chunks"]) == (30000, 2), snapshot


def test_every_counter_is_counted_somewhere():
    source = ""
    for name in ("counters", "app", "streamer"):
        with open("firmware/satellite/" + name + ".py") as file:
            source += file.read()
    for name in COUNTERS:
        if name not in ("chunks", "late_chunks"):  # `step` counts them
            assert 'count("' + name + '"' in source, name


def test_counters_stop_at_the_largest_small_integer():
    counters = Counters()
    counters.count("chunks", 0x3FFFFFFE)
    for _ in range(3):
        counters.step(0)
    counters.count("faults", 1 << 40)
    counters.step(1 << 40)
    snapshot = counters.snapshot()
    assert snapshot["chunks"] == snapshot["faults"] == snapshot["worst_step_us"] == 0x3FFFFFFF


def test_counting_allocates_nothing():
    counters = Counters()
    micropython.heap_lock()
    try:
        for _ in range(300):
            counters.step(12000)
    finally:
        micropython.heap_unlock()
    snapshot = counters.snapshot()
    assert snapshot["late_chunks"] == snapshot["chunks"] == 300
