"""The plug pulled at every operation of a command, on the file system of the chip.

In the middle of the bytes of a piece of code, before it is carried out, the line and MicroPython
die: between two files, after a file's opening, at what moves and removes files.  Pieces that only
look, and those of a file after its first bytes, are left out: what LittleFS has is the same there.
"""

import json
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from firmware.satellite import config as configuration
from host_tools import cli
from host_tools.board import personal_data
from host_tools.board.serial_port import LinkError
from host_tools.receiver import authority
from host_tools.receiver.devices import DeviceList
from host_tools.shared_firmware import FIRMWARE
from tests.fakes.board import dying_flash
from tests.fakes.board.pty_board import PtyBoard
from tests.fakes.board.small_firmware import (
    NEW,
    OLD,
    START,
    at_operation,
    put,
    started,
    use_tiny_models,
    where_it_changes,
    write_tree,
)

FLASH_BYTES = 256 * 1024
PARTS = 4


@pytest.fixture
def trees(tmp_path, monkeypatch):
    use_tiny_models(monkeypatch)
    return {n: write_tree(tmp_path / f"tree{n}", n) for n in (1, 2)}


def pull_in(plugged):
    """Pull the plug in the middle of a piece's bytes, so that it is not carried out."""
    return lambda piece: plugged.pull_plug(1 if piece == START else len(piece) // 2)


@pytest.mark.parametrize("part", range(PARTS))
def test_install(tmp_path, trees, part):
    """The old version runs or the new one, and the next install ends with the new one."""
    with PtyBoard(tmp_path, FLASH_BYTES) as plugged:
        put(plugged, trees[1])
        plugged.unplug()
        restore = plugged.snapshot()
        plugged.plug_in()
        with at_operation(None) as pieces:
            put(plugged, trees[2])
        assert started(plugged) == NEW
        plugged.unplug()
        counts = next(n for n, piece in enumerate(pieces) if "'new/installed.json'" in piece)
        numbers = where_it_changes(pieces)
        assert sum("'wb'" in pieces[number] for number in numbers) == 9  # all and the manifest
        for number in numbers[part::PARTS]:
            restore()
            plugged.plug_in()
            assert started(plugged) == OLD
            with pytest.raises(LinkError), at_operation(number, pull_in(plugged)):
                put(plugged, trees[2])
            plugged.unplug()
            plugged.plug_in()
            assert started(plugged) == (NEW if number > counts else OLD), pieces[number]
            put(plugged, trees[2])
            assert started(plugged) == NEW, pieces[number]
            plugged.unplug()


WHOLE = "w = lambda n, v: (n + v).encode() * 300  # more than LittleFS keeps beside the name\n"


def test_what_boot_finishes(run_micropython):
    """Whenever the power goes while the files change places, the next start has all of them."""
    files = dict.fromkeys(("a", "d/b", "same"), "")
    manifest = json.dumps({"files": files, "owner_files": ["mine"], "remove": ["stale"]})
    boot = (FIRMWARE / "boot.py").read_text()
    prepare = (
        WHOLE
        + f"""
os.mkdir("d"); os.mkdir("new")
for name in ("a", "d/b", "same", "mine", "stale", "installed.json"): put(name, w(name, "old"))
put("new/a", w("a", "new")); put("new/d~b", w("d/b", "new")); put("new/mine", w("mine", "new"))
put("new/installed.json", {manifest.encode()!r})
"""
    )
    check = (
        WHOLE
        + f"""
exec({boot!r}, {{}})
got = [get(n) for n in ("a", "d/b", "same", "mine", "stale", "installed.json")]
want = [w("a", "new"), w("d/b", "new"), w("same", "old"), w("mine", "new"), None]
assert got == want + [{manifest.encode()!r}]
assert os.listdir("new") == []
"""
    )
    dying_flash.sweep(run_micropython, prepare, boot, check)


OLD_SET = ("device.key.der", "device.cert.der", "ca.cert.der", "config.json")
NEW_SET = ("device.2.key.der", "device.2.cert.der", "ca.2.cert.der", "config.json")


def test_what_makes_a_configuration_count(run_micropython):
    """The old configuration with its key and certificates, or the new one with its own."""
    prepare = (
        WHOLE
        + f"""
put("mute.state", b"muted")
for name in {OLD_SET}: put(name, w(name, "old"))
for name in {NEW_SET}: put(name + ".new", w(name, "new"))
"""
    )
    check = (
        WHOLE
        + f"""
is_new = get("config.json") == w("config.json", "new")
for name in {NEW_SET} if is_new else {OLD_SET}:
    assert get(name) == w(name, "new" if is_new else "old"), name
assert get("mute.state") == b"muted"
"""
    )
    code = personal_data._RENAME % (NEW_SET, personal_data.TEMPORARY)
    dying_flash.sweep(run_micropython, prepare, code, check)


def test_what_erases(run_micropython):
    """They go in the order given: configuration, key, certificates, what happened, withdrawal."""
    order = (*OLD_SET[::-1], "audit.jsonl", "consent.state", "mute.state", "withdrawn.state")
    prepare = WHOLE + f"for name in {order}: put(name, w(name, 'x'))"
    check = (
        WHOLE
        + f"""
there = [name for name in {order} if get(name) == w(name, "x")]
assert sorted(os.listdir()) == sorted(there) and there == list({order}[-len(there) or 99:]), there
"""
    )
    code = personal_data._REMOVE % (order,)
    dying_flash.sweep(run_micropython, prepare, code, check)


class Owner:
    """A board with a configuration and a muted state, and its receiver's data folder."""

    def __init__(self, plugged, tmp_path):
        self.board, self.data = plugged, tmp_path / "data"
        self.answers = tmp_path / "answers.json"
        assert self.provision("old") == 0
        plugged.unplug()
        plugged.run("with open('mute.state', 'w') as f: f.write('muted')")
        self._restore_board = plugged.snapshot()
        self._kept = tmp_path / "kept"
        shutil.copytree(self.data, self._kept)

    def restore(self):
        """Back to the old configuration, plugged in."""
        self.board.unplug()
        self._restore_board()
        shutil.rmtree(self.data)
        shutil.copytree(self._kept, self.data)
        self.board.plug_in()

    def command(self, name, *arguments):
        common = ("--port", self.board.port, "--data", str(self.data), "--yes")
        return cli.run([name, *common, *arguments])

    def provision(self, ssid):
        self.answers.touch(mode=0o600)
        self.answers.write_text(json.dumps({"wifi_ssid": ssid, "receiver_host": "192.0.2.7"}))
        return self.command(
            "provision", "--from", str(self.answers), "--name", "kitchen", "--new-certificate"
        )

    def files(self):
        """Name to bytes of the board's files; it is unplugged afterwards."""
        self.board.unplug()
        look = "print(json.dumps((n, open(n, 'rb').read().hex())))"
        code = f"import json\nfor n in os.listdir(): {look}"
        rows = map(json.loads, self.board.run(code).splitlines())
        return {name: bytes.fromhex(data) for name, data in rows}

    def network(self):
        """Its Wi-Fi, after a look whether the key fits the certificate and the receiver knows it;
        None without a configuration.  It stays muted."""
        files = self.files()
        assert files.get("mute.state") == b"muted"
        if "config.json" not in files:
            return None
        config = configuration.Config.from_json(files["config.json"])
        key = serialization.load_der_private_key(files[config.ssl_key], None)
        certificate = x509.load_der_x509_certificate(files[config.ssl_certificate])
        assert certificate.public_key() == key.public_key()
        signer = authority.open_or_make(self.data / "authority").certificate_der
        assert files[config.ssl_ca] == signer
        assert DeviceList(self.data / "devices.json").find(files[config.ssl_certificate])
        return config.wifi_ssid


@pytest.fixture
def owner(tmp_path):
    with PtyBoard(tmp_path, FLASH_BYTES) as plugged:
        yield Owner(plugged, tmp_path)


def test_provision(owner):
    """The old configuration whole or the new one, which the receiver knows and the next run ends
    with; nothing unmutes."""
    owner.restore()
    with at_operation(None) as pieces:
        assert owner.provision("new") == 0
    assert owner.network() == "new"
    counts = next(n for n, piece in enumerate(pieces) if "os.rename(_n" in piece)
    assert pieces[counts].index(".der") < pieces[counts].index("config.json")  # it comes last
    numbers = where_it_changes(pieces)
    assert sum("'wb'" in pieces[number] for number in numbers) == 4 and counts in numbers
    for number in numbers:
        owner.restore()
        with at_operation(number, pull_in(owner.board)):
            assert owner.provision("new") == cli.FAILED
        assert owner.network() == ("new" if number > counts else "old"), pieces[number]
        owner.board.plug_in()
        assert owner.provision("new") == 0
        assert owner.network() == "new"
        (device,) = DeviceList(owner.data / "devices.json").all()
        assert device.name == "kitchen" and len(owner.files()) == 5


def test_erase(owner):
    """Before the files are removed or after: the next run ends with none, on the receiver too."""
    owner.restore()
    with at_operation(None) as pieces:
        assert owner.command("erase") == 0
    (removes,) = where_it_changes(pieces)
    first = [pieces[removes].index(name) for name in ("config.json", "key", "cert.der", "mute")]
    assert first == sorted(first)
    for number in (removes, removes + 1):
        owner.restore()
        with at_operation(number, pull_in(owner.board)):
            assert owner.command("erase") == cli.FAILED
        assert len(owner.files()) == (5 if number == removes else 0)
        owner.board.plug_in()
        assert owner.command("erase") == 0
        assert owner.files() == {} and DeviceList(owner.data / "devices.json").all() == []
