"""What `earnest log` gets of a log: the newest 20 records, wherever they lie."""

import os

from diagnostics.records import newest
from drivers.storage import Files
from satellite.audit_log import AuditLog, file_name

FOLDER = "/tmp/earnest-records-%d" % (id(object()) & 0xFFFFFF)


def in_folder(count, file_bytes):
    """An AuditLog of `count` records in an empty folder, which is the current one."""
    try:
        os.mkdir(FOLDER)
    except OSError:
        pass
    os.chdir(FOLDER)
    for name in os.listdir():
        os.remove(name)
    log = AuditLog(Files("."), file_bytes, 4)
    for i in range(count):
        log.append("mic", 15000 * i, on=bool(i & 1))
    return log


def check(log, count):
    """The newest `count`, without a gap, to the last one."""
    got = [record["seq"] for record in newest(count)]
    assert got == list(range(log.seq - count + 1, log.seq + 1)), (got, log.seq)


def test_twenty_records_also_soon_after_a_rotation():
    for count in range(20, 60, 3):
        check(in_folder(count, 4096), 20)


def test_twenty_records_over_more_than_two_files():
    log = in_folder(60, 2048)
    assert os.stat(file_name(3))[6] > 0
    check(log, 20)
    check(log, 3)


def test_twenty_records_of_the_greatest_length():
    log = in_folder(1, 16384)
    for _ in range(30):
        log.append("boot", 1 << 40, firmware="v" * 64, reset="brownout", preroll_ms=500)
    check(log, 20)


def test_fewer_where_there_are_fewer():
    log = in_folder(7, 4096)
    assert [record["seq"] for record in newest(20)] == list(range(log.seq + 1))
    assert [record["seq"] for record in newest(100)] == list(range(log.seq + 1))


def test_what_a_power_loss_tore_is_left_out():
    in_folder(3, 4096)
    with open("audit.jsonl", "ab") as file:
        file.write(b'{"v":1,"seq":3,"t')
    assert [record["seq"] for record in newest(20)] == [0, 1, 2]
    os.remove("audit.jsonl")
    assert newest(20) == []
