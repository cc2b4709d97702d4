"""The sentences that the built-in answers know: Home Assistant's, and ours where theirs lack.

The form is hassil's: `[optional]`, `(one|other)`, `{list:slot}`, `<rule>`.  Of Home Assistant's
sentences those are taken that need neither its areas nor its devices.
"""

from __future__ import annotations

from typing import Any

LANGUAGE = "en"

#: What may be wanted, by the names of Home Assistant's intents.
GET_TIME, GET_DATE = "HassGetCurrentTime", "HassGetCurrentDate"
START_TIMER, CANCEL_TIMER = "HassStartTimer", "HassCancelTimer"
CANCEL_ALL_TIMERS, TIMER_STATUS = "HassCancelAllTimers", "HassTimerStatus"
NEVER_MIND, SET_VOLUME = "HassNevermind", "HassSetVolume"
#: Ours.
CHANGE_VOLUME, STOP, MUTE = "ChangeVolume", "Stop", "Mute"

#: Home Assistant's intents that are taken.
TAKEN = (
    GET_TIME,
    GET_DATE,
    START_TIMER,
    CANCEL_TIMER,
    CANCEL_ALL_TIMERS,
    TIMER_STATUS,
    NEVER_MIND,
)
#: In the name of what a sentence speaks of: an area or floor of Home Assistant's, or a command
#: that waits for its time.
_NOT_OURS = ("area", "floor", "command")

_PERCENT = "[([ ]%)| percent]"
#: Speech-to-text hears "value" for "volume" often, and there is nothing else to set.
_VOLUME = "[the|your] (volume|value)"

_RULES = {
    "our_hours": "({timer_hours:hours}|{our_one:hours})( |-)hour[s]",
    "our_minutes": "({timer_minutes:minutes}|{our_one:minutes})( |-)minute[s]",
    "our_seconds": "({timer_seconds:seconds}|{our_one:seconds})( |-)second[s]",
    "our_duration": "(<our_hours>|<our_minutes>|<our_seconds>"
    "|<our_hours> [and] <our_minutes>|<our_minutes> [and] <our_seconds>"
    "|<our_hours> [and] <our_seconds>|<our_hours> [and] <our_minutes> [and] <our_seconds>"
    "|{timer_half:minutes} [a|an] hour)",
}
_LISTS = {
    "our_one": {"values": [{"in": "(a|an)", "out": 1}]},
    "our_louder": {"values": [{"in": "louder", "out": 10}, {"in": "quieter", "out": -10}]},
    "our_step": {
        "values": [{"in": "(up|louder)", "out": 10}, {"in": "(down|quieter)", "out": -10}]
    },
}
_SENTENCES = {
    START_TIMER: [
        "<timer_set> [a|an|the|my] {timer_name:name} timer (for|of) <our_duration>",
        "<timer_set> [a|an|the|my] <our_duration> {timer_name:name} timer",
        "<timer_set> [a|an|the|my] timer (for|of) <our_duration> "
        "(for|named|called) {timer_name:name}",
        "<timer_set> [a|an|the|my] timer (for|of) <our_duration>",
    ],
    CANCEL_TIMER: [
        "(cancelled|canceled|delete|end) [the|my] timer",
        "(cancelled|canceled|delete|end) [the|my] {timer_name:name} timer",
    ],
    CANCEL_ALL_TIMERS: ["(cancelled|canceled|delete|end) all [[of] (the|my)] timers"],
    TIMER_STATUS: [
        "how (much time|long) [is|do i have] left",
        "how (much time|long) [is] left (on|for) [the|my] {timer_name:name} timer",
        "[what|which] timers (are|do i have) [running|set|left]",
        "when (is|does) [the|my] timer (done|end|ring)",
    ],
    GET_DATE: [
        "what (day|date) is it [to(day|-day)]",
        "what day [of the week] is [it] today",
        "<what_is> the date to-day",
    ],
    GET_TIME: ["<what_is> the time [now]", "what time is it now"],
    SET_VOLUME: [
        "(set|change|make|put|turn) " + _VOLUME + " (to|at) {volume:percent}" + _PERCENT,
        "turn " + _VOLUME + " (up|down) to {volume:percent}" + _PERCENT,
        "[" + _VOLUME + "] {volume:percent}( |)(%|percent)",
        "volume {volume:percent}",
    ],
    CHANGE_VOLUME: [
        "[turn] [the] volume {our_step:step}",
        "turn {our_step:step} [the] volume",
        "turn (it|yourself) {our_step:step}",
        "[speak|talk|be] [a (bit|little)] {our_louder:step}",
    ],
    STOP: [
        "stop",
        "stop (it|that|ringing|talking|the (alarm|noise))",
        "(be|shut) (quiet|up)",
        "quiet",
    ],
    NEVER_MIND: ["forget (it|that)", "nothing"],
    MUTE: ["mute", "mute (yourself|the microphone|your microphone)", "stop listening"],
}


def merged(theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the intents that are known, in hassil's form.

    Args:
        theirs: Home Assistant's English intents (home_assistant_intents.get_intents); not changed.
    """
    intents: dict[str, Any] = {}
    for name in (*TAKEN, *_SENTENCES):
        blocks = theirs["intents"][name]["data"] if name in TAKEN else []
        ours = [{"sentences": _SENTENCES[name]}] if name in _SENTENCES else []
        # Ours first: of two that fit equally well hassil prefers the earlier.
        intents[name] = {"data": [*ours, *(block for block in blocks if _is_general(block))]}
    return {
        "language": LANGUAGE,
        "intents": intents,
        "lists": {**theirs["lists"], **_LISTS},
        "expansion_rules": {**theirs["expansion_rules"], **_RULES},
        "skip_words": theirs["skip_words"],
    }


def _is_general(block: dict[str, Any]) -> bool:
    combination = str(block.get("metadata", {}).get("slot_combination", ""))
    return not any(word in combination for word in _NOT_OURS)
