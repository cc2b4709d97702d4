"""What a device is to Home Assistant: stable, secret where it must be, and nobody's name."""

import base64
import json
import os
import stat

import pytest

from host_tools.errors import HostToolError
from host_tools.home.identity import FILE, IdentityBook

ONE, TWO = "0123456789abcdef", "fedcba9876543210"


def test_an_identity_stays_and_no_two_are_alike(tmp_path):
    book = IdentityBook(tmp_path)
    one, two = book.of(ONE), book.of(TWO)
    assert IdentityBook(tmp_path).of(ONE) == one != two
    assert one.place == 0 and two.place == 1
    assert one.key != two.key and one.mac != two.mac
    assert len(one.key) == 32 and base64.b64decode(one.key_text) == one.key


def test_the_address_is_locally_administered_and_says_nothing_of_the_device(tmp_path):
    macs = set()
    for number in range(50):
        identity = IdentityBook(tmp_path / str(number)).of(ONE)
        first = int(identity.mac[:2], 16)
        assert first & 0x02 and not first & 0x01
        assert identity.mac.count(":") == 5 and len(identity.mac) == 17
        assert identity.name == "earnest-" + identity.mac.replace(":", "")[6:]
        macs.add(identity.mac)
    assert len(macs) == 50, "another receiver must not give the same device the same address"


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_only_the_owner_may_read_the_keys_and_no_text_shows_them(tmp_path):
    identity = IdentityBook(tmp_path).of(ONE)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert identity.key_text not in repr(identity) and "key" not in repr(identity)


def test_a_new_key_replaces_the_old_one_and_nothing_else(tmp_path):
    book = IdentityBook(tmp_path)
    before, other = book.of(ONE), book.of(TWO)
    after = book.renew_key(ONE)
    assert after.key != before.key and book.of(ONE) == after
    assert (after.mac, after.place) == (before.mac, before.place) and book.of(TWO) == other


def bent(book, value, *path):
    """The book with `value` at this place; None takes it out."""
    part = book
    for name in path[:-1]:
        part = part[name]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return book


@pytest.mark.parametrize(
    "value, path",
    [
        (None, ("secret",)),
        ("00", ("secret",)),
        ("x", ("secret",)),
        (None, ("devices",)),
        ([], ("devices",)),
        (None, ("devices", ONE, "key")),
        ("AAAA", ("devices", ONE, "key")),
        ("?" * 44, ("devices", ONE, "key")),
        (-1, ("devices", ONE, "place")),
        (True, ("devices", ONE, "place")),
        ("0", ("devices", ONE, "place")),
        (1, ("devices", ONE, "place")),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_guessed(tmp_path, value, path):
    book = IdentityBook(tmp_path)
    for id in (ONE, TWO):
        book.of(id)
    content = bent(json.loads((tmp_path / FILE).read_text()), value, *path)
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(HostToolError, match="home-assistant.json is damaged"):
        book.of(ONE)
