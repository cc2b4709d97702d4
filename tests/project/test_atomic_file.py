"""The one writer of whole files: what a failure leaves, and what it never overwrites."""

import os
import stat

import pytest

from host_tools import atomic_file
from host_tools.errors import HostToolError


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old and longer")
    atomic_file.write(path, b"new", mode=atomic_file.OWNER_ONLY_MODE)
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostToolError, match="No space left"):
        atomic_file.write(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_may_not_be_replaced_stays(tmp_path):
    path = tmp_path / "a"
    atomic_file.write(path, b"first", may_replace=False)
    with pytest.raises(HostToolError, match="exists already"):
        atomic_file.write(path, b"second", may_replace=False)
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(HostToolError, match="cannot write"):
        atomic_file.write(tmp_path / "none" / "a", b"")
