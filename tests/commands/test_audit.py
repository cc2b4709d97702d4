"""`earnest audit`: whatever is done to a log is found, and the record named."""

import datetime
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.satellite import audit_record as log_format
from host_tools import cli
from host_tools.audit.anchor_check import check_anchors, clock_times
from host_tools.receiver import authority
from host_tools.receiver.anchors import Anchor, Anchors
from host_tools.receiver.devices import CERTIFICATE_FILE, DeviceList
from tests.fakes.receivers import Device, new_device, receiving

EVENTS = [
    ("boot", {"firmware": "0.1.0", "reset": "power", "muted": True, "preroll_ms": 0}),
    ("mute", {"on": False, "source": "button"}),
    ("mic", {"on": True}),
    ("wake", {"model": "okay_nabu", "probability": 251, "streamed": True}),
    ("stream-start", {"preroll_ms": 0, "keep_recordings": False, "receiver": "home.lan"}),
    ("stream-end", {"bytes": 64000, "duration_ms": 2100, "reason": "end-of-speech"}),
    ("refused", {"what": "unmute", "source": "network", "count": 3}),
    ("fault", {"what": "light"}),
]

#: Written by the firmware in MicroPython: two files and a head, after restarts.
WRITE = """
import sys
from drivers.storage import Files
from satellite.audit_log import AuditLog

folder, starts = sys.argv[1], int(sys.argv[2])
for start in range(starts):
    log = AuditLog(Files(folder), 2048, 3)
    log.append("boot", 100, reset="power", muted=True)
    log.append("wake", 200, model="okay_nabu", probability=251, streamed=True)
    log.append("stream-end", 900, bytes=320, duration_ms=700, reason="mute")
print(log.seq, log.hash)
"""


def made(events=EVENTS, seq=0, previous=log_format.NO_HASH):
    """(lines, head) of a log with these events."""
    lines = []
    for i, (kind, fields) in enumerate(events):
        line, previous = log_format.encode(seq + i, i * 100, kind, fields, previous)
        lines.append(line)
    return lines, log_format.encode_head(seq + len(events) - 1, previous)


LINES, HEAD = made()


def problems_of(data, head=HEAD):
    return log_format.verify(log_format.split(data), head)[1]


@pytest.fixture
def audit(tmp_path, capsys):
    """Runs `earnest audit` on these files; returns (status, stdout, stderr)."""

    def run(files, *arguments):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        data = () if "--data" in arguments else ("--data", str(tmp_path / "no receiver"))
        status = cli.run(["audit", str(tmp_path), *data, *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_whole_log_has_no_problems():
    records, problems = log_format.verify(LINES, HEAD)
    assert problems == [] and [r["kind"] for r in records] == [kind for kind, _ in EVENTS]
    assert log_format.verify(LINES)[1] == []
    assert log_format.verify([], None) == ([], [])


def test_every_bit_of_every_byte_is_held():
    """Log and head: each bit flipped, each byte set, removed, doubled; the right line is named."""
    data = b"".join(LINES)
    cases = 0
    for at in range(len(data)):
        line = data[:at].count(b"\n")
        changes = [bytes([data[at] ^ (1 << bit)]) for bit in range(8)]
        changes += [b"", data[at : at + 1] * 2, b"0", b" ", b"\n", b"\0", b"\xff"]
        for change in changes:
            bad = data[:at] + change + data[at + 1 :]
            if bad == data:
                continue
            problems = problems_of(bad)
            assert problems, (at, change)
            assert problems[0][0] in (line, line + 1), (at, change, problems)
            cases += 1
    for at in range(len(HEAD)):
        for value in range(256):
            bad = HEAD[:at] + bytes([value]) + HEAD[at + 1 :]
            assert bad == HEAD or problems_of(data, bad), (at, value)
            cases += 1
    assert cases > 20000, cases


def test_every_cut_is_seen():
    data = b"".join(LINES)
    for end in range(len(data)):
        problems = problems_of(data[:end])
        assert problems, end
        assert "missing at the end" in problems[-1][1] or "cut off" in problems[0][1], problems
        if not data[:end].endswith(b"\n") and end:
            assert "cut off" in problems[0][1], problems
    # Whole records off the end are seen by the head alone.
    assert problems_of(b"".join(LINES[:-1]), None) == []


def test_dropped_moved_and_doubled_records_are_named():
    for i in range(len(LINES)):
        dropped = LINES[:i] + LINES[i + 1 :]
        words = log_format.verify(dropped, HEAD)[1][0][1]
        assert str(i) in words and ("missing" in words or "before it" in words), words
        doubled = LINES[: i + 1] + LINES[i:]
        at, words = log_format.verify(doubled, HEAD)[1][0]
        assert at == i + 1 and f"record {i} " in words and "twice" in words, words
        for j in range(i):
            moved = list(LINES)
            moved[i], moved[j] = moved[j], moved[i]
            assert log_format.verify(moved, HEAD)[1], (i, j)


def test_a_record_replaced_with_its_own_right_hash_is_found():
    for i in range(len(LINES)):
        previous = log_format.decode(LINES[i])["prev"]
        forged, _ = log_format.encode(i, 1, "mic", {"on": False}, previous)
        lines = [*LINES[:i], forged, *LINES[i + 1 :]]
        problems = log_format.verify(lines, HEAD)[1]
        assert problems and any(f"record {n}" in problems[0][1] for n in (i, i + 1)), problems


def test_a_changed_value_is_told_by_its_hash():
    bad = LINES[1].replace(b'"on":false', b'"on":true')
    assert "record 1 was changed: its hash" in log_format.verify([LINES[0], bad])[1][0][1]


def test_a_log_starts_from_nothing():
    lines, head = made(previous="ab" * 32)
    assert "not the start of a log" in log_format.verify(lines, head)[1][0][1]


def test_records_added_after_the_head_are_found():
    last = log_format.decode(LINES[-1])["hash"]
    more, _ = made([("mic", {"on": False})] * 2, len(LINES), last)
    assert log_format.verify([*LINES, more[0]], HEAD)[1] == []  # the power went before the head
    assert "another hand" in log_format.verify([*LINES, *more], HEAD)[1][0][1]


def test_a_log_that_begins_later_says_from_where():
    lines, head = made([("rotate", {"oldest": 40}), ("mic", {"on": True})], 50, "ab" * 32)
    words = log_format.verify(lines, head)[1][0][1]
    assert "records 40 to 49 are missing" in words
    lines, head = made([("rotate", {"oldest": 50}), ("mic", {"on": True})], 50, "ab" * 32)
    assert log_format.verify(lines, head)[1] == []
    lines, head = made([("mic", {"on": True})], 50, "ab" * 32)
    assert "before it are missing" in log_format.verify(lines, head)[1][-1][1]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_tampering_is_found(data):
    """Any edit of any length anywhere, by someone who does not write a new log."""
    whole = b"".join(LINES)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 600)))
    new = data.draw(st.binary(max_size=40) | st.sampled_from([*LINES, whole]))
    bad = whole[:start] + new + whole[end:]
    assert bad == whole or problems_of(bad), (start, end, new)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600) | st.text(max_size=300).map(str.encode))
def test_the_reader_takes_any_bytes(data):
    records, problems = log_format.verify(log_format.split(data), data)
    assert records == [] and problems or data == b""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["v", "seq", "t_ms", "kind", "prev", "hash", "on"]), JSON))
def test_the_reader_takes_any_json(record):
    line = json.dumps(record).encode() + b"\n"
    assert log_format.verify([line], line)[1]
    line = json.dumps({**log_format.decode(LINES[2]), "v": 1, **record}).encode() + b"\n"
    assert log_format.verify([line])[1]


@pytest.mark.parametrize("kind", list(log_format.KINDS))
def test_every_field_holds_its_type_and_nothing_else(kind):
    def example(allowed):
        if allowed is log_format.BOOL:
            return True
        if allowed is log_format.NAME:
            return "name"
        return allowed[0]

    must, may = log_format.KINDS[kind]
    full = {name: example(allowed) for name, allowed in must + may}
    least = {name: example(allowed) for name, allowed in must}
    for fields in (full, least):
        line, _ = log_format.encode(0, 0, kind, fields, log_format.NO_HASH)
        record = log_format.decode(line)
        assert {name: record[name] for name in fields} == fields
    refused = [
        {**full, "words": "hello"},
        *({**full, n: v} for n in full for v in (None, "?", b"a")),
    ]
    refused += [{n: v for n, v in full.items() if n != name} for name, _ in must]
    for name, allowed in must + may:
        if allowed is log_format.BOOL:
            refused += [{**full, name: value} for value in (0, 1)]
        elif allowed is log_format.NAME:
            refused += [{**full, name: value} for value in ("", "a" * 65, "a\n", 'a"', "caf\xe9")]
        elif isinstance(allowed[0], int):
            low, high = allowed
            log_format.encode(0, 0, kind, {**full, name: high}, log_format.NO_HASH)
            refused += [{**full, name: value} for value in (low - 1, high + 1, True, 1.0)]
    for fields in refused:
        with pytest.raises(log_format.AuditError):
            log_format.encode(0, 0, kind, fields, log_format.NO_HASH)


def test_no_record_can_be_longer_than_the_limit():
    for kind, (must, may) in log_format.KINDS.items():
        fields = {}
        for name, allowed in must + may:
            if allowed is log_format.BOOL:
                fields[name] = False
            elif allowed is log_format.NAME:
                fields[name] = "n" * log_format.MAX_NAME_CHARACTERS
            elif isinstance(allowed[0], int):
                fields[name] = allowed[1]
            else:
                fields[name] = max(allowed, key=len)
        big = log_format.COUNT[1]
        line, _ = log_format.encode(big, big, kind, fields, "f" * 64)
        assert len(line) <= log_format.MAX_RECORD_BYTES, (kind, len(line))
    padded = LINES[0][:-1] + b" " * (log_format.MAX_RECORD_BYTES - len(LINES[0])) + b"\n"
    with pytest.raises(log_format.AuditError, match="spelled"):
        log_format.decode(padded)
    with pytest.raises(log_format.AuditError, match="too long"):
        log_format.decode(b" " + padded)


def test_the_command_reads_what_the_firmware_wrote(audit, run_micropython, tmp_path):
    seq, digest = run_micropython(WRITE, tmp_path, 9).decode().split()
    status, out, err = audit({})
    assert status == 0 and err == "" and "OK: " in out, out + err
    assert digest in out and "okay_nabu" in out and "reason mute" in out and "rotate" in out
    status, out, _ = audit({}, "--json")
    document = json.loads(out)
    assert status == 0 and document["whole"] and document["head_checked"]
    assert document["last"] == {"seq": int(seq), "hash": digest}
    assert len(document["files"]) >= 3 and document["files"][-1] == "audit.jsonl"
    middle = tmp_path / "audit.1.jsonl"
    data = bytearray(middle.read_bytes())
    at = data.find(b'"streamed":true')
    data[at : at + 15] = b'"streamed":fals'
    status, out, _ = audit({middle.name: bytes(data)}, "--json")
    problem = json.loads(out)["problems"][0]
    assert status == 1 and problem["file"] == "audit.1.jsonl" and problem["line"] > 0, problem
    status, out, _ = audit({})
    assert status == 1 and "BROKEN" in out and "audit.1.jsonl line" in out
    middle.unlink()
    status, out, _ = audit({})
    assert status == 1 and "are missing" in out


def test_the_order_of_the_files_does_not_matter(capsys, tmp_path):
    names = [f"{name}.jsonl" for name in "cab"]
    for name, part in zip(names, (LINES[:3], LINES[3:5], LINES[5:]), strict=True):
        (tmp_path / name).write_bytes(b"".join(part))
    (tmp_path / "x.head").write_bytes(HEAD)
    paths = [str(tmp_path / name) for name in [*names, "x.head"]]
    for seed in range(5):
        random.Random(seed).shuffle(paths)
        assert cli.run(["audit", "--no-anchors", *paths]) == 0
    assert "OK: 8 records" in capsys.readouterr().out


def test_a_missing_head_is_said(audit):
    status, out, _ = audit({"audit.jsonl": b"".join(LINES[:-1])})
    assert status == 0 and "audit.head was not given" in out


def test_an_expected_hash(audit):
    files = {"audit.jsonl": b"".join(LINES), "audit.head": HEAD}
    known = log_format.decode(LINES[3])["hash"]
    assert audit(files, "--expect", known.upper())[0] == 0
    status, out, _ = audit(files, "--expect", "0" * 64)
    assert status == 1 and "expected hash" in out
    status, _, err = audit(files, "--expect", "abc")
    assert status == 2 and "is not a hash" in err


def test_an_empty_log_is_whole_only_without_a_head(audit):
    assert audit({"audit.jsonl": b""})[0] == 0
    status, out, _ = audit({"audit.jsonl": b"", "audit.head": HEAD})
    assert status == 1 and "records 0 to 7 are missing" in out


@pytest.mark.parametrize(
    "files, words",
    [
        ({}, "no audit log in this folder"),
        ({"audit.head": HEAD}, "no log file was given"),
        ({"audit.jsonl": b"hello\n"}, "no record"),
        ({"audit.jsonl": bytes(1000)}, "no record"),
    ],
)
def test_bad_input_is_two_lines_and_status_2(audit, files, words):
    status, out, err = audit(files)
    assert status == 2 and out == "" and words in err and "hint: " in err


def test_a_file_that_is_not_there(capsys):
    assert cli.run(["audit", "/nonexistent/audit.jsonl"]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "no audit log given"), (["a", "--port", "auto"], "give the log files or --port, not")],
)
def test_neither_files_nor_port_and_both_are_told_apart(capsys, arguments, words):
    assert cli.run(["audit", *arguments]) == 2
    assert f"error: {words}" in capsys.readouterr().err


def test_it_is_the_firmwares_own_module():
    assert log_format.__file__.endswith("firmware/satellite/audit_record.py")


# --- anchors ---


def hash_of(line):
    return log_format.decode(line)["hash"]


@pytest.fixture
def receiver(tmp_path):
    """The data folder of a receiver with the devices kitchen and attic; tell(name, line, at)."""
    folder = tmp_path / "receiver"
    devices = DeviceList(folder / "devices.json")
    signer = authority.open_or_make(folder / "authority")
    for name in ("kitchen", "attic"):
        devices.add(name, signer, tmp_path / name)

    class Told:
        data = str(folder)
        certificate = (tmp_path / "kitchen" / CERTIFICATE_FILE).read_bytes()

        def tell(self, name, line, at=1_700_000_000.0):
            (device,) = [device for device in devices.all() if device.name == name]
            record = log_format.decode(line)
            Anchors(folder).add(device.id, Anchor(record["seq"], record["hash"], at))

    return Told()


WHOLE = {"audit.jsonl": b"".join(LINES), "audit.head": HEAD}


def test_a_log_that_fits_its_anchors(audit, receiver):
    for line in LINES[2:6:2]:
        receiver.tell("kitchen", line)
    receiver.tell("attic", made([("mic", {"on": False})])[0][0])
    status, out, _ = audit(WHOLE, "--data", receiver.data)
    assert status == 0 and "anchored: record 4 " in out and "kitchen" in out, out
    status, out, _ = audit(WHOLE, "--data", receiver.data, "--json")
    anchors = json.loads(out)["anchors"]
    assert anchors["device"] == "kitchen" and anchors["known"] == anchors["found"] == 2
    assert anchors["newest"] == {"seq": 4, "told": 1_700_000_000.0}


def test_a_log_written_anew_is_found_by_its_anchors(audit, receiver):
    """The chain of the forged log is whole, and so is its head: only the anchor tells."""
    receiver.tell("kitchen", LINES[4])
    forged, head = made([*EVENTS[:3], ("mic", {"on": False}), *EVENTS[4:]])
    files = {"audit.jsonl": b"".join(forged), "audit.head": head}
    assert audit(files)[0] == 0
    status, out, _ = audit(files, "--data", receiver.data)
    assert status == 1 and "record 4" in out and "another hash" in out, out


def test_one_forged_record_at_the_end_is_found_by_an_anchor_alone(audit, receiver):
    """It takes the place of the record that was written as the power went."""
    forged, head = made([*EVENTS[:-1], ("mic", {"on": False})])
    files = {"audit.jsonl": b"".join(forged), "audit.head": head}
    assert audit(files)[0] == 0
    receiver.tell("kitchen", LINES[2])
    assert audit(files, "--data", receiver.data)[0] == 0  # told before: nothing says otherwise
    receiver.tell("kitchen", LINES[-1])
    status, out, _ = audit(files, "--data", receiver.data)
    assert status == 1 and "record 7" in out and "another hash" in out, out


def test_a_tail_cut_off_with_its_head_is_found_by_its_anchors(audit, receiver):
    receiver.tell("kitchen", LINES[2])
    receiver.tell("kitchen", LINES[6])
    short, head = made(EVENTS[:4])
    files = {"audit.jsonl": b"".join(short), "audit.head": head}
    status, out, _ = audit(files, "--data", receiver.data)
    assert status == 1 and "records 4 to 6 are missing at the end" in out, out


def test_a_log_begun_anew_is_said_to_be(audit, receiver):
    receiver.tell("kitchen", LINES[6])
    anew, head = made([("boot", {"reset": "soft"}), ("mic", {"on": True})])
    receiver.tell("kitchen", anew[1])
    files = {"audit.jsonl": b"".join(anew), "audit.head": head}
    status, out, _ = audit(files, "--data", receiver.data)
    assert status == 1 and "restarted or cut between" in out, out


def test_anchors_older_than_the_log_say_nothing_against_it(audit, receiver):
    old, _ = made()
    last = hash_of(old[-1])
    later, head = made([("rotate", {"oldest": 8}), ("mic", {"on": True})], 8, last)
    receiver.tell("kitchen", old[3])
    receiver.tell("kitchen", later[1])
    files = {"audit.jsonl": b"".join(later), "audit.head": head}
    status, out, _ = audit(files, "--data", receiver.data)
    assert status == 0 and "anchored: record 9 " in out, out


def test_a_record_that_the_head_does_not_know_is_said_to_be_unconfirmed(audit):
    more, _ = made([("mic", {"on": False})], len(LINES), hash_of(LINES[-1]))
    files = {"audit.jsonl": b"".join([*LINES, *more]), "audit.head": HEAD}
    status, out, _ = audit(files)
    assert status == 0 and "record 8 is not in audit.head" in out and "by hand" in out, out
    assert json.loads(audit(files, "--json")[1])["unconfirmed"] == 8
    assert "is not in audit.head" not in audit(WHOLE)[1]
    assert json.loads(audit(WHOLE, "--json")[1])["unconfirmed"] is None


def test_whose_log_it_is_when_nothing_fits(audit, receiver):
    other, _ = made([("mic", {"on": False})] * 3)
    receiver.tell("kitchen", other[1])
    receiver.tell("attic", other[2])
    status, out, _ = audit(WHOLE, "--data", receiver.data)
    assert status == 1 and "--device" in out
    status, out, _ = audit(WHOLE, "--data", receiver.data, "--device", "attic")
    assert status == 1 and "record 2" in out and "another hash" in out
    assert audit(WHOLE, "--data", receiver.data, "--no-anchors")[0] == 0
    status, _, err = audit(WHOLE, "--data", receiver.data, "--device", "cellar")
    assert status == 2 and "knows no device 'cellar'" in err


def test_a_board_is_known_by_its_certificate(receiver):
    receiver.tell("kitchen", LINES[4])
    receiver.tell("attic", LINES[5])
    records, _ = log_format.verify(LINES, HEAD)
    check = check_anchors(records, Path(receiver.data), certificate=receiver.certificate)
    assert check.device == "kitchen" and check.found == 1 and check.problems == []


def test_a_board_of_another_receiver_is_not_taken_for_the_only_device_here(receiver):
    other, _ = made([("mic", {"on": False})] * 3)
    receiver.tell("kitchen", other[1])
    records, _ = log_format.verify(LINES, HEAD)
    data = Path(receiver.data)
    check = check_anchors(records, data, certificate=b"of another CA")
    assert check.device is None and "does not know" in check.problems[0]
    receiver.tell("kitchen", LINES[4])  # unless the log itself says so
    check = check_anchors(records, data, certificate=b"of another CA")
    assert check.device == "kitchen" and check.found == 1


def test_without_anchors_it_says_so(audit):
    status, out, _ = audit(WHOLE)
    assert status == 0 and "not anchored" in out and "a rewritten log would look the same" in out


def test_a_receiver_keeps_what_a_device_tells(audit, tmp_path):
    folder = new_device(tmp_path / "data", "kitchen")
    with receiving(tmp_path / "data") as process:
        with Device(process.port, folder) as device:
            for line in (LINES[1], LINES[5]):
                record = log_format.decode(line)
                device.send("audit-head", {"seq": record["seq"], "hash": record["hash"]})
            device.send("ping")
            device.expect("pong")
    status, out, _ = audit(WHOLE, "--data", str(tmp_path / "data"))
    assert status == 0 and "anchored: record 5 " in out and "kitchen" in out, out


def test_records_get_clock_times_from_their_anchors():
    events = [EVENTS[0], EVENTS[1], EVENTS[0], EVENTS[1], EVENTS[0]]
    lines, _ = made(events)  # 100 ms from one to the next
    records, _ = log_format.verify(lines)
    anchors = [
        Anchor(1, records[1]["hash"], 1000.1),  # on time
        Anchor(2, records[2]["hash"], 2030.0),  # half a minute late
        Anchor(3, records[3]["hash"], 2000.3),  # so this one tells
        Anchor(4, "f" * 64, 3000.0),  # of another log
    ]
    assert clock_times(records, anchors) == pytest.approx([1000, 1000.1, 2000.2, 2000.3, None])
    assert clock_times(records, []) == [None] * 5


def test_clock_times_are_shown_where_they_are_known(audit, receiver):
    assert "about" not in audit(WHOLE)[1]
    at = datetime.datetime(2026, 11, 28, 19, 20, 30).timestamp()
    receiver.tell("kitchen", LINES[3], at + 0.3)
    out = audit(WHOLE, "--data", receiver.data)[1]
    assert "about" in out and "2026-11-28 19:20:30" in out, out
