"""What the built-in answers do and say: sentences in, words and deeds out."""

import asyncio

import pytest

from host_tools.answers.intents import Recogniser
from host_tools.answers.replies import Replies
from host_tools.answers.timers import Timers
from host_tools.errors import HostToolError
from tests.fakes.answers import FakeClock
from tests.fakes.satellites import FakeSatellite


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser()


class Room:
    def __init__(self, folder, recogniser):
        self.clock = FakeClock()
        self.timers = Timers(folder, self.clock)
        self.replies = Replies(self.timers, self.clock)
        self.recogniser = recogniser
        self.kitchen = FakeSatellite("1" * 16, "kitchen")
        self.hall = FakeSatellite("2" * 16, "hall")

    def ask(self, text, satellite=None):
        intent = self.recogniser.recognise(text)
        return asyncio.run(self.replies.reply(satellite or self.kitchen, intent))


@pytest.fixture
def room(tmp_path, recogniser):
    return Room(tmp_path, recogniser)


def test_time_and_date(room):
    assert room.ask("What time is it?") == "It is ten past nine."
    assert room.ask("what is the date") == "It is Saturday, the twenty-eighth of November."


def test_summer_time_is_told_as_the_clock_on_the_wall(room):
    import datetime

    utc = datetime.timezone.utc
    room.clock.__init__(datetime.datetime(2027, 3, 28, 0, 55, tzinfo=utc))
    assert room.ask("what time is it") == "It is five to two."
    room.clock.pass_s(300)
    assert room.ask("what time is it") == "It is three o'clock."
    room.clock.__init__(datetime.datetime(2027, 10, 31, 0, 30, tzinfo=utc))
    assert room.ask("what time is it") == "It is half past two."
    room.clock.pass_s(3600)
    assert room.ask("what time is it") == "It is half past two."


def test_timers_are_set_asked_for_and_cancelled(room):
    assert room.ask("how long is left on the timer") == "There is no timer."
    assert (
        room.ask("set a pizza timer for 10 minutes") == "Your pizza timer is set for ten minutes."
    )
    room.clock.pass_s(90)
    assert room.ask("set a timer for 5 minutes") == "Your timer is set for five minutes."
    assert room.ask("how much time is left on the pizza timer") == (
        "Your pizza timer has eight minutes and thirty seconds left."
    )
    assert room.ask("how much time is left") == (
        "Your timer has five minutes left, "
        "your pizza timer has eight minutes and thirty seconds left."
    )
    assert room.ask("cancel the timer") == "There are two timers. Say which, or all."
    assert room.ask("cancel the egg timer") == (
        "There is no egg timer, but your timer and your pizza timer."
    )
    assert room.ask("cancel the 5 minute timer") == "Your timer is cancelled."
    assert room.ask("cancel the timer") == "Your pizza timer is cancelled."
    assert room.ask("cancel all timers") == "There is no timer."
    room.ask("set a timer for an hour and 5 minutes")
    for minutes in (1, 2, 3, 4):
        room.ask(f"set a timer for {minutes} minutes")
    assert room.ask("timer status").endswith(", and there are two more.")
    assert room.ask("cancel all timers") == "Five timers are cancelled."


def test_each_device_has_its_own(room):
    room.ask("set a timer for 10 minutes")
    assert room.ask("how long is left on the timer", room.hall) == "There is no timer."
    assert room.ask("cancel all timers", room.hall) == "There is no timer."
    assert len(room.timers.of(room.kitchen.id)) == 1


def test_a_timer_that_could_not_ring_or_be_kept_is_not_promised(room, monkeypatch):
    quiet = FakeSatellite("3" * 16, "quiet", timers=False)
    assert "may not ring" in room.ask("set a timer for 10 minutes", quiet)
    assert room.timers.of(quiet.id) == []
    assert "100" in room.ask("set a timer for 100 hours")
    assert "cannot" in room.ask("set a timer for 100 hours and 1 minute")

    def fail(*_):
        raise HostToolError("the disk is full")

    monkeypatch.setattr(room.timers, "_write", fail)
    assert room.ask("set a timer for 1 minute") == "I cannot set that timer: the disk is full."
    assert "may come back" in room.ask("cancel all timers")


@pytest.mark.parametrize(
    "text, percent, reply",
    [
        ("set volume to 40 percent", 40, "The volume is forty percent."),
        ("Set value to 0%.", 0, "The volume is zero percent."),
        ("set the volume to 100 percent", 100, "The volume is eighty percent, the most that"),
        ("louder", 70, "The volume is seventy percent."),
        ("turn the volume down", 50, "The volume is fifty percent."),
    ],
)
def test_the_volume_never_above_what_its_owner_allows(room, text, percent, reply):
    assert room.ask(text).startswith(reply)
    assert room.kitchen.asked == [("volume", percent)]


def test_what_needs_no_words(room):
    assert room.ask("stop") == room.ask("never mind") == ""
    assert room.kitchen.asked == []
    assert room.ask("mute yourself") == ""
    assert room.kitchen.asked == ["mute"]
