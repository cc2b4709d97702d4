"""`earnest provision` against the real MicroPython on a pseudo-terminal."""

import json
import os
import re
import subprocess
import sys
import tempfile

import pytest

from firmware.satellite import config as configuration
from host_tools import cli
from host_tools.board import personal_data
from host_tools.errors import HostToolError
from host_tools.receiver import authority as authorities
from host_tools.receiver.devices import DeviceList
from tests.fakes.board.small_firmware import at_operation

SECRET = "pa$$ \"w\\ord' 12"
OTHER = "another-secret-9"
NAMES = ("config.json", "device.key.der", "device.cert.der", "ca.cert.der")
NO, KEEP = "n", ""


def answers(ssid="home", password=SECRET, host="192.0.2.7", keep=NO, name="kitchen", write="y"):
    """What a person types on a board that knows nothing yet."""
    lines = [ssid, password, host, KEEP, KEEP, keep]
    lines += [NO] if keep == "y" else []
    return [*lines, NO, *([name] if name else []), write]


def provision(board, data, *arguments, typed=(), command="provision", timeout_s=60):
    """Run the command as a person would; (status, everything it showed)."""
    port = ["--port", board.port, "--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "host_tools", "--debug", command, *port, *map(str, arguments)],
        input="".join(line + "\n" for line in typed).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        start_new_session=True,
    )
    shown = done.stdout.decode()
    for secret in (SECRET, OTHER):
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert form not in shown
    return done.returncode, shown


def stored(board, name="config.json"):
    return (board.folder / name).read_bytes()


def write_source(path, mode=0o600, **fields):
    path.write_text(json.dumps(fields))
    path.chmod(mode)
    return path


def test_from_scratch_then_nothing_then_a_change(board, tmp_path):
    data = tmp_path / "data"
    status, shown = provision(board, data, typed=answers())
    assert status == 0, shown
    config = configuration.Config.from_json(stored(board))
    assert (config.wifi_ssid, config.wifi_password) == ("home", SECRET)
    assert (config.receiver_host, config.receiver_port) == ("192.0.2.7", 10780)
    private = (config.keep_recordings, config.share_for_training, config.insecure)
    assert private == (False, False, False) and config.preroll_ms == 0
    assert sorted(os.listdir(board.folder)) == sorted(NAMES)
    (device,) = DeviceList(data / "devices.json").all()
    assert device.name == "kitchen"
    assert DeviceList(data / "devices.json").find(stored(board, "device.cert.der")) == device
    signer = authorities.open_or_make(data / "authority")
    assert stored(board, "ca.cert.der") == signer.certificate_der
    assert "Wi-Fi password           (hidden)" in shown and "not kept" in shown
    assert "  pre-roll                 0 ms\n" in shown and "next: earnest receive\n" in shown

    before = {name: stored(board, name) for name in NAMES}
    status, shown = provision(board, data, typed=[KEEP] * 8)
    assert status == 0 and "nothing written" in shown, shown
    assert {name: stored(board, name) for name in NAMES} == before

    # Enter keeps the password; a consent is given; the certificate stays.
    status, shown = provision(board, data, typed=[KEEP] * 5 + ["y", "n", KEEP, "y"])
    assert status == 0 and "may be kept" in shown, shown
    changed = configuration.Config.from_json(stored(board))
    assert changed.wifi_password == SECRET and changed.keep_recordings is True
    assert stored(board, "device.key.der") == before["device.key.der"]


def test_another_network_wants_its_own_password(board, tmp_path):
    data = tmp_path / "data"
    provision(board, data, typed=answers())
    status, shown = provision(board, data, typed=["guests", KEEP, KEEP, KEEP, KEEP, NO, NO, "y"])
    assert status == 0, shown
    config = configuration.Config.from_json(stored(board))
    assert (config.wifi_ssid, config.wifi_password) == ("guests", "")


def test_from_a_file_for_two_boards_and_a_renewal(board, tmp_path):
    data = tmp_path / "data"
    source = write_source(
        tmp_path / "boards.json",
        wifi_ssid="home",
        wifi_password=OTHER,
        receiver_host="receiver.home.arpa",
        boards={"kitchen": {"brightness": 20}, "hall": {"muted_on_boot": True}},
    )
    for name, brightness, muted in (("kitchen", 20, False), ("hall", 64, True)):
        status, shown = provision(board, data, "--from", source, "--name", name, "--yes")
        assert status == 0 and "warning" not in shown, shown
        config = configuration.Config.from_json(stored(board))
        assert (config.brightness, config.muted_on_boot) == (brightness, muted)
        assert config.wifi_password == OTHER
        for file in board.folder.iterdir():  # the next board
            file.unlink()
        if name == "kitchen":
            status, shown = provision(board, data, "--from", source, "--name", "hall", "--yes")
            for file in board.folder.iterdir():
                file.unlink()
            DeviceList(data / "devices.json").remove("hall")
    assert [d.name for d in DeviceList(data / "devices.json").all()] == ["kitchen", "hall"]

    status, shown = provision(board, data, "--from", source, "--name", "kitchen", "--yes")
    assert status == 2 and "there is a device 'kitchen' already" in shown, shown
    assert list(board.folder.iterdir()) == []


def test_a_new_certificate_replaces_the_old_one(board, tmp_path):
    data = tmp_path / "data"
    source = write_source(tmp_path / "b.json", receiver_host="192.0.2.7")
    common = ("--from", source, "--name", "kitchen", "--yes", "--json")
    status, shown = provision(board, data, *common)
    assert status == 0 and json.loads(shown.splitlines()[-1])["written"] is True, shown
    old = stored(board, "device.cert.der")
    others = ("mine/other.der", "mine/other.der.new")
    for name in others:
        board.write(name, "not ours")
    board.write("device.2.key.der.new", "half of one")
    for expected in ("device.2.cert.der", "device.cert.der"):
        status, shown = provision(board, data, *common, "--new-certificate")
        assert status == 0, shown
        config = configuration.Config.from_json(stored(board))
        assert config.ssl_certificate == expected
        assert len(os.listdir(board.folder)) == 5  # and the folder of the others
        assert all((board.folder / name).exists() for name in others)
        new = stored(board, expected)
        (device,) = DeviceList(data / "devices.json").all()
        assert device.name == "kitchen" and new != old
        assert device.fingerprint == authorities.fingerprint(new)
        old = new


def test_the_devices_key_is_in_no_file_of_this_computer(board, tmp_path, monkeypatch):
    """Looked at while it is copied: whoever kills the command then leaves no key behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    source = write_source(tmp_path / "b.json", receiver_host="192.0.2.7")
    call = ["provision", "--port", board.port, "--data", str(tmp_path / "data")]
    found = []

    def look(piece):
        found.extend(path for path in scratch.rglob("*") if path.is_file())
        found.extend(path for path in (tmp_path / "data").rglob("*device.key*"))

    with at_operation("device.key.der.new", look) as pieces:
        assert cli.run([*call, "--from", str(source), "--name", "kitchen", "--yes"]) == 0
    assert any("device.key.der.new" in piece for piece in pieces) and found == []


BAD = [
    ({"wifi_password": OTHER + "\n"}, "wifi_password: (hidden) is not allowed"),
    ({"wifi_ssid": "x", "wifi_pasword": OTHER}, "did you mean wifi_password?"),
    ({"wifi_ssid": OTHER * 3, "wifi_password": OTHER}, "wifi_ssid"),
    ({"wifi_password": [OTHER]}, "wifi_password: (hidden) is not allowed"),
    ({"wifi_password": OTHER}, "the network's name, since there is a password"),
    ({"receiver_port": 0}, "receiver_port: 0 is not allowed"),
    ({"share_for_training": True}, "share_for_training"),
    ({"ssl_key": "a.der"}, "ssl_key is chosen by provision"),
    ({"receiver_host": "my computer"}, "hint: no spaces; an IP address is surest"),
    ({"boards": {"hall": {}}}, "hint: --name with one of: hall"),
]


def test_bad_values_send_nothing_and_show_no_secret(board, tmp_path):
    for number, (fields, words) in enumerate(BAD):
        source = write_source(tmp_path / f"{number}.json", **fields)
        status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
        assert status == 2 and words in shown, (fields, shown)
    named = ("--from", source, "--yes", "--name", "hal")
    status, shown = provision(board, tmp_path / "data", *named)
    assert status == 2 and "there is no board 'hal' in " in shown, shown
    source.write_text(f'{{"wifi_password": "{OTHER}", "wifi_password": ""}}')
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 2 and "given twice" in shown
    source.write_text(f'{{"wifi_password": "{OTHER}"')
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 2 and "is not JSON: line 1" in shown
    assert list(board.folder.iterdir()) == []


def test_bad_answers_are_asked_again(board, tmp_path):
    typed = answers()
    typed[1:1] = [OTHER[:5]]  # too short for a password
    typed[4:4] = ["99999", "no port"]
    typed[3:3] = ["my computer"]
    status, shown = provision(board, tmp_path / "data", typed=typed)
    assert status == 0, shown
    assert OTHER[:5] not in shown and shown.count("error: receiver_port") == 2
    assert shown.count("hint: no spaces; an IP address is surest") == 1
    assert configuration.Config.from_json(stored(board)).wifi_password == SECRET


def test_a_file_that_others_may_read_is_warned_of(board, tmp_path):
    source = write_source(tmp_path / "b.json", 0o644, wifi_ssid="home", wifi_password=OTHER)
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 0 and "(mode 0644)" in shown and "hint: chmod 600" in shown


def test_no_answer_writes_nothing(board, tmp_path):
    for typed in (answers(write="n"), answers()[:3]):
        status, shown = provision(board, tmp_path / "data", typed=typed)
        assert status == (0 if len(typed) > 3 else 130) and "nothing written" in shown or status
        assert list(board.folder.iterdir()) == []
        assert DeviceList(tmp_path / "data" / "devices.json").all() == []


def test_no_option_takes_a_password():
    from host_tools.commands.provision import command

    for parameter in command.params:
        assert not re.search("pass|secret|psk", " ".join(parameter.opts)), parameter.opts


def test_errors_of_the_line_show_no_secret():
    class Line:
        """A line that throws what it was given back at the caller."""

        def put(self, name, content):
            raise HostToolError(f"the device says {content.decode()!r}", repr(content))

        def exec(self, code):
            raise HostToolError(code, "")

        repeat = exec

    text = configuration.Config({"wifi_ssid": "x", "wifi_password": SECRET}).to_json().encode()
    hidden = personal_data.Hidden((SECRET,))
    with pytest.raises(personal_data.NotWritten) as caught:
        personal_data.write_set(Line(), {"config.json": text}, hidden, lambda text: None)
    error = caught.value
    shown = error.message + error.hint + repr(hidden)
    assert "(hidden)" in shown and "w\\\\ord" not in shown and "pa$$" not in shown, shown
    assert error.__suppress_context__ and error.__cause__ is None
    assert "another" not in personal_data.Hidden((OTHER,)).scrub("got " + OTHER[:9])
    assert personal_data.Hidden((OTHER,)).scrub("no answer") == "no answer"


def test_a_misspelled_field_shows_no_value_on_the_device_either(run_micropython):
    source = (
        "from satellite import config\n"
        'try:\n    config.Config.from_json(\'{"wifi_pasword": "SECRET"}\')\n'
        "except config.ConfigError as error:\n    print(repr(error), error.value)\n"
    )
    shown = run_micropython(source.replace("SECRET", OTHER)).decode()
    assert "wifi_pasword" in shown and OTHER not in shown
