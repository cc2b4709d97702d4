"""The storage driver on the board's file system: LittleFS in RAM, its power cut at any write."""

import os

import fakes  # noqa: F401
from drivers.storage import Files
from flash_in_ram import BLOCKS, FlashInRam
from power_loss_storage import PowerLossDisk, storage_on
from satellite.audit_log import AuditLog, file_name
from satellite.audit_record import split, verify
from satellite.mute_state import FILE as MUTE_FILE
from satellite.mute_state import MISSING, MuteState

MOUNT = "/flash"


def mounted(flash):
    """Files on this flash, mounted anew as after a reset."""
    try:
        os.umount(MOUNT)
    except OSError:
        pass
    os.mount(os.VfsLfs2(flash), MOUNT)
    return Files(MOUNT)


def formatted():
    flash = FlashInRam()
    os.VfsLfs2.mkfs(flash)
    return flash


def each_storage():
    yield mounted(formatted())
    yield storage_on(PowerLossDisk())


def test_the_methods():
    for storage in each_storage():
        assert storage.read("a", 9) is None and storage.size("a") == -1
        storage.write_atomic("a", b"")
        assert storage.read("a", 9) == b"" and storage.size("a") == 0
        storage.write_atomic("a", b"hello")
        storage.append("a", b" world")
        storage.append("b", b"new")
        assert storage.read("a", 100) == b"hello world" and storage.size("a") == 11
        assert storage.read("a", 5) == b"hello" and storage.read("b", 100) == b"new"
        storage.rename("b", "a")
        assert storage.read("a", 100) == b"new" and storage.size("b") == -1
        storage.remove("a")
        storage.remove("a")
        assert storage.size("a") == -1
        assert 0 < storage.free_bytes() <= 1 << 20


def test_a_rename_of_nothing_raises():
    for storage in each_storage():
        try:
            storage.rename("none", "a")
            raise RuntimeError("renamed")
        except OSError:
            pass


def test_a_full_flash_raises_and_keeps_the_old_file():
    storage = mounted(formatted())
    storage.write_atomic("a", b"old")
    try:
        storage.write_atomic("a", bytes(BLOCKS * 4096))
        raise RuntimeError("written")
    except OSError:
        pass
    assert storage.read("a", 10) == b"old"
    storage.remove("a.new")
    MuteState(storage).save(True)
    assert MuteState(storage).load() is True


def every_cut(start, work):
    """Yields a storage after `work` on a copy of the flash lost its power at each write."""
    flash = start.copy()
    work(mounted(flash))
    total = flash.writes
    assert total > 0
    for cut_at in range(total):
        for is_torn in (False, True):
            flash = start.copy()
            storage = mounted(flash)
            flash.cut(cut_at - flash.writes, is_torn)
            try:
                work(storage)
            except OSError:
                pass
            assert flash.is_off
            flash.on()
            yield mounted(flash)


def saving(muted):
    return lambda storage: MuteState(storage).save(muted)


def test_the_mute_state_survives_every_cut():
    cases = 0
    for before in (None, True, False):
        start = formatted()
        if before is not None:
            MuteState(mounted(start)).save(before)
        was_muted = before is not False
        for after in (True, False):
            for storage in every_cut(start, saving(after)):
                state = MuteState(storage)
                muted = state.load()
                assert muted in (was_muted, after), (before, after)
                assert state.found != MISSING or before in (None, False), (before, after)
                cases += 1
                MuteState(storage).save(True)
                assert MuteState(storage).load() is True
    assert cases > 20, cases


def test_the_audit_log_survives_every_cut():
    start = formatted()
    log = AuditLog(mounted(start), 2048, 2)
    for i in range(8):
        log.append("mic", i, on=True)
    seq = log.seq

    def work(storage):
        log = AuditLog(storage, 2048, 2)
        for i in range(3):
            log.append("mute", i, on=True, source="button")

    cases = 0
    for storage in every_cut(start, work):
        log = AuditLog(storage, 2048, 2)
        log.open(0)
        assert log.seq >= seq, (log.seq, seq)
        log.append("boot", 0)
        lines = []
        for age in (2, 1, 0):
            lines += split(storage.read(file_name(age), 9999) or b"")
        records, problems = verify(lines, storage.read("audit.head", 999))
        assert not problems and records[-1]["kind"] == "boot", problems
        cases += 1
    assert cases > 20, cases


def test_the_mute_file_is_small_enough_to_be_read_whole():
    storage = mounted(formatted())
    MuteState(storage).save(False)
    assert 0 < storage.size(MUTE_FILE) <= 64
