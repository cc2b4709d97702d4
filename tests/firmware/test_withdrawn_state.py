"""The stored withdrawal: while its file is there nothing may be kept, whatever is in it."""

import fakes  # noqa: F401
from power_loss_storage import PowerLossDisk, every_power_loss, storage_on
from satellite.config import Config
from satellite.withdrawn_state import CONTENT, FILE, MAX_BYTES, WithdrawnState

GIVEN = Config({"keep_recordings": True, "share_for_training": True})


def allowed(files):
    """(what may be kept at a start with these files, the state)"""
    state = WithdrawnState(storage_on(PowerLossDisk(files)))
    config = state.applied_to(GIVEN)
    return config.keep_recordings or config.share_for_training, state


def storing(storage):
    state = WithdrawnState(storage)
    state.applied_to(GIVEN)
    state.store()
    assert state.is_stored


def test_without_a_file_the_configuration_counts():
    is_allowed, state = allowed({})
    assert is_allowed and not state.is_stored and not state.is_damaged
    assert state.applied_to(GIVEN) is GIVEN


def test_what_is_stored_takes_both_consents_and_nothing_else():
    disk = PowerLossDisk()
    storing(storage_on(disk))
    assert disk.written == {FILE: CONTENT} and len(CONTENT) <= MAX_BYTES
    state = WithdrawnState(storage_on(disk))
    config = state.applied_to(GIVEN)
    assert config.to_json() == Config({}).to_json()
    assert state.is_stored and not state.is_damaged


def test_a_file_of_any_other_content_takes_them_too():
    others = [CONTENT[:at] for at in range(len(CONTENT))] + [CONTENT + b"\n", bytes(1000)]
    for at in range(len(CONTENT)):
        others.append(CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :])
    for other in others:
        is_allowed, state = allowed({FILE: other})
        assert not is_allowed and state.is_damaged and not state.is_stored, other
        state.store()
        assert state.is_stored and not state.is_damaged


def test_a_storage_that_cannot_be_read_takes_them_too():
    class Failing:
        def read(self, name, limit):
            raise OSError(5)

    state = WithdrawnState(Failing())
    assert not state.applied_to(GIVEN).keep_recordings and state.is_damaged


def test_power_loss_at_every_step():
    """As it was, or withdrawn; never given again."""
    seen = set()
    for found in every_power_loss({}, storing):
        is_allowed, state = allowed(found)
        seen.add(is_allowed)
        assert state.is_stored is not is_allowed and not state.is_damaged, found
    assert seen == {True, False}
    for before in (CONTENT, b"rubbish"):
        for found in every_power_loss({FILE: before}, storing):
            assert not allowed(found)[0], (before, found)


def test_on_a_full_disk_it_is_not_stored_and_says_so():
    disk = PowerLossDisk({}, full_at=len(CONTENT) - 1)
    state = WithdrawnState(storage_on(disk))
    try:
        state.store()
        raise RuntimeError("stored")
    except OSError:
        pass
    assert not state.is_stored and FILE not in disk.written


def test_what_reads_back_as_something_else_is_not_stored():
    class Lying:
        def write_atomic(self, name, data):
            pass

        def read(self, name, limit):
            return None

    state = WithdrawnState(Lying())
    try:
        state.store()
        raise RuntimeError("stored")
    except OSError:
        pass
    assert not state.is_stored
