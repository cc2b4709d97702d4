"""The consent that the device remembers: what was allowed once stays due until it was deleted."""

from satellite.consent import FILE, Consent


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


WISHES = ((False, False), (True, False), (True, True))


def start(storage, wishes):
    consent = Consent(storage, *wishes)
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
    for data in (b"", good[:-1], good + b" ", good.replace(b"1", b"2"), good * 10):
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
