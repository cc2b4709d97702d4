"""What sentences want, as people say them and as speech-to-text writes them."""

import copy

import home_assistant_intents
import pytest

from host_tools.answers import sentences
from host_tools.answers.intents import MAX_TEXT_CHARACTERS, Intent, Recogniser


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser()


@pytest.mark.parametrize(
    "text, name, slots",
    [
        ("What time is it?", sentences.GET_TIME, {}),
        ("what is the time", sentences.GET_TIME, {}),
        ("what is the date today", sentences.GET_DATE, {}),
        ("What day is it to-day?", sentences.GET_DATE, {}),
        ("set a timer for five minutes", sentences.START_TIMER, {"minutes": 5}),
        ("Set a timer for 10 seconds.", sentences.START_TIMER, {"seconds": 10}),
        ("start a 5 minute timer", sentences.START_TIMER, {"minutes": 5}),
        (
            "set a timer for one hour and 20 minutes",
            sentences.START_TIMER,
            {"hours": 1, "minutes": 20},
        ),
        ("set a timer for half an hour", sentences.START_TIMER, {"minutes": 30}),
        ("set a timer for a minute", sentences.START_TIMER, {"minutes": 1}),
        (
            "set a pizza timer for 10 minutes",
            sentences.START_TIMER,
            {"name": "pizza", "minutes": 10},
        ),
        ("set a ten minute pizza timer", sentences.START_TIMER, {"name": "pizza", "minutes": 10}),
        (
            "set a timer for 10 minutes for pizza",
            sentences.START_TIMER,
            {"name": "pizza", "minutes": 10},
        ),
        ("Cancel the timer.", sentences.CANCEL_TIMER, {}),
        ("Cancelled the pizza timer.", sentences.CANCEL_TIMER, {"name": "pizza"}),
        ("stop the pizza timer", sentences.CANCEL_TIMER, {"name": "pizza"}),
        ("cancel all timers", sentences.CANCEL_ALL_TIMERS, {}),
        ("how long is left on the timer", sentences.TIMER_STATUS, {}),
        ("how much time is left", sentences.TIMER_STATUS, {}),
        ("how much time is left on the pizza timer", sentences.TIMER_STATUS, {"name": "pizza"}),
        ("set volume to 40 percent", sentences.SET_VOLUME, {"percent": 40}),
        ("Set the value to 40%.", sentences.SET_VOLUME, {"percent": 40}),
        ("turn the volume down", sentences.CHANGE_VOLUME, {"step": -10}),
        ("louder", sentences.CHANGE_VOLUME, {"step": 10}),
        ("Stop.", sentences.STOP, {}),
        ("never mind", sentences.NEVER_MIND, {}),
        ("mute yourself", sentences.MUTE, {}),
    ],
)
def test_a_sentence_is_understood(recogniser, text, name, slots):
    assert recogniser.recognise(text) == Intent(name, slots)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " .?! ",
        "the kettle is on and we talked about this last week",
        "turn off the light in 5 minutes",  # a command that waits is not ours
        "cancel the timer in the kitchen and turn on the light",
        "set a timer for 500 minutes",
        "set volume to 400 percent",
        "set a timer",
        "unmute",
        "start listening",
        "\0\ud7ff\U0001f355 {name} <our_duration> [a]",
        "what time is it " * 20,
    ],
)
def test_other_talk_is_not(recogniser, text):
    assert recogniser.recognise(text) is None


def test_a_text_is_looked_at_up_to_its_limit(recogniser):
    text = "what time is it"
    assert recogniser.recognise(text.ljust(MAX_TEXT_CHARACTERS)) == Intent(sentences.GET_TIME)
    assert recogniser.recognise(text.ljust(MAX_TEXT_CHARACTERS + 1)) is None


def test_what_home_assistant_knows_is_taken_without_its_areas_and_not_changed():
    theirs = home_assistant_intents.get_intents("en")
    before = copy.deepcopy(theirs)
    merged = sentences.merged(theirs)
    assert theirs == before
    said = [s for i in merged["intents"].values() for b in i["data"] for s in b["sentences"]]
    assert len(said) > 100
    assert not [s for s in said if "{area}" in s or "{floor}" in s or "{timer_command" in s]


def test_slots_as_numbers_and_names():
    intent = Intent("any", {"minutes": 5, "name": "egg"})
    assert (intent.number("minutes"), intent.number("hours"), intent.number("name")) == (5, 0, 0)
    assert intent.timer_name == "egg" and Intent("any").timer_name == ""
