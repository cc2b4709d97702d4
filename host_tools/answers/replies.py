"""What the built-in answers do and say to each intent."""

from __future__ import annotations

from host_tools.answers import sentences, spoken
from host_tools.answers.clock import Clock
from host_tools.answers.intents import Intent
from host_tools.answers.timers import Timer, Timers
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import Satellite, SpeakRefused

NOT_UNDERSTOOD = "Sorry, I did not understand that."
FAILED = "Sorry, that did not work."


class Replies:
    """Carries out intents; `reply` returns the words to say, empty for none."""

    def __init__(self, timers: Timers, clock: Clock) -> None:
        self._timers = timers
        self._clock = clock

    async def reply(self, satellite: Satellite, intent: Intent) -> str:
        """Do what is wanted on the device that heard it, and return what to say.

        Raises:
            ConnectionLost: the device is gone.
        """
        match intent.name:
            case sentences.GET_TIME:
                return f"It is {spoken.time_of_day(self._clock.now())}."
            case sentences.GET_DATE:
                return f"It is {spoken.date(self._clock.now())}."
            case sentences.START_TIMER:
                return self._start(satellite, intent)
            case sentences.CANCEL_TIMER:
                return self._cancel(satellite, intent)
            case sentences.CANCEL_ALL_TIMERS:
                return self._cancel_all(satellite)
            case sentences.TIMER_STATUS:
                return self._status(satellite, intent)
            case sentences.SET_VOLUME:
                return await _set_volume(satellite, intent.number("percent"))
            case sentences.CHANGE_VOLUME:
                now = satellite.status.volume if satellite.status else 0
                return await _set_volume(satellite, now + intent.number("step"))
            case sentences.MUTE:
                await satellite.mute()  # which silences it: its light says the rest
                return ""
            case _:  # stop, never mind: the wake word has ended whatever sounded
                return ""

    def _start(self, satellite: Satellite, intent: Intent) -> str:
        if satellite.status is None or not satellite.status.timers:
            return "This speaker may not ring. Allow timers in its configuration first."
        hours, minutes = intent.number("hours"), intent.number("minutes")
        duration_s = hours * 3600 + minutes * 60 + intent.number("seconds")
        try:
            timer = self._timers.add(satellite.id, intent.timer_name, duration_s)
        except HostToolError as error:
            return f"I cannot set that timer: {error.message}."
        return f"Your {timer.title} is set for {spoken.duration(duration_s)}."

    def _cancel(self, satellite: Satellite, intent: Intent) -> str:
        meant = self._meant(satellite, intent)
        if len(meant) > 1:
            return f"There are {spoken.number(len(meant))} timers. Say which, or all."
        return self._remove(meant) if meant else self._none(satellite, intent)

    def _cancel_all(self, satellite: Satellite) -> str:
        meant = self._timers.of(satellite.id)
        return self._remove(meant) if meant else "There is no timer."

    def _remove(self, timers: list[Timer]) -> str:
        try:
            self._timers.remove(timers)
        except HostToolError as error:
            return f"It is off, but may come back: {error.message}."
        if len(timers) == 1:
            return f"Your {timers[0].title} is cancelled."
        return f"{spoken.number(len(timers)).capitalize()} timers are cancelled."

    def _status(self, satellite: Satellite, intent: Intent) -> str:
        meant = self._meant(satellite, intent)
        if not meant:
            return self._none(satellite, intent)
        parts = [
            f"your {timer.title} has {spoken.duration(self._timers.left_s(timer))} left"
            for timer in meant[:3]
        ]
        more = f", and there are {spoken.number(len(meant) - 3)} more" if len(meant) > 3 else ""
        words = ", ".join(parts) + more + "."
        return words[0].upper() + words[1:]

    def _none(self, satellite: Satellite, intent: Intent) -> str:
        """Return that there is no such timer, and which there are: a name may be misheard."""
        others = " and ".join(f"your {timer.title}" for timer in self._timers.of(satellite.id)[:3])
        said = f"There is no {intent.timer_name} timer".replace("  ", " ")
        return f"{said}, but {others}." if others else f"{said}."

    def _meant(self, satellite: Satellite, intent: Intent) -> list[Timer]:
        """Return the timers of this device that a sentence may mean: those of that name, or of
        that length ("cancel the five minute timer")."""
        mine = self._timers.of(satellite.id)
        if intent.timer_name:
            return [timer for timer in mine if timer.name == intent.timer_name]
        hours, minutes = intent.number("start_hours"), intent.number("start_minutes")
        length_s = hours * 3600 + minutes * 60 + intent.number("start_seconds")
        if length_s:
            return [timer for timer in mine if timer.duration_s == length_s]
        return mine


async def _set_volume(satellite: Satellite, percent: int) -> str:
    if satellite.status is None or not satellite.status.speaker:
        return ""
    most = satellite.status.volume_max
    percent = min(max(0, percent), 100)
    try:
        await satellite.set_volume(percent)
    except SpeakRefused as refusal:
        return f"I cannot set the volume: {refusal.why}."
    if percent > most:
        return f"The volume is {spoken.number(most)} percent, the most that is allowed."
    return f"The volume is {spoken.number(percent)} percent."
