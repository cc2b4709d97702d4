"""`earnest provision` against the real MicroPython on a pseudo-terminal."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from firmware.satellite import config as configuration
from firmware.wakeword import model_format
from host_tools import cli
from host_tools.board import personal_data, wanted_config
from host_tools.errors import HostToolError
from host_tools.models.catalog import find_model
from host_tools.receiver import authority as authorities
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.shared_firmware import FIRMWARE, ROOT
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
    assert "  pre-roll                 0 ms\n" in shown and "earnest receive\n" in shown
    assert f"Made a new CA in {data / 'authority'}" in shown

    before = {name: stored(board, name) for name in NAMES}
    status, shown = provision(board, data, typed=[KEEP] * 8)
    assert status == 0 and "nothing written" in shown and "CA" not in shown, shown
    assert {name: stored(board, name) for name in NAMES} == before

    # Enter keeps the password; a consent is given; the certificate stays.
    status, shown = provision(board, data, typed=[KEEP] * 5 + ["y", "n", KEEP, "y"])
    assert status == 0 and "may be kept" in shown, shown
    changed = configuration.Config.from_json(stored(board))
    assert changed.wifi_password == SECRET and changed.keep_recordings is True
    assert stored(board, "device.key.der") == before["device.key.der"]


def test_a_board_with_a_loudspeaker_is_asked_about_it(board, tmp_path):
    text = (ROOT / "boards" / "ONJU_VOICE_V3" / "board.py").read_text()
    (board.folder / "board.py").write_text(text)
    typed = answers()
    at = len(answers()) - 3  # before the mute at power-on
    typed[at:at] = ["101", "40", KEEP, "y", KEEP]
    status, shown = provision(board, tmp_path / "data", typed=typed)
    assert status == 0, shown
    assert "error: volume" in shown
    assert "40 %; the receiver may set 80 % at most" in shown
    config = configuration.Config.from_json(stored(board))
    assert (config.volume, config.volume_max) == (40, 80)
    assert (config.timers, config.announcements) == (True, False)


def test_an_installation_that_was_cut_off_does_not_bring_an_old_consent_back(board, tmp_path):
    """All of it was there, with the configuration of that day, and the line was lost."""
    data = tmp_path / "data"
    status, shown = provision(board, data, typed=answers(keep="y"))
    assert status == 0, shown
    board.write("new/config.json", stored(board).decode())
    manifest = {"files": {}, "owner_files": ["config.json"], "remove": []}
    board.write("new/installed.json", json.dumps(manifest))
    source = write_source(tmp_path / "no.json", keep_recordings=False)
    status, shown = provision(board, data, "--from", source, "--name", "kitchen", "--yes")
    assert status == 0, shown
    board.unplug()
    board.run((FIRMWARE / "boot.py").read_text())  # as its next start
    assert json.loads(stored(board))["keep_recordings"] is False


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
    (first,) = DeviceList(data / "devices.json").all()
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
        assert device.id and device.id == first.id, "its recordings are tied to it"
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
    ({"receiver_host": "my computer"}, "hint: no spaces; give an IP address"),
    ({"receiver_host": "localhost"}, "localhost is the board itself"),
    ({"receiver_host": "999.1.1.1"}, "999.1.1.1 is not an IP address"),
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


def install_models(board, *names):
    """What of `earnest install` counts here: the models' headers, and their order."""
    (board.folder / "models").mkdir()
    for name in names:
        (board.folder / "models" / f"{name}.ewm").write_bytes(
            find_model(name).path.read_bytes()[: model_format.HEADER_BYTES]
        )
    board.write("installed.json", json.dumps({"models": list(names), "files": {}}))


def test_the_wake_words_and_their_sensitivity_are_asked_for(board, tmp_path):
    install_models(board, "okay_nabu", "hey_jarvis", "alexa")
    typed = answers()
    typed[5:5] = ["hey_jarvis, okay_naboo", "hey_jarvis,alexa", "low", "lowest", KEEP]
    status, shown = provision(board, tmp_path / "data", typed=typed)
    assert status == 0, shown
    assert "Wake words on the board: okay_nabu, hey_jarvis, alexa; other wake words:" in shown
    assert "error: not on the board, or named twice: okay_naboo" in shown
    config = configuration.Config.from_json(stored(board))
    assert config.models == ("hey_jarvis", "alexa")
    own = find_model("hey_jarvis").window
    low = {"sliding_window_size": max(12, 2 * own)}
    assert config.sensitivity == {"hey_jarvis": low}
    assert "  sensitivity              hey_jarvis low\n" in shown
    # Enter keeps words and levels; a number of one's own is kept too.
    config = config.changed(sensitivity={"alexa": {"probability_cutoff": 0.777}})
    board.write("config.json", config.to_json())
    status, shown = provision(board, tmp_path / "data", typed=[KEEP] * 12)
    assert status == 0 and "nothing written" in shown and "[cutoff 0.777]" in shown, shown


def test_words_whose_models_are_missing_are_replaced_or_refused(board, tmp_path):
    install_models(board, "hey_jarvis", "alexa")
    source = write_source(tmp_path / "b.json", wifi_ssid="home", models=["okay_nabu"])
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 2 and "the board has no model okay_nabu" in shown, shown
    assert "earnest install --model NAME" in shown
    write_source(source, wifi_ssid="home")
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 0, shown  # in the order in which they were installed
    assert configuration.Config.from_json(stored(board)).models == ("hey_jarvis", "alexa")


def test_the_port_may_come_with_the_address(board, tmp_path):
    typed = answers(host="localhost")
    typed[3:4] = ["999.1.1.1", "192.0.2.7:10781"]  # instead of the port
    status, shown = provision(board, tmp_path / "data", typed=typed)
    assert status == 0, shown
    assert "error: localhost is the board itself, not your receiver" in shown
    assert "error: 999.1.1.1 is not an IP address" in shown
    config = configuration.Config.from_json(stored(board))
    assert (config.receiver_host, config.receiver_port) == ("192.0.2.7", 10781)


def test_bad_answers_are_asked_again(board, tmp_path):
    typed = answers()
    typed[1:1] = ["sh0rt-1"]  # too short for a password
    typed[4:4] = ["99999", "no port"]
    typed[3:3] = ["my computer"]
    status, shown = provision(board, tmp_path / "data", typed=typed)
    assert status == 0, shown
    assert "sh0rt" not in shown and shown.count("error: receiver_port") == 2
    assert shown.count("hint: no spaces; give an IP address") == 1
    assert configuration.Config.from_json(stored(board)).wifi_password == SECRET


def test_a_password_that_others_can_read_is_refused(tmp_path):
    """As ssh refuses such a key; without a password in it the file is taken."""
    for mode in (0o644, 0o640, 0o604):
        source = write_source(tmp_path / "b.json", mode, wifi_ssid="home", wifi_password=OTHER)
        with pytest.raises(HostToolError, match=f"mode {mode:04o}") as caught:
            wanted_config.from_file(source, None)
        assert caught.value.hint == f"chmod 600 {source}" and OTHER not in caught.value.message
    write_source(source, 0o644, wifi_ssid="home")
    assert wanted_config.from_file(source, None) == {"wifi_ssid": "home"}
    both = {"wifi_password": OTHER, "wifi_ssid": "home"}
    write_source(source, 0o600, **both)
    assert wanted_config.from_file(source, None) == both


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


def test_ctrl_c_once_the_set_counts_does_not_call_it_unwritten():
    """Else the receiver would strike off the certificate that the board has from now on."""
    content = b"{}"

    class Link:
        def put(self, name, content):
            pass

        def exec(self, code):
            pass

        def sha256(self, name):
            return hashlib.sha256(content).hexdigest()

    def step(what):
        if what.startswith("verified"):
            os.kill(os.getpid(), signal.SIGINT)

    files = {personal_data.CONFIG_FILE: content}
    personal_data.write_set(Link(), files, personal_data.Hidden(()), step)


def test_a_misspelled_field_shows_no_value_on_the_device_either(run_micropython):
    source = (
        "from satellite import config\n"
        'try:\n    config.Config.from_json(\'{"wifi_pasword": "SECRET"}\')\n'
        "except config.ConfigError as error:\n    print(repr(error), error.value)\n"
    )
    shown = run_micropython(source.replace("SECRET", OTHER)).decode()
    assert "wifi_pasword" in shown and OTHER not in shown


def test_a_changed_sensitivity_undoes_what_the_network_raised_and_nothing_else_does(
    board, tmp_path
):
    install_models(board, "okay_nabu")
    source = write_source(tmp_path / "b.json", brightness=30)
    status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
    assert status == 0, shown
    raised = board.folder / personal_data.SENSITIVITY_FILE
    board.write(personal_data.SENSITIVITY_FILE, "raised")
    for fields, stays in (
        ({"brightness": 20}, True),
        ({"sensitivity": {"okay_nabu": {"probability_cutoff": 0.8}}}, False),
    ):
        source = write_source(tmp_path / "b.json", **fields)
        status, shown = provision(board, tmp_path / "data", "--from", source, "--yes")
        assert status == 0 and "Restarting" in shown, shown
        assert raised.exists() == stays, fields


def test_only_a_yes_at_the_cable_gives_consent_again_that_the_network_took_back(board, tmp_path):
    data = tmp_path / "data"
    status, shown = provision(board, data, typed=answers(keep="y"))
    assert status == 0, shown
    withdrawn = board.folder / "withdrawn.state"
    withdrawn.write_text("whatever it holds")  # and config.json says that recordings may be kept

    given = write_source(tmp_path / "old.json", keep_recordings=True)
    status, shown = provision(board, data, "--from", given, "--yes")
    assert status == 2 and "a file cannot give it again" in shown, shown
    source = write_source(tmp_path / "other.json", brightness=20)
    status, shown = provision(board, data, "--from", source, "--yes")
    assert status == 0 and withdrawn.exists() and "not kept" in shown, shown
    assert configuration.Config.from_json(stored(board)).keep_recordings is False

    # Enter proposes No, which leaves it; so does an answer that is not written.
    status, shown = provision(board, data, typed=[KEEP] * 7)
    assert status == 0 and withdrawn.exists() and "nothing written" in shown, shown
    assert "withdrawn over the network. Only your Yes here" in shown and "[y/N]" in shown
    yes = [KEEP] * 5 + ["y", NO, KEEP]
    status, shown = provision(board, data, typed=[*yes, "n"])
    assert status == 0 and withdrawn.exists() and "nothing written" in shown, shown
    status, shown = provision(board, data, typed=[*yes, "y"])
    assert status == 0 and not withdrawn.exists() and "you give it again" in shown, shown
    assert configuration.Config.from_json(stored(board)).keep_recordings is True

    # config.json says it already, as after a plug that was pulled before the file was removed
    withdrawn.write_text("")
    status, shown = provision(board, data, typed=[*yes, "y"])
    assert status == 0 and not withdrawn.exists() and "may be kept" in shown, shown


def test_a_withdrawal_that_waits_at_the_receiver_proposes_no_and_is_said(board, tmp_path):
    data = tmp_path / "data"
    status, shown = provision(board, data, typed=answers(keep="y"))
    assert status == 0, shown
    (device,) = DeviceList(data / "devices.json").all()
    book = OwnerWithdrawals(data)
    book.begin(device.id, "kitchen")
    book.store(device.id)
    status, shown = provision(board, data, typed=[*[KEEP] * 5, "y", NO, KEEP])
    assert status == 0 and "nothing written" in shown, shown
    assert "withdrawn on the receiver's page. Only" in shown and "waits for this board" in shown
    status, shown = provision(board, data, typed=[*[KEEP] * 7, "y"])
    assert status == 0 and "not kept" in shown and "waits for this board" not in shown, shown
    assert OwnerWithdrawals(data).is_pending(device.id), "only the device confirms it"
    # Set up anew under another id, since it was removed from the list under another name.
    DeviceList(data / "devices.json").remove("kitchen")
    status, shown = provision(board, data, typed=[*[KEEP] * 7, "hall", "n"])
    assert status == 0 and "The consent of kitchen was withdrawn on" in shown, shown
    assert "may be this board. Only your Yes" in shown, shown
