"""The watchdog, loosened for a person at the cable."""

import sys

sys.path.insert(0, "tests/fakes")

import machine
from drivers.watchdog import TIMEOUT_MS, Watchdog
from machine import world


def test_a_running_one_gets_half_an_hour_from_now():
    machine.reset()
    dog = Watchdog()
    dog.feed()
    assert world.wdt_timeout_ms == TIMEOUT_MS == 8000 and world.fed == 0
    dog.loosen()
    assert world.wdt_timeout_ms == 30 * 60 * 1000 and world.fed == 1


def test_one_that_never_ran_is_not_started():
    for dog in (Watchdog(), Watchdog(0)):
        machine.reset()
        dog.loosen()
        assert world.wdt_timeout_ms is None and world.fed == 0
