"""`earnest devices home-key`, and the options of `earnest receive` for Home Assistant."""

import io
import json
import sys
import wave

import pytest

from host_tools.home.identity import IdentityBook
from host_tools.receiver.devices import DeviceList
from tests.fakes.receivers import earnest, new_device, receiving


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "receiver"
    new_device(folder, "kitchen")
    return folder


def wav_bytes():
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(320))
    return memory.getvalue()


def key(data, *options):
    return earnest(data, "devices", "home-key", "kitchen", *options)


def test_the_key_is_printed_alone_and_stays(data):
    done = key(data)
    id = DeviceList(data / "devices.json").named("kitchen").id
    assert done.stdout == IdentityBook(data).of(id).key_text + "\n"
    assert "port 6053" in done.stderr
    assert key(data).stdout == done.stdout
    told = json.loads(key(data, "--json").stdout)
    assert told["key"] + "\n" == done.stdout
    assert (told["device"], told["port"]) == ("kitchen", 6053) and len(told["mac"]) == 17


def test_a_new_key(data):
    before, after = key(data).stdout, key(data, "--new").stdout
    assert before != after == key(data).stdout


def test_a_device_that_is_not_there(data):
    done = earnest(data, "devices", "home-key", "hall")
    assert done.returncode == 2 and "there is no device 'hall'" in done.stderr
    assert not (data / "home-assistant.json").exists()


def test_its_address_is_told_before_any_device_has_connected(data):
    with receiving(data, "--home-assistant", "--home-port", "0") as receiver:
        assert [t["host"] for t in receiver.events if t["event"] == "home"] == ["127.0.0.1"]
    with receiving(data) as receiver:
        assert not [t for t in receiver.events if t["event"] == "home"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", "localhost", "x"])
def test_announcing_an_address_that_nobody_can_reach(data, address):
    options = ("--home-assistant", "--home-mdns", "--home-host", address)
    done = earnest(data, "receive", *options)
    assert done.returncode == 2
    assert f"cannot announce {address}: no other computer" in done.stderr
    assert "--home-host" in done.stderr


def test_without_tls_devices_cannot_be_told_apart(data):
    done = earnest(data, "receive", "--home-assistant", "--insecure")
    assert done.returncode == 2 and "cannot be told apart" in done.stderr


def test_two_who_answer_one_stream(data, tmp_path):
    (tmp_path / "reply.wav").write_bytes(wav_bytes())
    done = earnest(data, "receive", "--home-assistant", "--reply", str(tmp_path / "reply.wav"))
    assert done.returncode == 2 and "--reply does not go with --home-assistant" in done.stderr


def test_a_missing_extra_is_named_in_one_line(data, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("host_tools.home.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "aioesphomeapi", None)
    done = earnest(data, "receive", "--home-assistant")
    assert done.returncode == 2
    first, hint = done.stderr.splitlines()[-2:]
    assert first == (
        "error: the Python package aioesphomeapi is missing; it is part of earnest[home]"
    )
    assert hint.startswith("hint: ") and "pip install '.[home]'" in hint and "3.11" in hint
