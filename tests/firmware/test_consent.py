"""The consent that the device remembers: what was allowed once stays due until it was deleted."""

from diagnostics import text
from satellite.config import Config
from satellite.consent import FILE, MAX_BYTES, MAX_RECEIVERS, Consent, receiver_id


class Storage:
    def __init__(self):
        self.files = {}
        self.writes = 0
        self.fails = False

    def read(self, name, limit):
        if self.fails:
            raise OSError(5)
        data = self.files.get(name)
        return None if data is None else data[:limit]

    def write_atomic(self, name, data):
        self.writes += 1
        self.files[name] = data

    def remove(self, name):
        self.files.pop(name, None)


HERE, THERE = b"a" * 16, b"b" * 16
WISHES = ((False, False), (True, False), (True, True))


def start(storage, wishes, receiver=HERE):
    consent = Consent(storage, *wishes, receiver)
    consent.load()
    return consent


def due(keep, share):
    return {"keep_recordings": keep, "share_for_training": share}


def test_every_path_through_three_starts():
    """Whatever was used under a wider consent is due, until it was confirmed."""
    for first in WISHES:
        for second in WISHES:
            for third in WISHES:
                for confirms in (False, True):
                    storage = Storage()
                    kept = [False, False]
                    for wishes in (first, second, third):
                        consent = start(storage, wishes)
                        is_less = any(was and not now for was, now in zip(kept, wishes))
                        assert consent.withdrawal() == (due(*wishes) if is_less else None)
                        if is_less and confirms:
                            consent.confirmed()
                            kept = list(wishes)
                            assert start(storage, wishes).withdrawal() is None
                        consent.use()
                        kept = [was or now for was, now in zip(kept, wishes)]
                    if not any(kept):
                        assert not storage.files


def test_a_storage_that_cannot_be_read_means_that_something_may_be_kept():
    storage = Storage()
    storage.fails = True
    assert start(storage, (False, False)).withdrawal() == due(False, False)


def test_a_file_that_is_damaged_or_too_long_means_that_something_may_be_kept():
    storage = Storage()
    consent = start(storage, (True, False))
    consent.use()
    good = storage.files[FILE]
    for data in (b"", good[:-1], good + b" ", good.replace(b"2", b"3"), good * 10):
        storage.files[FILE] = data
        assert start(storage, (True, False)).withdrawal() == due(True, False), data


def test_it_is_written_once_and_not_at_each_stream():
    storage = Storage()
    consent = start(storage, (True, True))
    for _ in range(5):
        consent.use()
    assert storage.writes == 1
    consent = start(storage, (False, False))
    consent.confirmed()
    assert not storage.files and consent.withdrawal() is None


def test_another_receiver_cannot_confirm_what_the_first_one_kept():
    storage = Storage()
    start(storage, (True, True), THERE).use()
    moved = start(storage, (False, False), HERE)
    assert moved.withdrawal() == due(False, False) and moved.due_elsewhere() == 1
    moved.confirmed()
    assert moved.due_elsewhere() == 1 and storage.files
    assert start(storage, (False, False), HERE).withdrawal() == due(False, False)
    back = start(storage, (False, False), THERE)
    assert back.due_elsewhere() == 0 and back.withdrawal() == due(False, False)
    back.confirmed()
    assert not storage.files and start(storage, (False, False), HERE).withdrawal() is None


def test_what_both_may_keep_is_due_at_both():
    storage = Storage()
    start(storage, (True, False), THERE).use()
    here = start(storage, (True, False), HERE)
    assert here.withdrawal() is None and here.due_elsewhere() == 0  # nothing was withdrawn
    here.use()
    here = start(storage, (False, False), HERE)
    assert here.due_elsewhere() == 1
    here.confirmed()
    assert here.withdrawal() == due(False, False) and here.due_elsewhere() == 1
    there = start(storage, (False, False), THERE)
    there.confirmed()
    assert not storage.files


def test_many_receivers_are_some_receivers_and_still_due():
    storage = Storage()
    for number in range(3 * MAX_RECEIVERS):
        start(storage, (True, number == 0), b"%016x" % (number + 1)).use()
    assert len(storage.files[FILE]) <= MAX_BYTES
    consent = start(storage, (True, False), HERE)
    assert consent.withdrawal() == due(True, False) and consent.due_elsewhere() == 1
    assert start(storage, (False, False), HERE).due_elsewhere() == MAX_RECEIVERS


def test_a_file_of_an_earlier_version_is_about_the_receiver_that_there_is():
    storage = Storage()
    storage.files[FILE] = b"earnest consent 1 keep=1 share=0\n"
    consent = start(storage, (False, False), HERE)
    assert consent.withdrawal() == due(False, False) and consent.due_elsewhere() == 0
    consent.confirmed()
    assert not storage.files


def test_a_file_of_an_earlier_version_stays_about_that_receiver_when_another_follows():
    storage = Storage()
    storage.files[FILE] = b"earnest consent 1 keep=1 share=0\n"
    start(storage, (True, False), HERE)  # the first start of the new firmware
    elsewhere = start(storage, (False, False), THERE)
    assert elsewhere.withdrawal() == due(False, False) and elsewhere.due_elsewhere() == 1
    elsewhere.confirmed()  # by the other receiver, which never had anything
    assert start(storage, (False, False), THERE).due_elsewhere() == 1
    again = start(storage, (False, False), HERE)
    assert again.withdrawal() == due(False, False)
    again.confirmed()
    assert not storage.files


def test_a_receiver_is_known_by_its_ca_and_in_plain_text_by_its_address():
    storage = Storage()
    storage.files = {"ca.cert.der": b"one", "other.der": b"two"}

    def known(**fields):
        return receiver_id(Config(fields), storage)

    first = known(receiver_host="10.0.0.1", ssl_ca="ca.cert.der")
    assert len(first) == 16 and first == known(receiver_host="10.0.0.2", ssl_ca="ca.cert.der")
    assert first != known(receiver_host="10.0.0.1", ssl_ca="other.der")
    plain = known(receiver_host="10.0.0.1", insecure=True)
    assert plain not in (first, known(receiver_host="10.0.0.2", insecure=True))
    storage.fails = True
    assert len(known(receiver_host="10.0.0.1")) == 16


def test_status_says_what_is_due_elsewhere_and_nothing_when_nothing_is():
    status = {"models": (), "faults": (), "last_error": "", "consent": {"due_elsewhere": 0}}
    for name in ("firmware", "micropython", "board", "state", "reset"):
        status[name] = "x"
    status["heap_free_bytes"] = status["heap_used_bytes"] = 0
    assert not [line for line in text.status_lines(status) if "consent" in line]
    status["consent"]["due_elsewhere"] = 2
    lines = [line for line in text.status_lines(status) if "consent" in line]
    assert lines == ["consent     withdrawn, but not at 2 earlier receivers"]
