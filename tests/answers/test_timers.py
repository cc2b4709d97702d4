"""Timers over restarts, jumps of the clock, and whatever may be in their file."""

import json
import os

import pytest

from host_tools.answers.timers import FILE, MAX_S, MAX_TIMERS_OF_A_DEVICE, Timers, read
from host_tools.errors import HostToolError
from tests.fakes.answers import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def test_a_timer_runs_and_is_over(tmp_path, clock):
    timers = Timers(tmp_path, clock)
    pizza = timers.add("kitchen", "pizza", 600)
    egg = timers.add("kitchen", "egg", 300)
    other = timers.add("hall", "", 10)
    assert timers.of("kitchen") == [egg, pizza] and timers.of("hall") == [other]
    assert (egg.title, other.title) == ("egg timer", "timer")
    assert timers.next_s() == 10 and timers.due() == []
    clock.pass_s(10)
    assert timers.due() == [other] and timers.next_s() == 290
    clock.pass_s(290)
    assert timers.due() == [other, egg] and timers.left_s(pizza) == 300
    timers.remove([other, egg, egg])
    assert timers.due() == [] and timers.of("kitchen") == [pizza]
    timers.remove([pizza])
    assert timers.next_s() is None


def test_they_survive_a_restart_and_count_on_meanwhile(tmp_path, clock):
    set_before = Timers(tmp_path, clock).add("kitchen", "pizza", 600)
    clock.pass_s(200)
    timers = Timers(tmp_path, clock.restart())
    assert timers.of("kitchen") == [set_before]
    assert timers.left_s(set_before) == pytest.approx(400)
    clock.pass_s(1000)
    timers = Timers(tmp_path, clock.restart())
    assert timers.due() == [set_before]
    assert timers.left_s(set_before) == pytest.approx(-600)


@pytest.mark.parametrize("jump_s", [3600, -3600, 86400 * 400, -86400 * 400])
def test_a_jump_of_the_wall_clock_moves_none(tmp_path, clock, jump_s):
    timers = Timers(tmp_path, clock)
    pizza = timers.add("kitchen", "pizza", 600)
    clock.pass_s(100)
    clock.jump_s(jump_s)
    assert timers.left_s(pizza) == pytest.approx(500) and timers.due() == []
    timers.follow_clock()
    timers = Timers(tmp_path, clock.restart())
    assert timers.left_s(timers.of("kitchen")[0]) == pytest.approx(500)


def test_the_file_is_left_alone_while_the_clock_does_not_jump(tmp_path, clock):
    timers = Timers(tmp_path, clock)
    timers.add("kitchen", "pizza", 600)
    before = (tmp_path / FILE).stat().st_ino
    clock.pass_s(5)
    clock.jump_s(0.9)  # a correction
    timers.follow_clock()
    assert (tmp_path / FILE).stat().st_ino == before
    clock.jump_s(0.2)
    timers.follow_clock()
    assert (tmp_path / FILE).stat().st_ino != before


def test_a_clock_that_was_set_back_while_it_was_off_makes_none_longer(tmp_path, clock):
    Timers(tmp_path, clock).add("kitchen", "pizza", 600)
    clock.jump_s(-86400)
    timers = Timers(tmp_path, clock.restart())
    assert timers.left_s(timers.of("kitchen")[0]) == 600


def test_summer_time_moves_none(tmp_path):
    import datetime

    before = datetime.datetime(2027, 3, 28, 0, 59, 30, tzinfo=datetime.timezone.utc)
    clock = FakeClock(before)
    timers = Timers(tmp_path, clock)
    timer = timers.add("kitchen", "", 60)
    assert clock.now().hour == 1
    clock.pass_s(59)
    assert clock.now().hour == 3 and timers.due() == []
    clock.pass_s(1)
    assert timers.due() == [timer]


def test_the_file_is_its_owners_alone_and_holds_no_more_than_it_must(tmp_path, clock):
    Timers(tmp_path / "data", clock).add("kitchen", "x" * 100, 600)
    path = tmp_path / "data" / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    content = json.loads(path.read_text())
    assert content.keys() == {"version", "timers"}
    [row] = content["timers"]
    assert row.keys() == {"id", "device", "name", "duration_s", "due_wall_s"}
    assert len(row["name"]) == 60


def test_limits(tmp_path, clock):
    timers = Timers(tmp_path, clock)
    for duration_s in (0, -1, MAX_S + 1):
        with pytest.raises(HostToolError, match="a second to a hundred hours"):
            timers.add("kitchen", "", duration_s)
    for _ in range(MAX_TIMERS_OF_A_DEVICE):
        timers.add("kitchen", "", MAX_S)
    with pytest.raises(HostToolError, match="20 timers already"):
        timers.add("kitchen", "", 1)
    timers.add("hall", "", 1)


def test_what_cannot_be_stored_is_not_set(tmp_path, clock, monkeypatch):
    timers = Timers(tmp_path, clock)
    kept = timers.add("kitchen", "pizza", 600)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(HostToolError, match="No space left"):
        timers.add("kitchen", "egg", 300)
    assert timers.of("kitchen") == [kept]
    with pytest.raises(HostToolError):
        timers.remove([kept])
    assert timers.of("kitchen") == []  # it does not ring now, but comes back
    assert [timer.name for timer in read(tmp_path)] == ["pizza"]


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("{" * 5000, "is damaged"),
        ('{"version": 1}', "is damaged"),
        ('{"version": 1, "timers": [{}]}', "is damaged"),
        ('{"version": 2, "timers": []}', "has version 2, not 1"),
        (
            '{"version": 1, "timers": [{"id": "a", "device": "b", "name": "", '
            '"duration_s": 0, "due_wall_s": 1}]}',
            "is damaged",
        ),
        (
            '{"version": 1, "timers": [{"id": "a", "device": "b", "name": "", '
            '"duration_s": 1, "due_wall_s": 1e300}]}',
            "is damaged",
        ),
    ],
)
def test_a_damaged_file_stops_the_start_with_one_line(tmp_path, clock, content, reason):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(HostToolError, match=reason):
        Timers(tmp_path, clock)
