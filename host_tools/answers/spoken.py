"""Times, dates and durations in English words, as a person says them."""

from __future__ import annotations

import datetime

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def number(n: int) -> str:
    """Return 0 to 99 in words, other numbers in digits."""
    if not 0 <= n < 100:
        return str(n)
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")


def ordinal(n: int) -> str:
    """Return 1 to 31 as first to thirty-first."""
    head, dash, last = number(n).rpartition("-")
    if last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last = _ORDINALS.get(last, last + "th")
    return head + dash + last


def time_of_day(time: datetime.time | datetime.datetime) -> str:
    """Return a time as "ten past nine", "quarter to four", "nine o'clock", "nine twelve"."""
    hour, minute = time.hour, time.minute
    if minute == 0:
        return {0: "midnight", 12: "noon"}.get(hour, f"{_hour(hour)} o'clock")
    if minute % 5:
        return f"{_hour(hour)} {'oh ' if minute < 10 else ''}{number(minute)}"
    side, away = ("past", minute) if minute <= 30 else ("to", 60 - minute)
    words = {15: "quarter", 30: "half"}.get(away, number(away))
    return f"{words} {side} {_hour(hour if minute <= 30 else hour + 1)}"


def date(day: datetime.date | datetime.datetime) -> str:
    """Return a date as "Saturday, the twenty-eighth of November"."""
    return f"{_DAYS[day.weekday()]}, the {ordinal(day.day)} of {_MONTHS[day.month - 1]}"


def duration(seconds: float) -> str:
    """Return a duration as "one hour and five minutes": whole seconds, at least one, and no
    seconds from ten minutes on."""
    left = max(1, round(seconds))
    if left >= 600:
        left = (left + 30) // 60 * 60
    parts = []
    for unit_s, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{number(count)} {unit}{'' if count == 1 else 's'}")
    return " and ".join(parts) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}"


def _hour(hour: int) -> str:
    return number((hour + 11) % 12 + 1)
