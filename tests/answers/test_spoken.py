"""Times, dates and durations in words."""

import datetime

import pytest

from host_tools.answers import spoken


@pytest.mark.parametrize(
    "time, words",
    [
        ("09:10", "ten past nine"),
        ("21:10", "ten past nine"),
        ("09:00", "nine o'clock"),
        ("00:00", "midnight"),
        ("12:00", "noon"),
        ("00:15", "quarter past twelve"),
        ("12:30", "half past twelve"),
        ("23:45", "quarter to twelve"),
        ("12:35", "twenty-five to one"),
        ("23:55", "five to twelve"),
        ("09:01", "nine oh one"),
        ("15:47", "three forty-seven"),
        ("00:59", "twelve fifty-nine"),
    ],
)
def test_a_time(time, words):
    assert spoken.time_of_day(datetime.time.fromisoformat(time)) == words


def test_every_minute_of_a_day_has_its_own_words_but_for_the_half_of_the_day():
    minutes = [spoken.time_of_day(datetime.time(m // 60, m % 60)) for m in range(24 * 60)]
    assert len(set(minutes)) == 12 * 60 + 1  # midnight and noon for twelve
    assert minutes[61 : 12 * 60] == minutes[13 * 60 + 1 :]


@pytest.mark.parametrize(
    "day, words",
    [
        ("2026-11-28", "Saturday, the twenty-eighth of November"),
        ("2027-01-01", "Friday, the first of January"),
        ("2028-02-29", "Tuesday, the twenty-ninth of February"),
        ("2026-08-31", "Monday, the thirty-first of August"),
        ("2026-12-12", "Saturday, the twelfth of December"),
        ("2026-12-20", "Sunday, the twentieth of December"),
    ],
)
def test_a_date(day, words):
    assert spoken.date(datetime.date.fromisoformat(day)) == words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (-5, "one second"),
        (0.4, "one second"),
        (59.6, "one minute"),
        (60, "one minute"),
        (90, "one minute and thirty seconds"),
        (599, "nine minutes and fifty-nine seconds"),
        (601, "ten minutes"),
        (3600, "one hour"),
        (3900, "one hour and five minutes"),
        (7200 + 59 * 60 + 40, "three hours"),
        (360000, "100 hours"),
    ],
)
def test_a_duration(seconds, words):
    assert spoken.duration(seconds) == words
