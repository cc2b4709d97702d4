"""The order of messages as a pure machine: deadlines, what is held, and random walks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.satellite import protocol
from firmware.satellite.protocol import Event
from host_tools.receiver import session as sessions
from host_tools.receiver.sounds import Sound

FORM = {"rate": 16000, "width": 2, "channels": 1}
CHUNK = Event(protocol.AUDIO_CHUNK, FORM, bytes(320))
START = Event(protocol.AUDIO_START, FORM)
STOP = Event(protocol.AUDIO_STOP)
PING = Event(protocol.PING)


def consent(keep=True, share=False, preroll_ms=0):
    data = {"keep_recordings": keep, "share_for_training": share, "preroll_ms": preroll_ms}
    return Event(protocol.CONSENT, {"stream": "0" * 16, **data})


def withdrawn(keep=False, share=False):
    data = {"keep_recordings": keep, "share_for_training": share}
    return Event(protocol.CONSENT_WITHDRAWN, data)


def started(now_s=0.0, **options):
    session = sessions.Session(now_s)
    session.handle(consent(**options), now_s)
    session.handle(START, now_s)
    return session


def test_an_idle_connection_lives_by_any_message():
    session = sessions.Session(100.0)
    assert session.deadline_s == 190
    session.handle(PING, 150.0)
    assert session.deadline_s == 240


def test_a_stream_lives_by_audio_only():
    session = started(100.0)
    assert session.deadline_s == 105
    session.handle(PING, 104.0)
    session.handle(withdrawn(), 104.0)
    assert session.deadline_s == 105
    session.handle(CHUNK, 104.0)
    assert session.deadline_s == 109
    session.handle(STOP, 104.5)
    assert session.deadline_s == 194.5


def test_a_stream_that_trickles_ends_on_the_clock():
    session = started(0.0, preroll_ms=500)
    for now_s in range(1, 91):
        session.handle(CHUNK, float(now_s))
    assert session.deadline_s == 61 + 0.5 + 30


def test_a_stream_that_was_stopped_must_end_soon():
    session = started(0.0)
    session.stop("receiver", 1.0)
    for now_s in (2.0, 3.0):
        assert session.handle(CHUNK, now_s) == []
        session.handle(PING, now_s)
    assert session.deadline_s == 6
    for event in (consent(), START):
        with pytest.raises(protocol.ProtocolError):
            session.handle(event, 4.0)
    assert session.handle(STOP, 5.0) == [sessions.Changed()]
    assert session.deadline_s == 95
    with pytest.raises(protocol.ProtocolError):
        session.handle(CHUNK, 6.0)


def test_the_end_of_a_stream_comes_before_what_the_device_is_told_of_it():
    """Telling it may take long: a withdrawal that came meanwhile must find the stream kept."""
    kinds = [type(action) for action in started(0.0).stop("receiver", 1.0)]
    assert kinds == [sessions.Ended, sessions.Send]


def test_a_consent_lapses():
    for wait_s, may_start in ((10.0, True), (10.1, False)):
        session = sessions.Session(0.0)
        session.handle(consent(), 0.0)
        if may_start:
            session.handle(START, wait_s)
        else:
            with pytest.raises(protocol.ProtocolError, match="without consent"):
                session.handle(START, wait_s)


def test_audio_is_held_only_if_it_may_be_kept():
    assert started(keep=False).stream.audio is None
    session = started(keep=True)
    session.handle(CHUNK, 0.0)
    assert len(session.stream.audio) == 320
    stream = session.stream
    session.handle(withdrawn(), 0.0)
    assert stream.audio is None
    session.handle(CHUNK, 0.0)
    assert stream.audio is None and stream.bytes == 640


def test_a_withdrawal_between_consent_and_start_holds_too():
    session = sessions.Session(0.0)
    session.handle(consent(keep=True, share=True), 0.0)
    session.handle(withdrawn(), 0.0)
    session.handle(START, 0.0)
    assert session.stream.audio is None and not session.stream.share_for_training


def test_closing_drops_what_was_held():
    session = started()
    session.handle(CHUNK, 0.0)
    stream = session.stream
    ended = session.close("lost")
    assert stream.audio is None and not ended[0].is_complete
    assert session.close("lost") == []


EVENTS = st.sampled_from(
    [consent(True), consent(False), START, CHUNK, CHUNK, STOP, PING, withdrawn()]
    + [withdrawn(True), Event(protocol.DETECTION, {"name": "a"}), Event("unknown"), "stop"]
)


@given(walk=st.lists(st.tuples(EVENTS, st.floats(0, 12)), max_size=40))
@settings(max_examples=400, deadline=None)
def test_on_any_walk_nothing_is_kept_that_its_own_consent_does_not_allow(walk):
    """Invariants from the promises, not from the code: checked on what comes out."""
    session = sessions.Session(0.0, max_stream_ms=30)
    now_s, consents, sent, may_keep = 0.0, 0, 0, False
    for event, wait_s in walk:
        now_s += wait_s
        try:
            if event == "stop":
                actions = session.stop("receiver", now_s)
            else:
                actions = session.handle(event, now_s)
        except protocol.ProtocolError:
            actions = session.close("protocol")
            assert session.stream is None
            assert all(not a.is_complete and a.stream.audio is None for a in actions)
            return
        for action in actions:
            if isinstance(action, sessions.Consented):
                consents, may_keep = consents + 1, action.stream.keep_recordings
            elif isinstance(action, sessions.Withdrawn):
                may_keep = may_keep and action.keep_recordings
            elif isinstance(action, sessions.Began):
                assert consents > 0
                consents, sent = 0, 0
            elif isinstance(action, sessions.Heard):
                sent += len(action.audio)
                assert sent <= 30 * 32
            elif isinstance(action, sessions.Ended):
                assert action.stream.bytes == sent
                if action.stream.audio is not None:
                    assert may_keep and len(action.stream.audio) == sent
        if session.stream is not None and session.stream.audio is not None:
            assert may_keep
        assert session.deadline_s <= now_s + sessions.IDLE_S


def ids(n):
    return f"{n:016x}"


def sound_event(kind, id, **data):
    return Event(kind, {"id": id, **data})


SOUNDS = st.one_of(
    st.tuples(st.just("ask"), st.booleans()),
    st.tuples(st.just("send"), st.integers(1, 40000)),
    st.tuples(st.just(protocol.SPEAK_ACCEPTED), st.integers(0, 32000)),
    st.tuples(st.just(protocol.SPEAK_REFUSED), st.sampled_from(protocol.REFUSAL_REASONS)),
    st.tuples(st.just(protocol.CREDIT), st.integers(1, 32000)),
    st.tuples(st.just(protocol.PLAYED), st.integers(0, 30000)),
)


@given(walk=st.lists(st.tuples(SOUNDS, st.sampled_from([0, 0, 0, 0, 1, -1])), max_size=60))
@settings(max_examples=400, deadline=None)
def test_on_any_walk_a_device_gets_no_more_than_it_gave_credit_for(walk):
    """A device that says anything about any sound: what was sent never exceeds what was granted,
    nothing counts that was not asked for, and no more sounded than was sent."""
    session = sessions.Session(0.0)
    sound = None  # the one that was asked for
    asked = granted = sent = 0
    field = {
        protocol.SPEAK_ACCEPTED: "credit",
        protocol.SPEAK_REFUSED: "why",
        protocol.CREDIT: "bytes",
        protocol.PLAYED: "ms",
    }
    for (what, value), wrong in walk:
        if what == "ask":
            if session.sounds.current is None:
                asked += 1
                sound = Sound(ids(asked), "reply", is_chime=value)
                session.sounds.ask(sound)
                granted = sent = 0
            continue
        if what == "send":
            if sound is not None and not sound.is_over:
                piece = bytes(min(value, sound.credit))
                sound.spend(piece)
                sent += len(piece)
                assert sent <= granted
            continue
        event = sound_event(what, ids(max(0, asked + wrong)), **{field[what]: value})
        if what == protocol.PLAYED:
            event.data["why"] = "end"
        was_over = sound is None or sound.is_over
        was_accepted = sound is not None and sound.is_accepted
        try:
            session.handle(event, 1.0)
        except protocol.ProtocolError:
            return
        assert not was_over and not wrong
        if what in (protocol.SPEAK_ACCEPTED, protocol.CREDIT):
            granted += value
            assert granted - sent <= protocol.MAX_CREDIT_BYTES and not (sound.is_chime and value)
        assert was_accepted == (what in (protocol.CREDIT, protocol.PLAYED))
        if sound.is_over:
            assert session.sounds.current is None
            assert (sound.refused is None) == (what == protocol.PLAYED)
            if sound.played is not None and not sound.is_chime:
                assert sound.played.ms * 32 < sent + 32


@pytest.mark.parametrize(
    "messages, words",
    [
        ([("speak-accepted", 1, {"credit": 0})], "of a sound that nobody asked for"),
        ([("credit", 0, {"bytes": 1})], "credit before speak-accepted"),
        ([("played", 0, {"ms": 0, "why": "end"})], "played before speak-accepted"),
        ([("speak-accepted", 0, {"credit": 1})] * 2, "speak-accepted twice"),
        (
            [("speak-accepted", 0, {"credit": 1}), ("speak-refused", 0, {"why": "busy"})],
            "speak-refused twice",
        ),
        (
            [("speak-accepted", 0, {"credit": 31999}), ("credit", 0, {"bytes": 2})],
            "credit above 32000 bytes",
        ),
        (
            [("speak-accepted", 0, {"credit": 1}), ("played", 0, {"ms": 0, "why": "end"})] * 2,
            "of a sound that nobody asked for",
        ),
        ([("speak-refused", 0, {"why": "off"})] * 2, "of a sound that nobody asked for"),
    ],
)
def test_what_a_device_may_not_say_of_a_sound(messages, words):
    session = sessions.Session(0.0)
    session.sounds.ask(Sound(ids(0), "reply"))
    *good, (kind, n, data) = messages
    if len(messages) == 4:
        good, (kind, n, data) = messages[:2], messages[2]
    for name, number, fields in good:
        session.handle(sound_event(name, ids(number), **fields), 0.0)
    with pytest.raises(protocol.ProtocolError, match=words):
        session.handle(sound_event(kind, ids(n), **data), 0.0)


def test_a_chime_gets_no_credit():
    session = sessions.Session(0.0)
    session.sounds.ask(Sound(ids(0), "timer", is_chime=True))
    with pytest.raises(protocol.ProtocolError, match="credit for a chime"):
        session.handle(sound_event(protocol.SPEAK_ACCEPTED, ids(0), credit=2), 0.0)


def test_the_wake_word_of_a_stream_that_never_began_is_not_the_next_one_s():
    session = sessions.Session(0.0)
    session.handle(consent(), 0.0)
    session.handle(Event(protocol.DETECTION, {"name": "alexa"}), 0.0)
    session.handle(consent(), 1.0)
    session.handle(START, 1.0)
    assert session.stream.wake_word is None
