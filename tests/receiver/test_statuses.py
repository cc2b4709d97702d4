"""The status that a device told last: kept for its owner alone, shown by `earnest devices`."""

import dataclasses
import json
import stat

import pytest

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import Status
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.statuses import Statuses, ToldStatus
from tests.fakes.receivers import STATUS, Device, earnest, new_device, serving


def test_what_a_device_told_last_is_kept_and_listed(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    new_device(data, "office")
    with serving(data) as receiver, Device(receiver.port, folder) as device:
        device.tell_status()
        device.tell_status(muted=True, listening=False)
        receiver.wait("status", muted=True)
    kitchen, office = (
        json.loads(r) for r in earnest(data, "devices", "list", "--json").stdout.splitlines()
    )
    assert kitchen["status"] == {**STATUS, "muted": True, "listening": False}
    assert kitchen["told"].endswith("Z") and office["status"] is office["told"] is None
    _, line, other = earnest(data, "devices", "list").stdout.splitlines()
    assert "muted, volume 60 %, 20" in line and other.endswith("nothing")
    [path] = (data / "statuses").iterdir()
    assert path.name == kitchen["id"] + ".json" and stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{")
    assert (
        json.loads(earnest(data, "devices", "list", "--json").stdout.splitlines()[0])["status"]
        is None
    )


def test_what_a_removed_device_told_goes_with_it(tmp_path):
    new_device(tmp_path, "kitchen")
    new_device(tmp_path, "office")
    ids = {d.name: d.id for d in DeviceList(tmp_path / "devices.json").all()}
    for id in ids.values():
        Statuses(tmp_path).keep(id, ToldStatus(Status.of(STATUS), 1.0))
    assert earnest(tmp_path, "devices", "remove", "kitchen").returncode == 0
    assert [path.stem for path in (tmp_path / "statuses").iterdir()] == [ids["office"]]


def test_only_a_status_as_documented_is_read(tmp_path):
    statuses = Statuses(tmp_path)
    told = ToldStatus(Status.of({**STATUS, "words": ["a", "b"]}), 12.5)
    statuses.keep("0" * 16, told)
    assert statuses.of("0" * 16) == told and statuses.of("1" * 16) is None
    path = tmp_path / "statuses" / ("0" * 16 + ".json")
    good = json.loads(path.read_text())
    for bad in (
        {**good, "v": 2},
        {**good, "status": {**good["status"], "volume": 101}},
        {**good, "status": {**good["status"], "words": []}},
        {"v": 1},
        [],
    ):
        path.write_text(json.dumps(bad))
        assert statuses.of("0" * 16) is None
    with pytest.raises(HostToolError):
        statuses.of("../devices")


def test_a_status_has_every_field_of_the_message():
    assert {field.name for field in dataclasses.fields(Status)} == set(STATUS)
    for name in STATUS:
        data = {key: value for key, value in STATUS.items() if key != name}
        if name in ("firmware", "off_by", "cutoffs"):  # an older device says none of them
            assert getattr(Status.of(data), name) is None
        elif name == "withdraw":
            assert Status.of(data).withdraw is False
        else:
            with pytest.raises(protocol.ProtocolError, match=f"without {name}"):
                Status.of(data)
