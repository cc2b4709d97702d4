"""The audit log: whole after power loss at any byte, bounded, sparing, honest about losses."""

import random

import fakes  # noqa: F401
from power_loss_storage import PowerLossDisk, every_power_loss, storage_on
from satellite import audit_log
from satellite.audit_log import FILE, HEAD, AuditLog, file_name
from satellite.audit_record import MAX_RECORD_BYTES, AuditError, decode, split, verify

FILE_BYTES = 4 * MAX_RECORD_BYTES
FILES = 3


def lines_of(files, count=FILES):
    lines = []
    for age in range(count, -1, -1):
        data = files.get(file_name(age), b"")
        assert not data or data[-1:] == b"\n", data
        lines += split(data)
    return lines


def check(files, count=FILES):
    """The records of a log without problems."""
    lines = lines_of(files, count)
    records, problems = verify(lines, files.get(HEAD))
    assert not problems, problems
    assert len(records) == len(lines)
    return records


def filled(files, number, start_ms=0):
    """The files after `number` mic records."""
    disk = PowerLossDisk(files)
    log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
    log.open(start_ms)
    for i in range(number):
        assert log.append("mic", start_ms + i, on=i % 2 == 0)
    return disk.written


def test_a_new_log_is_empty_and_counts_from_zero():
    disk = PowerLossDisk()
    log = AuditLog(storage_on(disk))
    log.open(0)
    assert disk.written == {} and log.seq == -1
    log.append("boot", 5, firmware="0.1.0", reset="power", muted=True, preroll_ms=0)
    log.append("mute", 6, on=False, source="button")
    (boot, mute) = check(disk.written)
    assert (boot["seq"], boot["t_ms"], boot["kind"], boot["muted"]) == (0, 5, "boot", True)
    assert (mute["seq"], mute["prev"], log.hash) == (1, boot["hash"], mute["hash"])
    assert disk.written[HEAD] == b'{"v":1,"seq":1,"hash":"%s"}\n' % mute["hash"].encode()


def test_a_restart_goes_on_with_the_chain():
    files = {}
    for start in range(4):
        files = filled(files, 1, start * 1000)
    assert [record["seq"] for record in check(files)] == [0, 1, 2, 3]


def test_rotation_keeps_the_chain_and_bounds_the_size():
    files = filled({}, 60)
    records = check(files)
    first, last = records[0], records[-1]
    assert first["kind"] == "rotate" and first["seq"] > 0 and last["kind"] == "mic"
    assert last["seq"] - first["seq"] + 1 == len(records)
    rotations = [record for record in records if record["kind"] == "rotate"]
    assert len(rotations) == FILES and rotations[-1]["oldest"] == first["seq"]
    sizes = {name: len(data) for name, data in files.items()}
    assert sorted(sizes) == ["audit.1.jsonl", "audit.2.jsonl", HEAD, FILE]
    assert all(size <= FILE_BYTES for size in sizes.values()), sizes
    # Without its oldest file the log is not whole, and that is found.
    del files[file_name(2)]
    _, problems = verify(lines_of(files), files[HEAD])
    assert len(problems) == 1 and "missing at the start" in problems[0][1], problems


def test_a_file_is_filled_to_its_limit_and_not_past_it():
    files = filled({}, 1)
    size = len(files[FILE])
    disk = PowerLossDisk()
    log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
    while file_name(1) not in disk.written:
        before = len(disk.written.get(FILE, b""))
        log.append("mic", 0, on=True)
    assert before <= FILE_BYTES < before + size + 1
    for limit, is_rotated in ((before, False), (before - 1, True)):
        other = PowerLossDisk()
        log = AuditLog(storage_on(other), max(limit, FILE_BYTES), FILES)
        log._file_bytes = limit
        while (
            len(other.written.get(FILE, b"")) + size <= before
            and file_name(1) not in other.written
        ):
            log.append("mic", 0, on=True)
        assert (file_name(1) in other.written) == is_rotated, (limit, before)


def survive(files, work, least):
    """After every power loss in `work`: a start, one record more, and a log without problems that
    holds at least `least` of the records there were.
    """
    cases = torn = 0
    for found in every_power_loss(files, work):
        cases += 1
        seq_before = -1
        disk = PowerLossDisk(found)
        log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
        log.open(7000)
        seq_before = log.seq
        assert seq_before >= least, (seq_before, least)
        log.append("boot", 7001)
        records = check(disk.written)
        assert records[-1]["kind"] == "boot" and records[-1]["seq"] == log.seq
        tears = [record for record in records if record["kind"] == "torn"]
        torn += len(tears)
        for tear in tears:
            assert tear["lost"] == 0 and 0 < tear["bytes"] < MAX_RECORD_BYTES, tear
            assert tear["head"] == "good", tear
    return cases, torn


def one_record(storage):
    log = AuditLog(storage, FILE_BYTES, FILES)
    log.open(5000)
    log.append("mute", 5001, on=True, source="button")


def test_power_loss_at_every_step_of_the_first_record():
    cases, torn = survive({}, one_record, -1)
    assert cases > 600 and torn > 200, (cases, torn)


def test_power_loss_at_every_step_of_a_record():
    cases, torn = survive(filled({}, 3), one_record, 2)
    assert cases > 600 and torn > 200, (cases, torn)


def test_power_loss_at_every_step_of_a_rotation():
    for number in range(55, 65):
        files = filled({}, number)
        if len(files[FILE]) + 300 > FILE_BYTES:
            break
    cases, torn = survive(files, one_record, number)
    assert cases > 1200 and torn > 400, (cases, torn)


def test_power_loss_while_a_tear_is_mended():
    files = filled({}, 3)
    files[FILE] = files[FILE] + b'{"v":1,"seq":3,"t_'
    cases, torn = survive(files, lambda storage: AuditLog(storage, FILE_BYTES, FILES).open(1), 2)
    assert cases > 600 and torn >= cases, (cases, torn)


def test_a_tail_that_was_cut_off_stays_visible():
    files = filled({}, 5)
    whole = split(files[FILE])
    for cut in range(1, 6):
        for extra in (b"", whole[5 - cut][:50]):
            short = dict(files)
            short[FILE] = b"".join(whole[: 5 - cut]) + extra
            _, problems = verify(split(short[FILE]), short[HEAD])
            assert "missing at the end" in problems[-1][1], problems
            disk = PowerLossDisk(short)
            log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
            log.append("boot", 9)
            records, problems = verify(lines_of(disk.written), disk.written[HEAD])
            (tear,) = [record for record in records if record["kind"] == "torn"]
            assert (tear["lost"], tear["bytes"], tear["seq"]) == (cut, len(extra), 5), tear
            assert problems, "the gap must show for ever"


def test_a_damaged_file_is_set_aside_as_it_is():
    files = filled({}, 4)
    at = files[FILE].find(b'"on":true')
    bad = files[FILE][:at] + files[FILE][at:].replace(b'"on":true', b'"on":false', 1)
    disk = PowerLossDisk({FILE: bad, HEAD: files[HEAD]})
    log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
    log.append("boot", 1)
    assert disk.written[file_name(1)] == bad
    records, problems = verify(lines_of(disk.written), disk.written[HEAD])
    assert "record 0 was changed" in problems[0][1], problems
    assert records[-2]["kind"] == "torn" and records[-1]["kind"] == "boot", records[-2:]


def test_a_lost_or_wrong_head_is_recorded():
    files = filled({}, 4)
    older = filled({}, 2)
    other = filled({}, 4, 77)
    heads = (
        (None, "missing"),
        (b"rubbish", "damaged"),
        (older[HEAD], "behind"),
        (other[HEAD], "differs"),
    )
    for head, word in heads:
        found = {FILE: files[FILE]}
        if head is not None:
            found[HEAD] = head
        disk = PowerLossDisk(found)
        AuditLog(storage_on(disk), FILE_BYTES, FILES).open(0)
        tear = check(disk.written)[-1]
        assert (tear["kind"], tear["head"], tear["seq"]) == ("torn", word, 4), tear


def test_a_full_disk_raises_and_the_log_stays_whole():
    outcomes = set()
    for room in range(0, 900, 13):
        files = filled({}, 3)
        used = sum(len(data) for data in files.values())
        disk = PowerLossDisk(files, full_at=used + room)
        log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
        try:
            log.append("boot", 1)
            log.append("mic", 2, on=True)
            outcomes.add("written")
        except OSError:
            assert "written" not in outcomes, room
            outcomes.add("raised")
        disk.full_at = None
        log.append("mic", 3, on=False)
        assert check(disk.written)[-1]["t_ms"] == 3
    assert len(outcomes) == 2, outcomes


def test_the_same_fault_is_written_once_then_counted():
    disk = PowerLossDisk()
    log = AuditLog(storage_on(disk))
    for i in range(100):
        assert log.append("fault", 1000 + i * 10, what="network") == (i == 0)
    assert log.append("fault", 2500, what="light")
    log.tick(1000 + audit_log.REPEAT_MS - 1)
    assert len(check(disk.written)) == 2
    log.tick(1000 + audit_log.REPEAT_MS)
    records = check(disk.written)
    assert len(records) == 3
    assert (records[2]["what"], records[2]["count"]) == ("network", 99)
    log.tick(1000 + 3 * audit_log.REPEAT_MS)
    assert len(check(disk.written)) == 3


def test_too_many_different_ones_are_counted_together():
    disk = PowerLossDisk()
    log = AuditLog(storage_on(disk))
    from satellite.audit_record import ASKED

    for what in ASKED:
        log.append("refused", 0, what=what)
    extra = len(ASKED) - audit_log.MAX_PENDING
    assert extra > 0
    assert check(disk.written)[-1]["kind"] == "refused"
    log.tick(audit_log.REPEAT_MS)
    records = check(disk.written)
    assert records[-1]["kind"] == "dropped" and records[-1]["count"] == extra, records[-1]


def test_a_day_of_floods_stays_in_the_budget():
    class Counting:
        """Counts what is written; keeps nothing but what the log reads back."""

        def __init__(self):
            self.files = {}
            self.written_bytes = 0

        def read(self, name, limit):
            data = self.files.get(name)
            return None if data is None else data[:limit]

        def size(self, name):
            return len(self.files.get(name, b"")) if name in self.files else -1

        def append(self, name, data):
            self.written_bytes += len(data)
            self.files[name] = self.files.get(name, b"") + data

        def write_atomic(self, name, data):
            self.written_bytes += len(data)
            self.files[name] = data

        def rename(self, old, new):
            self.files[new] = self.files.pop(old)

        def remove(self, name):
            del self.files[name]

    storage = Counting()
    log = AuditLog(storage, FILE_BYTES, FILES)
    hour_ms = 3600000
    streams = 0
    faults = ("network", "light", "memory")
    for t_ms in range(0, hour_ms, 500):
        log.append("fault", t_ms, what=faults[t_ms % 3])
        log.append("refused", t_ms, what="unmute")
        if log.may_stream(t_ms):
            streams += 1
            log.append("wake", t_ms, model="okay_nabu", probability=250)
            log.append("stream-start", t_ms)
            log.append("stream-end", t_ms, bytes=1, duration_ms=1, reason="cap")
    records = log.seq + 1
    allowed = hour_ms // audit_log.REFILL_MS + audit_log.BURST
    assert records <= allowed, (records, allowed)
    assert storage.written_bytes < audit_log.MAX_DAY_BYTES // 24 + 100000, storage.written_bytes
    assert 50 < streams < allowed, streams


def test_what_a_person_does_is_always_written():
    disk = PowerLossDisk()
    log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
    for i in range(3 * audit_log.BURST):
        assert log.append("mute", 0, on=i % 2 == 0, source="button")
    assert not log.may_stream(0)
    assert not log.append("wake", 0, model="okay_nabu", probability=1)
    assert not log.may_stream(audit_log.REFILL_MS * audit_log.STREAM_RECORDS - 1)
    assert log.may_stream(audit_log.REFILL_MS * audit_log.STREAM_RECORDS)


def test_wrong_records_are_refused_and_change_nothing():
    disk = PowerLossDisk(filled({}, 2))
    before = dict(disk.written)
    log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
    wrong = (
        ("words", {}),
        ("mic", {}),
        ("mic", {"on": 1}),
        ("mic", {"on": True, "text": "hello"}),
        ("fault", {"what": "hello"}),
        ("refused", {"what": "please unmute"}),
        ("wake", {"model": "okay_nabu", "probability": 256}),
        ("wake", {"model": 'a"b', "probability": 1}),
        ("wake", {"model": "a" * 65, "probability": 1}),
        ("stream-end", {"bytes": -1, "duration_ms": 0, "reason": "cap"}),
        ("stream-end", {"bytes": b"audio", "duration_ms": 0, "reason": "cap"}),
    )
    for kind, fields in wrong:
        try:
            log.append(kind, 0, **fields)
            raise RuntimeError((kind, fields))
        except AuditError:
            pass
    assert disk.written == before
    log.append("wake", 0, model="a" * 64, probability=255)
    assert check(disk.written)[-1]["seq"] == 2


def test_random_lives():
    """Starts, records, power losses and full disks in any order: the chain never breaks."""
    for seed in range(12):
        random.seed(seed)
        files = {}
        for _ in range(12):
            disk = PowerLossDisk(files, random.randrange(20, 4000))
            try:
                log = AuditLog(storage_on(disk), FILE_BYTES, FILES)
                for i in range(random.randrange(1, 15)):
                    if random.randrange(2):
                        log.append("mic", i, on=True)
                    else:
                        log.append("fault", i, what=random.choice(("light", "network")))
                disk.cut_at = None
            except Exception as error:
                assert type(error).__name__ == "PowerLoss", repr(error)
            files = disk.after_power_loss(random.choice(("kept", "lost", "zeros")))
        disk = PowerLossDisk(files)
        AuditLog(storage_on(disk), FILE_BYTES, FILES).append("boot", 1)
        records = check(disk.written)
        assert all(r["lost"] == 0 for r in records if r["kind"] == "torn"), seed


def test_decode_needs_no_python_that_the_chip_lacks():
    files = filled({}, 1)
    assert decode(files[FILE])["kind"] == "mic"


def test_the_words_for_the_end_of_a_stream_are_in_the_order_of_the_gates_numbers():
    from satellite import gate
    from satellite.audit_record import END_REASONS

    for number, word in enumerate(END_REASONS):
        assert getattr(gate, word.upper().replace("-", "_")) == number, word


def test_the_log_has_a_word_for_every_request_that_the_protocol_refuses():
    from satellite import protocol
    from satellite.audit_record import ASKED

    for type in protocol.FROM_DEVICE:
        # Audio towards the device is refused unless it accepted a sound.
        is_refused = type not in protocol.FROM_RECEIVER or type[:6] == "audio-"
        assert (type in protocol.REFUSED) == (type in ASKED) == is_refused, type


def test_whoever_ticks_only_what_has_waiting_writes_the_same():
    """The loop asks `has_waiting` on every chunk in place of calling `tick`."""
    written = []
    for is_lazy in (False, True):
        random.seed(4)
        disk = PowerLossDisk()
        log = AuditLog(storage_on(disk), 16 * FILE_BYTES, FILES)
        log.open(0)
        skipped = 0
        for now_ms in range(0, 900000, 10000):
            if random.getrandbits(4) == 0:
                for _ in range(random.getrandbits(3)):
                    what = ("network", "overrun", "storage")[random.getrandbits(8) % 3]
                    log.append("fault", now_ms, what=what)
            if random.getrandbits(5) == 0:
                for _ in range(20):
                    log.append("refused", now_ms, what="other", source="network")
            skipped += not log.has_waiting
            if not is_lazy or log.has_waiting:
                log.tick(now_ms)
        assert 5 < skipped < 80, skipped
        written.append(disk.written)
    assert written[0] == written[1] and len(check(written[0])) > 10
