"""What the real receiver deletes, and when it confirms that it did."""

import contextlib
import json
import time

import pytest

from firmware.satellite import protocol
from host_tools.receiver import authority, recording
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE, DeviceList
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    Device,
    audio_files,
    earnest,
    new_device,
    receiving,
    recordings_in,
)

NOTHING = {"keep_recordings": False, "share_for_training": False}


def written(credentials, folder):
    """The folder with what a device got."""
    folder.mkdir()
    (folder / KEY_FILE).write_bytes(credentials.key)
    (folder / CERTIFICATE_FILE).write_bytes(credentials.certificate)
    (folder / CA_FILE).write_bytes(credentials.ca)
    return folder


def test_withdrawn_consent_deletes_what_was_kept_under_it_and_confirms(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver:
        with Device(receiver.port, office) as device:
            device.say(SPEECH[:640], keep=True, share=True)
            others = receiver.wait("stream-stop")["recording"]
        with Device(receiver.port, kitchen) as device:
            for number in range(3):
                device.say(SPEECH[:3200], keep=True, share=True, stream=f"{number:016x}")
                receiver.wait("stream-stop")
            wishes = {"keep_recordings": True, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 0}
            shares = {
                path.stem: json.loads(path.read_text())["share_for_training"]
                for path in data.glob("*.json")
                if path.name != "devices.json"
            }
            assert len(shares) == 4 and [id for id in shares if shares[id]] == [others]
            # In the middle of a stream it holds for that stream, too.
            device.consent(keep=True)
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:3200])
            wishes = {"keep_recordings": False, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 3}
            assert [path.stem for path in audio_files(data)] == [others]
            device.audio(SPEECH[:3200])
            device.send(protocol.AUDIO_STOP)
            assert receiver.wait("stream-stop")["recording"] is None
    assert [path.stem for path in audio_files(data)] == [others]
    assert recordings_in(data) == sorted([f"{others}.sealed", f"{others}.json", "devices.json"])


def test_a_withdrawal_in_the_same_packet_as_the_end_of_a_stream_deletes_it(data):
    """The stream is still on its way to the disk when the withdrawal arrives."""
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        for number in range(5):
            device.consent(keep=True, stream=f"{number:016x}")
            device.socket.sendall(
                protocol.encode(protocol.AUDIO_START, FORM)
                + protocol.encode(protocol.AUDIO_CHUNK, FORM, SPEECH[:640])
                + protocol.encode(protocol.AUDIO_STOP)
                + protocol.encode(protocol.CONSENT_WITHDRAWN, NOTHING)
            )
            assert device.expect(protocol.DELETED).data == {"count": 1}
            assert audio_files(data) == []


def test_a_newer_connection_replaces_the_older_one_and_drops_its_stream(data):
    """Of a half-dead connection: its stream is not kept, whatever still arrives on it."""
    folder = new_device(data, "kitchen")
    with receiving(data, "--max-connections", 1) as receiver:
        with Device(receiver.port, folder) as older:
            older.consent(keep=True, share=True)
            older.send(protocol.AUDIO_START, FORM)
            older.audio(SPEECH[:3200])
            receiver.wait("stream-start")
            with Device(receiver.port, folder) as newer:
                wishes = {"keep_recordings": False, "share_for_training": False}
                newer.send(protocol.CONSENT_WITHDRAWN, wishes)
                assert newer.expect(protocol.DELETED).data == {"count": 0}
                stop = receiver.wait("stream-stop")
                assert stop["recording"] is None and "newer connection" in stop["reason"]
                with contextlib.suppress(OSError):
                    older.audio(SPEECH[:3200])
                    older.send(protocol.AUDIO_STOP)
                assert older.is_hung_up()
                newer.say(SPEECH[:640])
                receiver.wait("stream-stop")
    assert audio_files(data) == []


def test_a_certificate_that_was_renewed_still_withdraws_what_was_kept(data):
    kitchen = new_device(data, "kitchen")
    devices = DeviceList(data / "devices.json")
    signer = authority.open_or_make(data / "authority")
    with receiving(data) as receiver:
        with Device(receiver.port, kitchen) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
        [old] = devices.all()
        _, credentials = devices.issue("kitchen.new", signer, renews=old)
        devices.remove("kitchen")
        devices.rename("kitchen.new", "kitchen")
        renewed = written(credentials, data.parent / "renewed")
        with Device(receiver.port, renewed) as device:
            wishes = {"keep_recordings": False, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 1}
    assert audio_files(data) == []


@pytest.mark.parametrize("name, is_confirmed", [("kitchen", True), ("hall", False)])
def test_a_device_that_was_removed_and_added_again_finds_its_recordings_or_gets_no_confirmation(
    data, name, is_confirmed
):
    """As after a lost key: under the same name it is the same device, else nobody can tell."""
    first = new_device(data, "kitchen")
    with receiving(data) as receiver:
        with Device(receiver.port, first) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
        assert earnest(data, "devices", "remove", "kitchen").returncode == 0
        again = data.parent / "again"
        assert earnest(data, "devices", "add", name, "-o", again).returncode == 0
        wishes = {"keep_recordings": False, "share_for_training": False}
        with Device(receiver.port, again) as device:
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            if not is_confirmed:
                assert "not in the list" in receiver.wait("unconfirmed")["reason"]
                device.send(protocol.PING)
                device.expect(protocol.PONG)
                assert len(audio_files(data)) == 1
                assert earnest(data, "recordings", "delete", "--unlisted", "-y").returncode == 0
                device.send(protocol.CONSENT_WITHDRAWN, wishes)
            device.expect(protocol.DELETED)
    assert audio_files(data) == []


def test_what_an_earlier_version_tied_to_a_certificate_is_found_by_its_device(data):
    folder, other = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver:
        with Device(receiver.port, folder) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
    [wav] = audio_files(data)
    signer = authority.open_or_make(data / "authority")
    facts = json.loads(wav.with_suffix(".json").read_text())
    del facts["device"]
    facts |= {
        "version": 1,
        "consent": signer.consent_tag((folder / CERTIFICATE_FILE).read_bytes()),
        "created": recording.text(time.time() - 60),
    }
    wav.with_suffix(".json").write_text(json.dumps(facts))
    wishes = {"keep_recordings": False, "share_for_training": False}
    with receiving(data) as receiver:
        with Device(receiver.port, other) as device:  # it may be that device's, too
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            receiver.wait("unconfirmed")
        with Device(receiver.port, folder) as device:
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 1}
    assert audio_files(data) == []


def test_a_deletion_that_fails_is_never_confirmed_and_the_rest_goes(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        ids = []
        for number in range(3):
            device.say(SPEECH[:640], keep=True, stream=f"{number:016x}")
            ids.append(receiver.wait("stream-stop")["recording"])
        stuck = data / f"{ids[0]}.sealed"
        stuck.unlink()
        stuck.mkdir()
        (stuck / "within").touch()  # so that it cannot be removed
        wishes = {"keep_recordings": False, "share_for_training": False}
        device.send(protocol.CONSENT_WITHDRAWN, wishes)
        assert receiver.wait("deleted")["count"] == 2
        assert str(stuck) in receiver.wait("unconfirmed")["reason"]
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # and no `deleted` before it
        assert recordings_in(data) == sorted(
            [f"{ids[0]}.json", f"{ids[0]}.sealed", "devices.json"]
        )
        (stuck / "within").unlink()
        device.send(protocol.CONSENT_WITHDRAWN, wishes)
        assert device.expect(protocol.DELETED).data == {"count": 1}
    assert recordings_in(data) == ["devices.json"]


def test_a_disk_that_is_full_keeps_nothing_and_the_device_goes_on(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640], keep=True)
        receiver.wait("stream-stop")
        for path in data.glob("*.sealed"):
            path.unlink()
        data.rename(data.parent / "gone")  # as a disk that was pulled
        data.touch()
        device.say(SPEECH[:640], keep=True, stream="1" * 16)
        while "not kept" not in receiver.wait("warning")["message"]:
            pass  # of what it does at its start, on a slow computer
        assert receiver.wait("stream-stop")["recording"] is None
        device.send(
            protocol.CONSENT_WITHDRAWN, {"keep_recordings": False, "share_for_training": False}
        )
        receiver.wait("unconfirmed")
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # and no `deleted` before it


def test_an_anchor_that_cannot_be_kept_costs_no_connection(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        (data / "anchors").write_text("as a disk that is full")
        device.send(protocol.AUDIT_HEAD, {"seq": 3, "hash": "0" * 64})
        assert "not anchored" in receiver.wait("warning")["message"]
        device.send(protocol.PING)
        device.expect(protocol.PONG)


def test_recordings_expire_and_those_without_sound_facts_go(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--keep-days", 10) as receiver, Device(receiver.port, folder) as device:
        ids = []
        for number in range(4):
            device.say(SPEECH[:640], keep=True, stream=f"{number:016x}")
            ids.append(receiver.wait("stream-stop")["recording"])
    for id, changes in (
        (ids[0], {"expires": "2020-01-01T00:00:00Z"}),
        (ids[1], {"created": "2020-01-01T00:00:00Z"}),
        (ids[2], {"version": 9}),
    ):
        path = data / f"{id}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    (data / ("e" * 16 + ".sealed")).write_bytes(b"an orphan")
    (data / ("." + "e" * 16 + ".wav.1234abcd.part")).write_bytes(b"half written")
    with receiving(data, "--keep-days", 10) as receiver:
        counts = [receiver.wait("deleted")["count"] for _ in range(2)]
        assert counts == [2, 2], counts
    assert recordings_in(data) == sorted([f"{ids[3]}.sealed", f"{ids[3]}.json", "devices.json"])
    assert list(data.glob(".*")) == []
