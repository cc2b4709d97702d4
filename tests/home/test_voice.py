"""A command and its answer, as a state machine: every order of events, and time that passes."""

import random

import pytest

from host_tools.home import voice as voices
from host_tools.home.messages import name_of
from host_tools.home.voice import (
    ASKED,
    HEARING,
    IDLE,
    PLAYING,
    REPLYING,
    WAITING,
    EndStream,
    Failed,
    Refused,
    Reply,
    ReplyEnded,
    Send,
    Transcript,
    Voice,
)


def asked():
    voice = Voice()
    voice.wake("Okay Nabu", 0.0)
    return voice


def hearing():
    voice = asked()
    voice.answered(False, 0.1)
    return voice


def waiting():
    voice = hearing()
    voice.end(1.0)
    return voice


def replying():
    voice = waiting()
    voice.event("TTS_START", {}, 2.0)
    voice.event("TTS_STREAM_START", {}, 2.0)
    return voice


def playing():
    voice = replying()
    voice.event("TTS_STREAM_END", {}, 3.0)
    return voice


STATES = {ASKED: asked, HEARING: hearing, WAITING: waiting, REPLYING: replying, PLAYING: playing}


def sent(actions):
    """(type, start, wake word or data, end) of what goes to Home Assistant."""
    found = []
    for action in actions:
        if isinstance(action, Send):
            message = action.message
            fields = {field.name: value for field, value in message.ListFields()}
            found.append((name_of(message).removeprefix("VoiceAssistant"), fields))
    return found


ABORT = ("Request", {})


def test_each_state_is_reached():
    assert {state: make().state for state, make in STATES.items()} == {s: s for s in STATES}


def test_audio_waits_for_home_assistant_and_comes_in_order():
    voice = Voice()
    start = {"start": True, "wake_word_phrase": "Okay Nabu"}
    assert sent(voice.wake("Okay Nabu", 0.0)) == [("Request", start)]
    assert voice.audio(b"1") == voice.audio(b"2") == []
    assert sent(voice.answered(False, 0.1)) == [
        ("Audio", {"data": b"1"}),
        ("Audio", {"data": b"2"}),
    ]
    assert sent(voice.audio(b"3")) == [("Audio", {"data": b"3"})]
    assert sent(voice.end(1.0)) == [("Audio", {"end": True})]
    assert voice.audio(b"4") == [] and voice.end(1.1) == []


def test_a_command_that_is_over_before_home_assistant_accepts_it_is_sent_whole():
    voice = asked()
    voice.audio(b"1")
    assert voice.end(0.1) == []
    assert sent(voice.answered(False, 0.2)) == [
        ("Audio", {"data": b"1"}),
        ("Audio", {"end": True}),
    ]
    assert voice.state == WAITING


def test_a_refusal_ends_the_command():
    assert asked().answered(True, 0.1) == [Failed("Home Assistant refused the command", True)]


def test_the_run_may_end_before_the_reply_begins():
    voice = waiting()
    voice.event("TTS_START", {}, 2.0)
    assert voice.event("RUN_END", {}, 2.0) == [] and voice.state == WAITING
    voice.event("TTS_STREAM_START", {}, 2.1)
    assert voice.reply_audio(b"12", 2.2) == [Reply(b"12")]
    assert voice.event("RUN_END", {}, 2.3) == [] and voice.state == REPLYING
    assert voice.event("TTS_STREAM_END", {}, 2.4) == [ReplyEnded()]
    assert sent(voice.played(True)) == [("AnnounceFinished", {"success": True})]
    assert voice.state == IDLE and voice.deadline_s is None


def test_a_reply_that_was_promised_and_does_not_begin():
    voice = waiting()
    voice.event("TTS_START", {}, 2.0)
    voice.event("RUN_END", {}, 2.0)
    assert voice.deadline_s == 2.0 + voices.BEGIN_S
    actions = voice.expired()
    assert actions[-1] == Failed("Home Assistant did not answer", True)


@pytest.mark.parametrize("state", [ASKED, HEARING])
def test_home_assistant_heard_enough(state):
    voice = STATES[state]()
    assert voice.event("STT_VAD_END", {}, 1.0) == [EndStream()]
    assert voice.state == WAITING
    assert voice.event("STT_END", {"text": "hello"}, 1.1) == [Transcript("hello")]
    assert voice.end(1.2) == []


@pytest.mark.parametrize("state", STATES)
def test_an_error_ends_it_and_the_stream_if_it_still_runs(state):
    is_running = state in (ASKED, HEARING)
    actions = STATES[state]().event("ERROR", {"code": "x", "message": "y"}, 2.0)
    assert actions == [EndStream()] * is_running + [Failed("x: y", True)]


@pytest.mark.parametrize("code", ["duplicate_wake_up_detected", "stt-no-text-recognized"])
def test_after_some_errors_nothing_sounds(code):
    actions = hearing().event("ERROR", {"code": code}, 2.0)
    assert actions == [EndStream(), Failed(f"{code}: ", False)]


@pytest.mark.parametrize("state", STATES)
def test_a_broken_stream_is_aborted_only_while_it_is_heard(state):
    voice = STATES[state]()
    actions = voice.abort()
    if state in (ASKED, HEARING):
        assert sent(actions) == [ABORT] and actions[1:] == [Failed("the stream broke off", False)]
        assert voice.state == IDLE
    else:
        assert actions == [] and voice.state == state


@pytest.mark.parametrize("state", STATES)
def test_a_newer_command_takes_the_place_of_the_one_before(state):
    voice = STATES[state]()
    actions = voice.wake("Alexa", 5.0)
    start = ("Request", {"start": True, "wake_word_phrase": "Alexa"})
    assert sent(actions) == [ABORT, start] and EndStream() not in actions
    assert Failed("a newer command", False) in actions and voice.state == ASKED


@pytest.mark.parametrize("state", STATES)
def test_home_assistant_goes_away(state):
    actions = STATES[state]().lost()
    if state in (REPLYING, PLAYING):
        assert actions == [ReplyEnded()], "what came of the reply is spoken"
    else:
        assert actions == [Failed("the connection to Home Assistant was lost", True)]


@pytest.mark.parametrize("state", STATES)
def test_only_where_somebody_waits_for_home_assistant_is_there_a_deadline(state):
    voice = STATES[state]()
    assert (voice.deadline_s is not None) == (state in (ASKED, WAITING, REPLYING))
    if voice.deadline_s is not None:
        voice.expired()
        assert voice.state in (IDLE, PLAYING) and voice.deadline_s is None


def test_listening_on_is_refused_and_nothing_else_changes():
    voice = waiting()
    (refused,) = voice.event("INTENT_END", {"continue_conversation": "1"}, 2.0)
    assert isinstance(refused, Refused) and "continue_conversation" in refused.what
    assert voice.event("INTENT_END", {"continue_conversation": "0"}, 2.0) == []
    assert voice.state == WAITING


def test_what_comes_when_nothing_goes_on_is_nothing():
    voice = Voice()
    kinds = ("RUN_END", "TTS_STREAM_START", "TTS_STREAM_END", "ERROR", "STT_END", "INTENT_END", "")
    for kind in kinds:
        assert voice.event(kind, {"text": "x", "continue_conversation": "1"}, 0.0) == []
    assert voice.reply_audio(b"12", 0.0) == voice.audio(b"1") == voice.end(0.0) == []
    assert voice.answered(False, 0.0) == voice.played(True) == voice.abort() == voice.lost() == []


EVENTS = ("RUN_START", "STT_START", "STT_VAD_START", "STT_VAD_END", "STT_END", "INTENT_START")
EVENTS += ("INTENT_END", "TTS_START", "TTS_STREAM_START", "TTS_END", "RUN_END", "TTS_STREAM_END")
EVENTS += ("ERROR",)


def test_on_any_walk_audio_goes_out_only_within_a_command_and_replies_only_within_one():
    """Both sides do whatever they like, 20,000 times."""
    chance = random.Random(11)
    voice, is_streaming, is_open = Voice(), False, False
    steps = ("wake", "audio", "end", "abort", "answered", "event", "event", "event", "reply")
    steps += ("played", "lost", "expired")
    seen = set()
    for now_s in range(20000):
        step = chance.choice(steps)
        kind = chance.choice(EVENTS)
        match step:
            case "wake":
                actions, is_streaming = voice.wake("x", now_s), True
            case "audio":
                actions = voice.audio(b"12") if is_streaming else []
            case "end":
                actions, is_streaming = voice.end(now_s) if is_streaming else [], False
            case "abort":
                actions, is_streaming = voice.abort() if is_streaming else [], False
            case "answered":
                actions = voice.answered(chance.random() < 0.1, now_s)
            case "event":
                actions = voice.event(kind, {"text": "x"}, now_s)
            case "reply":
                actions = voice.reply_audio(b"12", now_s)
            case "played":
                actions = voice.played(True)
            case "lost":
                actions = voice.lost()
            case "expired":
                actions = voice.expired() if voice.deadline_s is not None else []
        for kind, fields in sent(actions):
            if kind == "Request":
                is_open = "start" in fields
            elif kind == "Audio":
                assert is_open, "audio outside a command"
                is_open = not fields.get("end")
        if any(isinstance(action, Reply) for action in actions):
            assert voice.state == REPLYING
        if any(isinstance(action, Failed) for action in actions):
            assert voice.state in (IDLE, ASKED)
        seen.add(voice.state)
    assert seen == {IDLE, *STATES}
