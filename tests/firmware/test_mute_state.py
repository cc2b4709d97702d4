"""The stored mute state: open is one exact sequence of bytes, and every power loss is survived."""

import fakes  # noqa: F401
from power_loss_storage import PowerLossDisk, every_power_loss, storage_on
from satellite.mute_state import DAMAGED, FILE, MISSING, STORED, MuteState, decode, encode


def load(files):
    state = MuteState(storage_on(PowerLossDisk(files)))
    return state.load(), state.found


def saving(muted):
    return lambda storage: MuteState(storage).save(muted)


def test_what_is_stored_comes_back():
    for muted in (True, False):
        disk = PowerLossDisk()
        state = MuteState(storage_on(disk))
        state.save(muted)
        assert state.load() is muted and state.found == STORED
        assert list(disk.written) == [FILE]


def test_missing_means_muted():
    assert load({}) == (True, MISSING)


def test_whatever_is_not_false_is_stored_as_muted():
    for value in (None, 0, 1, "", "open", b""):
        assert encode(value) == encode(True), value


def test_any_other_byte_means_muted():
    data = encode(False)
    for at in range(len(data)):
        for change in range(1, 256):
            bad = bytearray(data)
            bad[at] ^= change
            assert decode(bytes(bad)) == (True, DAMAGED), (at, change)


def test_any_other_length_means_muted():
    data = encode(False)
    for at in range(len(data)):
        assert decode(data[:at]) == (True, DAMAGED), at
    for more in (b"\n", b"\0", data, bytes(1000)):
        assert load({FILE: data + more}) == (True, DAMAGED), more
    assert decode(encode(True)[:-1]) == (True, DAMAGED)


def test_a_version_that_is_not_known_means_muted():
    import binascii

    line = b"earnest mute 2 open\n"
    assert decode(line + b"%08x\n" % binascii.crc32(line)) == (True, DAMAGED)


def test_power_loss_at_every_step():
    """Muted, or as it was; and open only where it was open or a person was just opening it."""
    cases = 0
    for before in (None, True, False, b"rubbish"):
        if before is None:
            files = {}
        else:
            files = {FILE: before if isinstance(before, bytes) else encode(before)}
        was_muted = before is not False
        for after in (True, False):
            seen = set()
            for found in every_power_loss(files, saving(after)):
                muted, how = load(found)
                cases += 1
                seen.add(muted)
                assert muted in (was_muted, after), (before, after, found)
                if how == DAMAGED:
                    assert before == b"rubbish", found
            assert seen == {was_muted, after}, (before, after, seen)
    assert cases > 500, cases


def test_muting_on_a_full_disk_is_kept():
    for room in range(40):
        disk = PowerLossDisk({FILE: encode(False)}, full_at=len(encode(False)) + room)
        MuteState(storage_on(disk)).save(True)
        assert load(disk.written)[0] is True, room


def test_power_loss_while_muting_on_a_full_disk():
    disk = PowerLossDisk({FILE: encode(False)}, full_at=len(encode(False)) + 5)
    MuteState(storage_on(disk)).save(True)
    total = disk.steps
    for cut_at in range(total):
        disk = PowerLossDisk({FILE: encode(False)}, cut_at, len(encode(False)) + 5)
        try:
            MuteState(storage_on(disk)).save(True)
        except Exception as error:
            assert type(error).__name__ == "PowerLoss", repr(error)
        assert load(disk.after_power_loss())[1] in (STORED, MISSING)


def test_opening_on_a_full_disk_raises_and_stays_muted():
    disk = PowerLossDisk({FILE: encode(True)}, full_at=len(encode(True)) + 5)
    try:
        MuteState(storage_on(disk)).save(False)
        raise RuntimeError("stored")
    except OSError:
        pass
    assert load(disk.written) == (True, STORED)


def test_a_storage_that_fails_means_muted():
    class Failing:
        def read(self, name, limit):
            raise OSError(5)

    state = MuteState(Failing())
    assert state.load() is True and state.found == DAMAGED
