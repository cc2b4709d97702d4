"""Timers that are over ring on their device, until somebody reacts, and late if need be."""

import asyncio

import pytest

from host_tools.answers import ringing
from host_tools.answers.ringing import MAX_RINGS, Ringing
from host_tools.answers.timers import Timers, read
from host_tools.receiver.assistant import ConnectionLost, Played, SpeakRefused
from tests.fakes.answers import FakeClock
from tests.fakes.satellites import FakeHost, FakeSatellite, status, until


class Ringer(FakeSatellite):
    """A device that says why each sound ends, or raises it."""

    def __init__(self, name, *endings):
        super().__init__(name, name)
        self.endings = list(endings)

    async def speak(self, kind, audio, *, stream=None, length_ms=30000):
        words = b"".join([piece async for piece in audio]).decode()
        self.asked.append((kind, words))
        return self._end()

    async def chime(self, kind, *, stream=None):
        self.asked.append(("chime", kind))
        return self._end()

    def _end(self):
        ending = self.endings.pop(0) if self.endings else "limit"
        if isinstance(ending, Exception):
            raise ending
        return Played(400, ending)


async def say(text):
    yield text.encode()


class Kitchen:
    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr(ringing, "TICK_S", 0.005)
        monkeypatch.setattr(ringing, "_BUSY_S", 0.01)
        self.clock = FakeClock()
        self.folder = folder
        self.timers = Timers(folder, self.clock)
        self.satellites = {}

    def run(self, device, condition, *timers):
        """Ring what is over on `device` until `condition()`; what was told."""

        async def main():
            host = FakeHost()
            self.satellites[device.id] = device
            host.start(Ringing(self.timers, self.satellites, host, say).run())
            await until(lambda: condition(host))
            await asyncio.sleep(0.05)  # no more comes
            for task in host.tasks:
                task.cancel()
            return host

        return asyncio.run(main())


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    return Kitchen(tmp_path, monkeypatch)


def rang(host):
    return host.events("timer-rang")


SPOKEN = ("timer", "Your pizza timer is over.")
CHIME = ("chime", "timer")


@pytest.mark.parametrize("reaction", ["button", "word", "mute"])
def test_it_tells_and_rings_until_somebody_reacts(kitchen, reaction):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "end", "limit", reaction)
    host = kitchen.run(device, rang)
    assert device.asked == [SPOKEN, CHIME, CHIME]
    assert rang(host) == [{"device": "kitchen", "timer": "pizza timer", "ended": reaction}]
    assert read(kitchen.folder) == []


def test_nobody_there_and_it_gives_up(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "end")
    kitchen.run(device, rang)
    assert device.asked == [SPOKEN] + [CHIME] * MAX_RINGS


def test_it_does_not_ring_before_its_time_and_on_no_other_device(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.timers.add("hall", "egg", 10)
    kitchen.clock.pass_s(599.9)
    hall = Ringer("hall", "end", "button")
    kitchen.satellites["kitchen"] = device = Ringer("kitchen")
    host = kitchen.run(hall, rang)
    assert device.asked == [] and len(hall.asked) == 2
    assert [timer.name for timer in read(kitchen.folder)] == ["pizza"]
    assert host.events("timer-lost") == []


def test_a_press_during_the_words_is_enough(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "button")
    kitchen.run(device, rang)
    assert device.asked == [SPOKEN]


def test_a_timer_that_came_due_while_the_receiver_was_off_says_so(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(600 + 12 * 60)
    kitchen.timers = Timers(kitchen.folder, kitchen.clock.restart())
    device = Ringer("kitchen", "end", "button")
    kitchen.run(device, rang)
    assert device.asked[0] == (
        "timer",
        "Your pizza timer was over twelve minutes ago; I could not tell you then.",
    )


def test_two_at_once_are_told_together(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.timers.add("kitchen", "", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "end", "button")
    host = kitchen.run(device, rang)
    assert device.asked == [("timer", SPOKEN[1] + " Your timer is over."), CHIME]
    assert len(rang(host)) == 2


def test_a_device_that_is_away_is_told_when_it_is_back(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", ConnectionLost("kitchen"), "end", "button")
    host = kitchen.run(device, rang)
    assert [kind for kind, _ in device.asked] == ["timer", "timer", "chime"]
    assert host.events("timer-lost") == []


@pytest.mark.parametrize("before", [None, status(muted=True, listening=False)])
def test_a_device_that_is_muted_or_has_not_told_its_status_is_told_later(kitchen, before):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "button")
    told, device.status = device.status, before

    async def tell():
        await asyncio.sleep(0.05)
        assert device.asked == []
        device.status = told

    kitchen.satellites["kitchen"] = device

    async def main():
        host = FakeHost()
        host.start(Ringing(kitchen.timers, kitchen.satellites, host, say).run())
        await asyncio.gather(tell(), until(lambda: rang(host)))
        for task in host.tasks:
            task.cancel()

    asyncio.run(main())
    assert device.asked == [SPOKEN]


def test_busy_is_tried_again_and_other_refusals_are_told(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", SpeakRefused("busy"), SpeakRefused("log"), SpeakRefused("muted"))
    host = kitchen.run(device, lambda host: host.events("timer-lost"))
    assert host.events("timer-lost") == [
        {"timer": "pizza timer", "reason": "kitchen does not ring: muted"}
    ]
    assert len(device.asked) == 3 and read(kitchen.folder) == []


def test_after_a_day_nobody_waits_any_more(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(600 + ringing.MAX_LATE_S + 1)
    device = Ringer("kitchen")
    host = kitchen.run(device, lambda host: host.events("timer-lost"))
    assert host.events("timer-lost")[0]["reason"] == "nobody was there"
    assert device.asked == [] and rang(host) == []


def test_one_that_is_over_while_another_rings_is_told_in_between(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.timers.add("kitchen", "egg", 625)
    kitchen.clock.pass_s(601)

    class Slow(Ringer):
        async def chime(self, kind, *, stream=None):
            kitchen.clock.pass_s(30)
            return await super().chime(kind, stream=stream)

    device = Slow("kitchen", "end", "limit", "end", "button")
    host = kitchen.run(device, rang)
    egg = ("timer", "Your egg timer is over.")
    assert device.asked == [SPOKEN, CHIME, egg, CHIME]
    assert [told["timer"] for told in rang(host)] == ["pizza timer", "egg timer"]


def test_words_that_came_too_late_ring_all_the_same(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.clock.pass_s(601)
    device = Ringer("kitchen", "late", "button")
    kitchen.run(device, rang)
    assert device.asked == [SPOKEN, CHIME]


def test_each_device_tells_its_own(kitchen):
    kitchen.timers.add("kitchen", "pizza", 600)
    kitchen.timers.add("hall", "egg", 600)
    kitchen.clock.pass_s(601)
    kitchen.satellites["hall"] = hall = Ringer("hall", "end", "button")
    device = Ringer("kitchen", "end", "button")
    kitchen.run(device, lambda host: len(rang(host)) == 2)
    assert device.asked == [SPOKEN, CHIME]
    assert hall.asked == [("timer", "Your egg timer is over."), CHIME]
