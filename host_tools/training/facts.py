"""What the report says, as numbers: misses and false accepts with their 95 % intervals.

Never one number for all: misses by who spoke, how loud the noise was, in which room and how fast;
false accepts an hour on talk and on music; which words that sound like it fire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from host_tools.evaluation.intervals import Interval, poisson, wilson
from host_tools.training import clips
from host_tools.training.selection import Setting
from host_tools.training.trials import MUSIC, Heard, Trial, of_kind


@dataclass(frozen=True)
class Share:
    """So many of so many; `interval` is Wilson's, 95 %."""

    what: str
    count: int
    total: int

    @property
    def interval(self) -> Interval | None:
        return wilson(self.count, self.total)

    def __str__(self) -> str:
        if self.interval is None:
            return "none to count"
        low, high = (100 * limit for limit in self.interval)
        percent = 100 * self.count / self.total
        return f"{percent:.1f} % ({low:.1f} to {high:.1f}), {self.count} of {self.total}"


@dataclass(frozen=True)
class PerHour:
    """So many in so many hours; `interval` is Poisson's, 95 %."""

    what: str
    count: int
    hours: float

    @property
    def interval(self) -> Interval | None:
        return poisson(self.count, self.hours)

    def __str__(self) -> str:
        if self.interval is None:
            return "none to count"
        low, high = self.interval
        rate, minutes = self.count / self.hours, 60 * self.hours
        length = f"{minutes:.0f} min" if minutes >= 2 else f"{60 * minutes:.0f} s"
        return f"{rate:.1f} ({low:.1f} to {high:.1f}), {self.count} in {length}"


@dataclass(frozen=True)
class Side:
    """One model on one set of recordings."""

    what: str
    missed: Share
    false_accepts: PerHour


@dataclass(frozen=True)
class Facts:
    """All that the report counts, at the setting of the manifest."""

    sides: tuple[Side, ...]  # the model in int8, the same in float, a shipped one on its own word
    missed_by: tuple[tuple[str, tuple[Share, ...]], ...]
    false_accepts: tuple[PerHour, ...]
    near: Share
    near_that_fire: tuple[Share, ...]
    people: Side | None = None


def _snr(trial: Trial) -> str:
    return next(name for edge, name in _SNR_DB if trial.snr_db < edge)


def _room(trial: Trial) -> str:
    return next(name for edge, name in _T60_S if trial.room_s < edge)


def _tempo(trial: Trial) -> str:
    return next(name for edge, name in _TEMPO if trial.tempo < edge)


def _family(trial: Trial) -> str:
    return trial.family


#: Below which value a group ends, and its name.
_SNR_DB = (
    *((5.0, "below 5 dB"), (15.0, "5 to 15 dB"), (25.0, "15 to 25 dB")),
    *((45.0, "25 to 45 dB"), (math.inf, "45 dB and more")),
)
_T60_S = ((0.01, "none"), (0.4, "T60 below 0.4 s"), (math.inf, "T60 0.4 s and more"))
_TEMPO = ((0.95, "slower"), (1.05, "as the voice speaks by itself"), (math.inf, "faster"))
_ORDER = [name for edges in (_SNR_DB, _T60_S, _TEMPO) for _, name in edges]
_FAMILY = "voice family"
_GROUPS: tuple[tuple[str, Callable[[Trial], str]], ...] = (
    ("noise (SNR)", _snr),
    ("room", _room),
    ("tempo", _tempo),
)


def collect(
    heard: Sequence[Heard],
    setting: Setting,
    stride: int,
    others: tuple[Side, ...] = (),
    people: Side | None = None,
    elsewhere: Sequence[Heard] = (),
) -> Facts:
    """Count everything at one setting.

    Args:
        heard: what the model gave for trials that did not choose the setting.
        setting: of the manifest.
        stride: slices per inference.
        others: rows beside it: the model in float, a shipped one.
        people: what recordings of people showed, where there were any.
        elsewhere: the word by voices of another make: they count in their own line alone.
    """
    words, near = of_kind(heard, clips.WORD), of_kind(heard, clips.NEAR)
    return Facts(
        (side("this model, int8", heard, setting, stride), *others),
        (
            (_FAMILY, _shares([*words, *elsewhere], _family, setting, stride)),
            *((name, _shares(words, group, setting, stride)) for name, group in _GROUPS),
        ),
        tuple(
            _per_hour(what, of_kind(heard, *kinds), setting, stride)
            for what, kinds in (
                ("synthetic talk", (clips.TALK,)),
                ("music and noise", (MUSIC,)),
            )
        ),
        _fired("words that sound like it", near, setting, stride),
        _that_fire(near, setting, stride),
        people,
    )


def side(what: str, heard: Sequence[Heard], setting: Setting, stride: int) -> Side:
    """Misses of the word, and false accepts on all that is neither it nor sounds like it."""
    words, others = of_kind(heard, clips.WORD), of_kind(heard, clips.TALK, MUSIC)
    fired = _fired(what, words, setting, stride)
    return Side(
        what,
        Share(what, fired.total - fired.count, fired.total),
        _per_hour(what, others, setting, stride),
    )


def _fired(what: str, heard: Sequence[Heard], setting: Setting, stride: int) -> Share:
    count = sum(each.detections(setting, stride) > 0 for each in heard)
    return Share(what, count, len(heard))


def _per_hour(what: str, heard: Sequence[Heard], setting: Setting, stride: int) -> PerHour:
    count = sum(each.detections(setting, stride) for each in heard)
    return PerHour(what, count, sum(each.measured.seconds for each in heard) / 3600)


def _shares(
    words: Sequence[Heard], group: Callable[[Trial], str], setting: Setting, stride: int
) -> tuple[Share, ...]:
    """The misses in each group: groups of a value in its order, families as they come."""
    groups: dict[str, list[Heard]] = {}
    for each in words:
        groups.setdefault(group(each.trial), []).append(each)
    names = sorted(groups, key=lambda name: _ORDER.index(name) if name in _ORDER else -1)
    fired = (_fired(name, groups[name], setting, stride) for name in names)
    return tuple(Share(each.what, each.total - each.count, each.total) for each in fired)


def _that_fire(near: Sequence[Heard], setting: Setting, stride: int) -> tuple[Share, ...]:
    """The words that fired at least once, the most often firing first."""
    texts: dict[str, list[Heard]] = {}
    for each in near:
        texts.setdefault(each.trial.text, []).append(each)
    shares = [_fired(text, same, setting, stride) for text, same in texts.items()]
    firing = [share for share in shares if share.count]
    return tuple(sorted(firing, key=lambda each: (-each.count / each.total, each.what)))
