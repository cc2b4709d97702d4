"""The order of messages as a pure machine: deadlines, what is held, and random walks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.satellite import protocol
from firmware.satellite.protocol import Event
from host_tools.receiver import session as sessions

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
