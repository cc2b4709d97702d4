"""The network takes consent back: in which order, once or again, and when the flash fails."""

from diagnostics import text
from satellite.app import App
from satellite.config import Config
from satellite.consent import FILE as CONSENT_FILE
from satellite.gate import ERROR, IDLE, RECEIVER, STREAMING
from satellite.withdrawing import AGAIN_MS
from satellite.withdrawn_state import CONTENT, FILE
from test_app import BLUE, GREEN, Bench

KEPT = {"keep_recordings": True, "share_for_training": True}
ID, OTHER = "00000000000000aa", "00000000000000bb"
NOTHING = {"keep_recordings": False, "share_for_training": False}


def with_nothing(**fields):
    fields.update(NOTHING)
    return fields


RECORD = ("consent", with_nothing(what="withdrawn", source="network"))


def answer(id):
    return with_nothing(id=id)


def asked(bench, *at):
    """Let the network ask at these (turn, id); then run."""
    before = bench.after_turn

    def ask():
        for turn, id in at:
            if turn == bench.turn:
                bench.app.remote_withdraw(id)
        if before:
            before()

    bench.after_turn = ask
    return bench.go()


def allowed(bench):
    config = bench.app.parts.config
    return config.keep_recordings, config.share_for_training


def test_a_stream_that_may_be_kept_ends_then_it_is_stored_shown_recorded_and_answered():
    bench = Bench(Config(KEPT), turns=30)
    bench.wakes = [5]
    order = []
    append, write, show = bench.append, bench.files.write_atomic, bench.show

    def note(what):
        order.append((what, bench.state, bench.network.withdrawal is not None))

    def appending(kind, now_ms, **fields):
        if bench.turn >= 15:
            note(kind if kind != "consent" else fields["what"])
        append(kind, now_ms, **fields)

    def writing(name, data):
        if bench.turn >= 15:
            note(name)
        write(name, data)

    def showing(r, g, b):
        if bench.turn >= 15 and g and not b and ("green", IDLE, False) not in order:
            note("green")
        show(r, g, b)

    bench.append, bench.files.write_atomic, bench.show = appending, writing, showing
    asked(bench, (15, ID))
    assert order[:4] == [
        (FILE, IDLE, False),
        ("green", IDLE, False),
        ("stream-end", IDLE, False),
        ("withdrawn", IDLE, False),
    ], order
    assert bench.app.parts.gate.last_reason == RECEIVER
    assert bench.network.withdrawal == answer(ID) and bench.files.files[FILE] == CONTENT
    assert allowed(bench) == (False, False) and "forbidden" in bench.log
    assert bench.records.count(RECORD) == 1
    assert bench.log.index(BLUE) < bench.log.index("sent") < bench.log.index("forbidden")
    assert bench.log[-1] == GREEN and bench.state == IDLE and bench.mic_on


def test_what_comes_after_it_opens_without_consent_and_is_not_noted():
    bench = Bench(Config(KEPT), turns=40)
    bench.wakes, bench.speech_ends = [15], [25]
    asked(bench, (10, ID))
    assert CONSENT_FILE not in bench.files.files  # nothing that the receiver may keep
    starts = [fields for kind, fields in bench.records if kind == "stream-start"]
    assert [(s["keep_recordings"], s["share_for_training"]) for s in starts] == [(False, False)]


def test_a_stream_that_nobody_may_keep_goes_on():
    bench = Bench(turns=30)
    bench.wakes = [5]
    asked(bench, (15, ID))
    assert bench.state == STREAMING and bench.network.withdrawal == answer(ID)
    assert bench.files.files[FILE] == CONTENT and RECORD in bench.records


def test_it_holds_at_every_later_start_and_is_due_there_until_confirmed():
    bench = Bench(Config(KEPT), turns=30)
    bench.wakes = [5]
    asked(bench, (15, ID))
    for _ in range(2):
        again = Bench(turns=5)
        again.files.files = bench.files.files
        again.app = again.build(Config(KEPT))  # an old config.json
        again.go()
        assert allowed(again) == (False, False)
        (boot,) = [fields for kind, fields in again.records if kind == "boot"]
        assert boot["keep_recordings"] is False and boot["share_for_training"] is False
        assert again.network.withdrawal == NOTHING
    again.app.deleted(3)
    assert CONSENT_FILE not in bench.files.files and bench.files.files == {FILE: CONTENT}


def test_it_is_answered_again_and_again_and_written_once():
    bench = Bench(Config(KEPT), turns=60)
    writes = []
    write = bench.files.write_atomic

    def writing(name, data):
        writes.append(name)
        write(name, data)

    bench.files.write_atomic = writing
    answers = []

    def look():
        if bench.turn % 5 == 4 and bench.network.withdrawal is not None:
            answers.append(bench.network.withdrawal["id"])
            bench.network.withdrawal = None

    bench.after_turn = look
    asked(bench, (10, ID), (15, ID), (20, OTHER), (30, ID))
    assert answers == [ID, ID, OTHER, ID], answers
    assert writes == [FILE] and bench.records.count(RECORD) == 1


def test_confirmations_that_nothing_was_due_for_cannot_fill_the_log():
    bench = Bench()
    asked(bench, (5, ID))
    bench.app.deleted(0)
    assert ("consent", {"what": "deleted", "recordings": 0}) in bench.records
    bench.log_has_room = False
    count = len(bench.records)
    for _ in range(100):
        bench.app.remote_withdraw(ID)
        bench.app.deleted(0)
    assert len(bench.records) == count


def test_what_cannot_be_stored_holds_is_not_confirmed_and_is_tried_again():
    bench = Bench(Config(KEPT), turns=20 + 3 * AGAIN_MS // 10)
    bench.are_still = lambda: True  # no control asks the loop to look
    bench.wakes = [5]
    tries = []
    write = bench.files.write_atomic

    def failing(name, data):
        if name == FILE:
            tries.append(bench.turn)
            if len(tries) < 3:
                raise OSError(28)
        write(name, data)

    bench.files.write_atomic = failing
    told = []

    def look():
        told.append((bench.turn, bench.network.withdrawal is not None))
        if bench.turn in (16, 100):
            assert bench.state == IDLE and allowed(bench) == (False, False)
            assert "forbidden" in bench.log and RECORD not in bench.records

    bench.after_turn = look
    asked(bench, (15, ID))
    assert tries == [15, 15 + AGAIN_MS // 10, 15 + 2 * AGAIN_MS // 10], tries
    first = [turn for turn, is_told in told if is_told][0]
    assert first == tries[2] + 1, (first, tries)
    assert ("fault", {"what": "storage"}) in bench.records and RECORD in bench.records
    assert bench.network.withdrawal == answer(ID)
    assert bench.app.parts.counters.snapshot()["faults"] == 2


def test_what_cannot_be_recorded_is_not_confirmed_until_it_is():
    bench = Bench(Config(KEPT), turns=20 + 3 * AGAIN_MS // 10)

    def fail():
        bench.audit_fails = 8 < bench.turn < 150
        if bench.turn == 140:
            assert bench.network.withdrawal is None and bench.state == ERROR
            assert bench.files.files[FILE] == CONTENT and allowed(bench) == (False, False)

    bench.after_turn = fail
    asked(bench, (10, ID))
    assert bench.records.count(RECORD) == 1 and bench.network.withdrawal == answer(ID)


def test_a_damaged_file_starts_without_consent_and_says_so():
    bench = Bench(turns=5)
    bench.files.files[FILE] = CONTENT[:-1]
    bench.app = bench.build(Config(KEPT))
    bench.go()
    assert allowed(bench) == (False, False) and ("fault", {"what": "storage"}) in bench.records
    bench.app.remote_withdraw(ID)
    assert bench.files.files[FILE] == CONTENT and bench.network.withdrawal == answer(ID)


def test_nothing_of_it_can_give():
    """Whatever the network asks for, twice and in any order: what may be kept only shrinks."""
    for given in (KEPT, {"keep_recordings": True}, {}):
        bench = Bench(Config(given), turns=12)
        seen = [allowed(bench)]
        asked(bench, (3, ID))
        seen.append(allowed(bench))
        bench.app.deleted(1)
        bench.app.remote_withdraw(OTHER)
        bench.app.deleted(1)
        seen.append(allowed(bench))
        assert seen[1:] == [(False, False)] * 2, seen
    assert not any("grant" in name or "give" in name for name in dir(App))


def test_status_says_whether_it_is_stored():
    bench = Bench(turns=20)
    bench.files.fails = True
    said = []

    def look():
        said.append(bench.app.parts.withdrawn.state)

    bench.after_turn = look
    asked(bench, (10, ID))
    bench.files.fails = False
    bench.app.remote_withdraw(ID)
    assert (
        said[8] == "no"
        and said[10] == "not stored"
        and bench.app.parts.withdrawn.state == "stored"
    )
    status = {"models": (), "faults": (), "last_error": ""}
    for name in ("firmware", "micropython", "board", "state", "reset"):
        status[name] = "x"
    status["heap_free_bytes"] = status["heap_used_bytes"] = 0
    lines = {}
    for state in ("no", "stored", "not stored"):
        status["consent"] = {"due_elsewhere": 0, "withdrawn": state}
        lines[state] = [line for line in text.status_lines(status) if "consent" in line]
    assert lines == {
        "no": [],
        "stored": ["consent     withdrawn over the network, stored"],
        "not stored": ["consent     withdrawn over the network, not stored"],
    }
