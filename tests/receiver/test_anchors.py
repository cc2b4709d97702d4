"""What the receiver keeps of a device's log: owner-only, bounded, whole after a power loss."""

from __future__ import annotations

import sys

import pytest

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import anchors as anchor_files
from host_tools.receiver.anchors import Anchor, Anchors
from host_tools.receiver.session import Anchored, Session
from tests.fakes.receivers import Device, new_device, serving


def anchor(number: int) -> Anchor:
    return Anchor(number, f"{number:064x}", 1000.5 + number)


def test_what_was_added_is_read_again_for_that_device_alone(tmp_path):
    anchors = Anchors(tmp_path)
    assert anchors.of("a") == [] and anchors.devices() == []
    for number in (1, 2, 2, 5):
        anchors.add("a", anchor(number))
    anchors.add("b", anchor(3))
    again = Anchors(tmp_path)
    assert again.of("a") == [anchor(1), anchor(2), anchor(5)] and again.of("b") == [anchor(3)]
    assert again.devices() == ["a", "b"]


def test_an_anchor_that_contradicts_the_last_one_is_told(tmp_path):
    anchors = Anchors(tmp_path)
    assert [anchors.add("a", anchor(n)) for n in (1, 1, 5, 5)] == [None] * 4
    other = Anchor(5, "f" * 64, 2000.0)
    assert anchors.add("a", other) == anchor(5), "the same record, with another hash"
    assert anchors.add("a", anchor(3)) == other and anchors.add("a", anchor(4)) is None
    assert anchors.add("b", anchor(0)) is None


def test_the_receiver_tells_at_once_that_a_log_was_cut(tmp_path):
    folder = new_device(tmp_path / "data", "kitchen")
    with serving(tmp_path / "data") as receiver, Device(receiver.port, folder) as device:
        for seq in (5, 6, 2):
            device.send(protocol.AUDIT_HEAD, {"seq": seq, "hash": f"{seq:064x}"})
        message = receiver.wait("warning", device="kitchen")["message"]
        assert message.startswith(
            "its log was restarted or cut: its newest record is 2, and was 6"
        )
        assert receiver.count("warning") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_the_files_are_the_owners_alone(tmp_path):
    Anchors(tmp_path).add("a", anchor(1))
    folder = tmp_path / anchor_files.FOLDER
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "a.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_file_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(anchor_files, "MAX_ANCHORS", 5)
    anchors = Anchors(tmp_path)
    for number in range(38):
        anchors.add("a", anchor(number))
        assert len(anchors.of("a")) <= 10
    assert anchors.of("a")[-5:] == [anchor(number) for number in range(33, 38)]


def test_a_line_that_was_cut_off_is_left_out_and_does_not_spoil_the_next(tmp_path):
    anchors = Anchors(tmp_path)
    anchors.add("a", anchor(1))
    anchors.add("a", anchor(2))
    path = tmp_path / anchor_files.FOLDER / "a.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert anchors.of("a") == [anchor(1)]
    anchors.add("a", anchor(3))
    assert anchors.of("a") == [anchor(1), anchor(3)]


@pytest.mark.parametrize(
    "line", [b"x", b"[]", b'{"v":2}', b'{"v":1,"seq":-1,"told_s":1}', b"\xff"]
)
def test_a_line_that_is_not_an_anchor_is_left_out(tmp_path, line):
    anchors = Anchors(tmp_path)
    anchors.add("a", anchor(1))
    path = tmp_path / anchor_files.FOLDER / "a.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert anchors.of("a") == [anchor(1)]


def test_no_id_leads_out_of_the_folder(tmp_path):
    for id in ("../a", "", "a/b", "a" * 65):
        with pytest.raises(HostToolError):
            Anchors(tmp_path).add(id, anchor(1))
    assert list(tmp_path.iterdir()) == []


def test_the_session_hands_an_anchor_on_at_any_time():
    session = Session(0.0)
    event = protocol.Event(protocol.AUDIT_HEAD, {"seq": 7, "hash": "ab" * 32})
    for _ in range(300):  # these are no messages of unknown type
        assert session.handle(event, 1.0) == [Anchored(7, "ab" * 32)]
