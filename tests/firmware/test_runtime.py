"""The runtime itself: these files really run inside MicroPython, where heap_lock() is real."""

import sys

import micropython


def test_this_is_micropython():
    assert sys.implementation[0] == "micropython", sys.implementation


def test_allocation_under_heap_lock_is_caught():
    micropython.heap_lock()
    caught = False
    try:
        bytearray(100)
    except MemoryError:
        caught = True
    micropython.heap_unlock()
    assert caught


@micropython.viper
def add(a: int, b: int) -> int:
    return a + b


def test_viper_runs():
    assert add(40, 2) == 42
