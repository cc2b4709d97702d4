"""`simulate --answers`: which sound has which words; the demo's test runs a conversation."""

from host_tools.simulation.loopback import stopped
from host_tools.simulation.speaker import Played, spoken


def on(t_ms, what):
    return [
        {"t_ms": t_ms, "event": "audit", "kind": "speak-start", "what": what},
        {"t_ms": t_ms, "event": "speaker", "on": True},
        {"t_ms": t_ms + 500, "event": "speaker", "on": False},
        {"t_ms": t_ms + 500, "event": "audit", "kind": "speak-end", "reason": "end"},
    ]


def test_replies_get_their_words_in_order_and_timers_none():
    events = [*on(1000, "reply"), *on(2000, "timer"), *on(3000, "reply"), *on(4000, "reply")]
    found = spoken(events, Played(), 5000, ["It is noon.", "It is one o'clock."])
    assert [once.words for once in found] == ["It is noon.", None, "It is one o'clock.", None]


def test_a_receiver_that_cannot_answer_says_why_in_two_lines():
    error = stopped("WARNING something\nerror: a package is missing\nhint: install it\n")
    assert (error.message, error.hint) == (
        "the receiver stopped: a package is missing",
        "install it",
    )
    error = stopped("Traceback ...\nKeyError: 'x'\n")
    assert error.message.endswith("KeyError: 'x'") and "earnest receive" in error.hint
