"""The list of devices: ids that outlive certificates, and lists of earlier versions."""

import json
import re

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver import authority
from host_tools.receiver.devices import DeviceList


@pytest.fixture
def signer(tmp_path):
    return authority.open_or_make(tmp_path / "authority")


@pytest.fixture
def devices(tmp_path):
    return DeviceList(tmp_path / "devices.json")


def test_a_renewed_certificate_keeps_the_id_and_since_when_it_stands(devices, signer):
    old, _ = devices.issue("kitchen", signer)
    assert re.fullmatch("[0-9a-f]{16}", old.id) and old.added.endswith("Z")
    new, credentials = devices.issue("kitchen.new", signer, renews=old)
    assert (new.id, new.added) == (old.id, old.added) and new.fingerprint != old.fingerprint
    devices.remove("kitchen")
    devices.rename("kitchen.new", "kitchen")
    [listed] = devices.all()
    assert (listed.name, listed.id) == ("kitchen", old.id)
    assert devices.find(credentials.certificate) == listed


def test_a_renewal_that_failed_changes_nothing(devices, signer, tmp_path):
    old, _ = devices.issue("kitchen", signer)
    devices.issue("kitchen.new", signer, renews=old)
    devices.remove("kitchen.new")
    assert devices.all() == [old]
    assert (tmp_path / "devices.json").read_text().count('"id"') == 1
    devices.remove("kitchen")
    again, _ = devices.issue("kitchen", signer)
    assert again.id == old.id


def test_a_removed_device_is_refused_and_its_name_gets_its_recordings(devices, signer):
    old, credentials = devices.issue("kitchen", signer)
    devices.remove("kitchen")
    assert devices.all() == [] and devices.find(credentials.certificate) is None
    with pytest.raises(HostToolError, match="there is no device"):
        devices.remove("kitchen")
    other, _ = devices.issue("office", signer)
    assert other.id != old.id
    pending, _ = devices.issue("kitchen.new", signer, known_as="kitchen")
    assert pending.id == old.id
    devices.rename("kitchen.new", "kitchen")
    assert {d.name: d.id for d in devices.all()} == {"office": other.id, "kitchen": old.id}


def test_a_stolen_device_is_refused_with_the_certificate_of_a_renewal_that_broke_off(
    devices, signer
):
    old, _ = devices.issue("kitchen", signer)
    devices.issue("kitchen.new", signer, renews=old)  # the line was lost: which one it has is open
    office, _ = devices.issue("office", signer)
    assert devices.remove_every("kitchen") == old
    assert devices.all() == [office]
    assert devices.issue("kitchen", signer)[0].id == old.id


def test_an_attempt_that_failed_leaves_the_id_to_the_next(devices, signer):
    old, _ = devices.issue("kitchen", signer)
    devices.remove("kitchen")
    devices.issue("kitchen.new", signer, known_as="kitchen")
    devices.remove("kitchen.new")
    again, _ = devices.issue("kitchen.new", signer, known_as="kitchen")
    assert again.id == old.id and len(devices.all()) == 1


def test_a_name_taken_by_another_is_refused_and_a_renamed_one_takes_its_place(devices, signer):
    devices.issue("kitchen", signer)
    with pytest.raises(HostToolError, match="there is a device 'kitchen' already"):
        devices.issue("kitchen", signer)
    devices.issue("kitchen.new", signer)
    devices.rename("kitchen.new", "kitchen")
    assert [device.name for device in devices.all()] == ["kitchen"]


def test_a_list_of_an_earlier_version_gets_ids_that_stay(devices, signer, tmp_path):
    devices.issue("kitchen", signer)
    path = tmp_path / "devices.json"
    rows = json.loads(path.read_text())
    old = [{name: row[name] for name in ("name", "fingerprint", "expires")} for row in rows]
    path.write_text(json.dumps(old))
    [device] = devices.all()
    assert len(device.id) == 16 and device.added == ""
    devices.issue("office", signer)  # writes the list in today's form
    assert devices.all()[0] == device
    assert "id" in json.loads(path.read_text())[0]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "{}", '[{"name": 1}]', '[["name"]]', '[{"name": "a", "fingerprint": "b"}]']
    + ['[{"name": "a", "fingerprint": "b", "expires": "never"}]'],
)
def test_a_damaged_list_is_named(devices, tmp_path, text):
    (tmp_path / "devices.json").write_text(text)
    with pytest.raises(HostToolError, match="devices.json is damaged"):
        devices.all()
