"""What left the device and what came here: the same streams, or it is said in red."""

import contextlib
import json

import pytest

from firmware.satellite import audit_record as log_format
from host_tools import cli
from host_tools.audit.results import CABLE, FILES, Results
from host_tools.audit.stream_check import check_streams
from host_tools.board import audit_fetch
from host_tools.board.audit_fetch import Fetched
from host_tools.receiver.anchors import Anchor, Anchors
from host_tools.receiver.authority import open_or_make
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import StreamRow

NOW_S = 1_800_000_000.0
HERE = "home.lan"


def end(size, reason="end-of-speech", receiver=HERE):
    return (
        "stream-end",
        {"bytes": size, "duration_ms": 1000, "reason": reason, "receiver": receiver},
    )


START = ("stream-start", {"receiver": HERE})
BOOT = ("boot", {"reset": "power"})


def records_of(*events):
    """Records as a log has them, one a minute."""
    return [{"seq": n, "kind": kind, "t_ms": n * 60000, **f} for n, (kind, f) in enumerate(events)]


def rows_of(*sizes, device="x"):
    """A row a minute, the oldest first."""
    fields = dict.fromkeys(("wake_word", "sha256"))
    fields |= dict.fromkeys(("keep_recordings", "share_for_training"), False)
    return [
        StreamRow(
            began_s=NOW_S + 60 * n,
            device_id=device,
            device_name="kitchen",
            bytes=size,
            duration_ms=size // 32,
            reason="audio-stop",
            fates=("dropped",),
            **fields,
        )
        for n, size in enumerate(sizes)
    ]


def check(events, rows, times=None):
    return check_streams(records_of(*events), times or [None] * len(events), rows)


def test_the_same_streams_match_also_when_the_bytes_repeat():
    done = check([START, end(320), START, end(640), START, end(320)], rows_of(320, 640, 320))
    assert (done.sent, done.matched, done.older, done.problems) == (3, 3, 0, [])


def test_a_stream_that_went_elsewhere_is_named_with_its_record_and_receiver():
    events = [START, end(320), START, end(9600, receiver="evil.lan"), START, end(640)]
    done = check(events, rows_of(320, 640), [NOW_S] * 6)
    [problem] = done.problems
    assert problem.startswith("record 3: 9600 bytes left the device about 20")
    assert "for evil.lan; this receiver did not get them" in problem and done.matched == 2


@pytest.mark.parametrize("size", [319, 321, 1])
def test_other_bytes_are_another_stream(size):
    done = check([START, end(320)], rows_of(size))
    assert done.matched == 0 and len(done.problems) == 1


def test_what_the_network_broke_off_may_have_lost_its_end_and_no_more():
    assert check([START, end(640, "network")], rows_of(320)).problems == []
    assert check([START, end(640, "network")], rows_of(641)).matched == 0
    assert check([START, end(640, "mute")], rows_of(320)).matched == 0


def test_a_held_stream_sent_nothing_and_needs_no_row():
    done = check([START, end(0, "no-speech"), START, end(320)], rows_of(320))
    assert (done.sent, done.problems) == (1, [])


def test_a_power_loss_in_a_stream_leaves_a_row_that_has_no_end_in_the_log():
    done = check([START, end(320), START, BOOT, START, end(640)], rows_of(320, 9600, 640))
    assert done.problems == [] and (done.sent, done.matched) == (2, 2)
    assert check([START, BOOT, START, end(640)], rows_of(640)).problems == []


def test_what_came_here_and_the_device_did_not_record_is_named():
    done = check([START, end(320), START, end(640)], rows_of(320, 9600, 640))
    assert [p[:10] for p in done.problems] == ["9600 bytes"] and done.matched == 2
    done = check([START, end(320), START, end(640)], rows_of(5, 320, 640, 7))
    assert done.problems == [], "before the log, and after it was fetched"


def test_streams_from_before_the_history_are_counted_apart():
    times = [NOW_S - 9000, NOW_S - 9000, NOW_S, NOW_S]
    done = check([START, end(9600), START, end(320)], rows_of(320), times)
    assert (done.sent, done.older, done.problems) == (1, 1, [])
    assert len(check([START, end(9600), START, end(320)], rows_of(320)).problems) == 1


@pytest.fixture
def board(tmp_path):
    """A log of a kitchen that is in a receiver's list, and what that receiver got of it."""
    data = tmp_path / "data"
    device, _ = DeviceList(data / "devices.json").issue(
        "kitchen", open_or_make(data / "authority")
    )
    previous, lines = log_format.NO_HASH, []
    for n, (kind, fields) in enumerate([BOOT, START, end(320), START, end(9600)]):
        line, previous = log_format.encode(n, n * 60000, kind, fields, previous)
        lines.append(line)
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "audit.jsonl").write_bytes(b"".join(lines))
    (folder / "audit.head").write_bytes(log_format.encode_head(4, previous))
    Anchors(data).add(device.id, Anchor(4, previous, NOW_S + 240))

    def got(*sizes):
        history = History(data / HISTORY_FILE)
        history.add(rows_of(*sizes, device=device.id))
        history.close()

    def audit(*options):
        return cli.run(["audit", str(folder), "--data", str(data), *options])

    return got, audit


def test_the_command_says_that_all_came_here(board, capsys):
    got, audit = board
    got(320, 9600)
    assert audit() == 0
    assert (
        "OK: all 2 streams of this log came to this receiver, same bytes"
        in capsys.readouterr().out
    )


def test_the_command_says_in_red_what_did_not_and_ends_with_1(board, capsys):
    got, audit = board
    got(320)
    assert audit() == 1
    printed = capsys.readouterr().out
    assert "NOT THE SAME  record 4: 9600 bytes left the device" in printed
    assert "hash chain intact" in printed
    assert audit("--json") == 1
    streams = json.loads(capsys.readouterr().out)["streams"]
    assert (streams["sent"], streams["matched"], len(streams["problems"])) == (2, 1, 1)


def test_the_result_is_kept_for_the_page_with_where_the_log_came_from(
    board, tmp_path, monkeypatch, capsys
):
    got, audit = board
    got(320)
    data = tmp_path / "data"
    [device] = DeviceList(data / "devices.json").all()
    assert audit("--no-anchors") == 0 and not (data / "checks").exists()
    assert audit() == 1
    kept = Results(data).of(device.id)
    assert (kept.source, kept.last_seq, kept.sent, kept.matched) == (FILES, 4, 2, 1)
    assert [(m.seq, m.bytes, m.receiver) for m in kept.mismatches] == [(4, 9600, HERE)]

    @contextlib.contextmanager
    def fetched(port, export):
        yield Fetched(tmp_path / "log", None)

    monkeypatch.setattr(audit_fetch, "fetched", fetched)
    got(9600)
    assert cli.run(["audit", "--port", "x", "--data", str(data)]) == 0
    kept = Results(data).of(device.id)
    assert kept.source == CABLE and not kept.is_red and kept.anchor_seq == 4
    (data / "checks").rename(tmp_path / "aside")
    (data / "checks").write_text("in the way")
    assert audit() == 0 and "not kept for the page" in capsys.readouterr().err


def test_without_a_history_nothing_is_claimed(board, capsys):
    _, audit = board
    assert audit() == 0
    assert "came to this receiver" not in capsys.readouterr().out
    assert audit("--json") == 0
    assert json.loads(capsys.readouterr().out)["streams"] is None
