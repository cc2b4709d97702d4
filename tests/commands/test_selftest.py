"""`earnest selftest` on the real MicroPython: a sound device passes, each planted fault is found.

The firmware under test is a copy on the board; a fault is planted there, in its source, its model,
or in the world around the chip's stand-ins.
"""

import ast
import contextlib
import io
import json
import random
import socket
import struct
import threading

import numpy as np
import pytest
from click.testing import CliRunner

from host_tools import cli
from host_tools.board.serial_link import SerialLink
from host_tools.commands import selftest
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from host_tools.shared_firmware import ROOT
from tests.commands.test_status import wait_until_running
from tests.fakes.board import live_board
from tests.fakes.receivers import new_device, receiving

pytestmark = pytest.mark.usefixtures("native_emitter")

#: A chip on which everything works; Wi-Fi's password is the stand-in's.
SOUND = f"""
import network
network.air.password = {live_board.PASSWORD!r}
"""

KERNELS = "wakeword/kernels.py"
TABLES = "wakeword/frontend/tables.py"
#: (file, what stands there, the same with one bit wrong)
WRONG_BITS = {
    "dot": (KERNELS, "+ x[7] * w[7]", "+ x[7] * (w[7] ^ 1)"),
    "depthwise": (KERNELS, "+ x[3] * w[3]\n                -", "+ x[3] * (w[3] ^ 1)\n      -"),
    "requantise": (KERNELS, "m &= 0x7FFF", "m &= 0x7FFE"),
    "push": (KERNELS, "y[mirror] = x[0]", "y[mirror] = x[0] ^ 1"),
    "lookup": (KERNELS, "y[0] = table[x[0]]", "y[0] = table[x[0]] ^ 1"),
    "load": (KERNELS, "y[7] = x[7]", "y[7] = x[7] ^ 1"),
    "window": (TABLES, r"\xf4\x0b\xdd\x0b", r"\xf5\x0b\xdd\x0b"),
}


def run(board, *only, arguments=("--no-person",), answer=None):
    """(exit status, results by test) of `earnest selftest --json`."""
    names = [word for name in only for word in ("--only", name)]
    done = CliRunner().invoke(
        selftest.command,
        ["--port", board.port, "--json", *arguments, *names],
        input=answer,
        standalone_mode=False,
    )
    assert done.exception is None, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["ok"] == (done.return_value == 0)
    return done.return_value, {result["test"]: result for result in report["results"]}


def test_a_sound_device_passes_and_goes_on(tmp_path):
    with live_board.board(tmp_path, plant=SOUND) as board:
        wait_until_running(board)
        status, results = run(board)
        assert tuple(results) == selftest.NAMES
        bad = {name for name, result in results.items() if result["ok"] is not True}
        # Nobody presses, and nothing listens at the receiver's port.
        assert bad == {"button", "receiver"}, results
        assert status == 1 and results["button"]["ok"] is None
        assert not list(board.folder.glob("selftest*"))
        assert wait_until_running(board)["state"] == "IDLE"


def test_each_kernel_with_one_wrong_bit(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        for kernel, (name, right, wrong) in WRONG_BITS.items():
            path = board.folder / name
            text = path.read_text()
            assert text.count(right) == 1, kernel
            path.write_text(text.replace(right, wrong))
            live_board.reset(board)
            status, results = run(board, "kernels")
            assert status == 1 and results["kernels"]["ok"] is False, kernel
            assert "install the firmware again" in results["kernels"]["reason"]
            path.write_text(text)
        live_board.reset(board)
        assert run(board, "kernels")[0] == 0


def test_each_table_with_one_wrong_bit(tmp_path):
    """Also the bits that the front end rounds away, and those that lead it out of its buffers."""
    bits = random.Random(11)
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        path = board.folder / TABLES
        text = path.read_text()
        names = [
            node.targets[0].id for node in ast.parse(text).body if isinstance(node, ast.Assign)
        ]
        assert names == ["WINDOW", "TWIDDLES", "SUPER_TWIDDLES", "FILTER_BANK", "GAINS"]
        space = {}
        exec(text, space)
        for name in names:
            table = bytearray(space[name])
            at = bits.randrange(
                82 if name == "FILTER_BANK" else len(table)
            )  # 41 widths come first
            table[at] ^= 1 << bits.randrange(8)
            path.write_text(f"{text}\n{name} = {bytes(table)!r}\n")
            live_board.reset(board)
            status, results = run(board, "firmware", "kernels")
            assert status == 1 and results["kernels"]["ok"] is False, (name, at)
            assert "tables: " in results["kernels"]["reason"], results
            assert f"{TABLES} is damaged" in results["firmware"]["reason"]


@pytest.mark.parametrize(
    "name", ["wakeword/frontend/kernels_xtensa.py", "drivers/wifi.py", "models/"]
)
def test_any_wrong_bit_of_any_installed_file(tmp_path, name):
    """Of the assembler's machine code too, which only the chip can run."""
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        path = board.folder / (name + "okay_nabu.ewm" if name.endswith("/") else name)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        status, results = run(board, "firmware")
        assert status == 1 and f"{path.name} is damaged" in results["firmware"]["reason"], results
        path.unlink()
        assert f"{path.name} is not there" in run(board, "firmware")[1]["firmware"]["reason"]


def test_what_was_installed_is_not_known(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        assert run(board, "firmware")[1]["firmware"]["reason"].endswith(" files as installed")
        for text in ("{", "[]", '{"files": 5}', "{}"):
            (board.folder / "installed.json").write_text(text)
            status, results = run(board, "firmware")
            assert status == 1 and "installed.json is damaged" in results["firmware"]["reason"]
        (board.folder / "installed.json").unlink()
        status, results = run(board, "firmware")
        assert status == 0 and results["firmware"]["ok"] is None


def test_a_test_that_hangs_has_failed_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(selftest, "TIMEOUT_S", 1.0)
    hang = "import diagnostics.self_test\ndef _hang():\n while True: pass\n"
    hang += "diagnostics.self_test._memory = _hang\n"
    with live_board.board(tmp_path, plant=SOUND + hang, runs=False) as board:
        status, results = run(board, "memory", "firmware")
        assert status == 1 and results["memory"]["ok"] is False
        assert "did not answer in time" in results["memory"]["reason"], results
        assert results["firmware"]["ok"] is True


#: Files until not even the smallest fits.
FILL = """
import os
os.mkdir("fill")
for size in (65536, 4096, 1):
    try:
        for n in range(1000):
            with open("fill/%d-%d" % (size, n), "wb") as file:
                file.write(bytes(size))
    except OSError:
        pass
"""


def test_a_full_flash(tmp_path):
    """A real LittleFS without a free block, as on the chip."""
    with live_board.board(tmp_path, plant=SOUND, runs=False, flash_bytes=1 << 21) as board:
        assert run(board, "storage", "firmware")[0] == 0
        with SerialLink(board.port) as link:
            link.exec(FILL, 60)
        status, results = run(board, "storage")
        assert status == 1 and "the disk is full" in results["storage"]["reason"], results
        with SerialLink(board.port) as link:
            left = "[n for n in os.listdir() if 'selftest' in n]"
            assert link.exec_json(f"import json, os\nprint(json.dumps({left}))") == []
            link.exec("import os\nfor n in os.listdir('fill'): os.remove('fill/' + n)")
        assert run(board, "storage")[0] == 0


@pytest.mark.parametrize("insecure", [False, True])
def test_a_receiver_that_answers(tmp_path, insecure):
    """`earnest receive` in a process of its own, over the firmware's own TLS or plain."""
    data = tmp_path / "data"
    with receiving(data, *(["--insecure"] if insecure else [])) as receiver:
        with live_board.board(tmp_path / "device", plant=SOUND, runs=False) as board:
            made = new_device(data, "kitchen")
            for name in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
                (board.folder / name).write_bytes((made / name).read_bytes())
            config = json.loads((board.folder / "config.json").read_text())
            config |= {"receiver_port": receiver.port, "insecure": insecure}
            (board.folder / "config.json").write_text(json.dumps(config))
            status, results = run(board, "wifi", "receiver")
            assert status == 0, results
            answers = "answers, INSECURE" if insecure else "answers, TLS"
            assert results["receiver"]["reason"] == answers
            config["insecure"] = not insecure
            (board.folder / "config.json").write_text(json.dumps(config))
            live_board.reset(board)
            status, results = run(board, "wifi", "receiver")
            assert status == 1 and results["receiver"]["ok"] is False, results


def reset_by_peer(listening):
    """Ends each connection as a host does that knows it not."""
    with contextlib.suppress(OSError):
        while True:
            connection = listening.accept()[0]
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


def test_a_receiver_that_breaks_off(tmp_path):
    """What the chip's TCP says of a closed port too."""
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=reset_by_peer, args=(listening,), daemon=True).start()
            port = listening.getsockname()[1]
            config = json.loads((board.folder / "config.json").read_text())
            config |= {"receiver_port": port, "insecure": True}
            (board.folder / "config.json").write_text(json.dumps(config))
            live_board.reset(board)
            reason = run(board, "receiver")[1]["receiver"]["reason"]
            listening.shutdown(socket.SHUT_RDWR)
    words = "or it broke off: is `earnest receive` running?"
    assert reason == f"nobody listens at 127.0.0.1:{port}, {words}"


def test_why_a_receiver_does_not_answer(tmp_path):
    data = tmp_path / "data"
    refused = "nobody listens at 127.0.0.1:9: is `earnest receive` running?"
    with receiving(data) as receiver:
        with live_board.board(tmp_path / "device", plant=SOUND, runs=False) as board:
            made = new_device(tmp_path / "another", "kitchen")
            for name in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
                (board.folder / name).write_bytes((made / name).read_bytes())
            config = json.loads((board.folder / "config.json").read_text())
            for changes, words in (
                ({}, refused),
                ({"insecure": True}, refused),
                (
                    {"insecure": False, "receiver_port": receiver.port},
                    "the receiver's certificate was issued by a different CA: earnest provision",
                ),
                ({"ssl_key": "none.der"}, "no certificate file none.der"),
            ):
                config |= changes
                (board.folder / "config.json").write_text(json.dumps(config))
                live_board.reset(board)
                status, results = run(board, "wifi", "receiver")
                assert status == 1 and results["receiver"]["reason"] == words, results


def test_the_stopped_application_gives_its_memory_back(tmp_path):
    """Without PSRAM a second model does not fit beside the one of an application that stands."""
    with live_board.board(tmp_path, plant=SOUND) as board:
        wait_until_running(board)
        free = int(run(board, "memory")[1]["memory"]["reason"].split()[0].replace(",", ""))
        wait_until_running(board)
        with SerialLink(board.port) as link:
            (standing,) = link.exec_json("import gc\ngc.collect()\nprint([gc.mem_free()])")
        assert free > standing + 48000, (free, standing)


def test_a_model_that_only_the_host_knows_and_a_damaged_one(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        vectors = board.folder / "diagnostics" / "vectors.py"
        known = vectors.read_text()
        head, _, _ = known.partition("MODELS")
        vectors.write_text(head + "MODELS = {}\n")
        status, results = run(board, "kernels")
        assert status == 0 and results["kernels"]["ok"] is True, results
        vectors.write_text(known)
        model = board.folder / "models" / "okay_nabu.ewm"
        data = bytearray(model.read_bytes())
        data[20000] ^= 4
        model.write_bytes(data)
        status, results = run(board, "model", "kernels")
        assert status == 1 and results["model"]["ok"] is False, results
        assert "earnest install" in results["model"]["reason"]
        assert results["kernels"]["ok"] is False
        model.unlink()
        assert "not there" in run(board, "model")[1]["model"]["reason"]


WRONG_PASSWORD = (
    "network.air.password = 'another'\nimport drivers.wifi\ndrivers.wifi.CONNECT_MS = 500"
)
#: Faults around the chip: (planted in boot.py, the test that finds it, what it says).
PLANTED = {
    "dead microphone": ("world.sound = lambda n: (0, 0)", "microphone", "ALL_ZERO"),
    "swapped channel": (
        "world.sound = lambda n: (0, n * 7919 % 2001 << 14)",
        "microphone",
        "WRONG_CHANNEL",
    ),
    "stuck microphone": ("world.sound = lambda n: (77 << 14, 0)", "microphone", "STUCK"),
    "no I2S port": ("world.bus_is_dead = True", "microphone", "NO_DATA"),
    "light that does not follow": ("world.shorted[48] = 1", "light", "does not follow"),
    "amplifier that stays off": ("world.shorted[13] = 0", "speaker", "does not come on"),
    "amplifier that stays on": ("world.shorted[13] = 1", "speaker", "cannot be switched off"),
    "no light before the sound": ("world.shorted[48] = 1", "speaker", "light cannot be driven"),
    "dead button": (
        "import diagnostics.self_test\ndiagnostics.self_test.BUTTON_MS = 500",
        "button",
        "no press",
    ),
    "wrong password": (WRONG_PASSWORD, "wifi", "wrong password"),
    "no way to the receiver": (WRONG_PASSWORD, "receiver", "no Wi-Fi: wrong password"),
    "no receiver": ("", "receiver", ""),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults(tmp_path, fault):
    plant, name, words = PLANTED[fault]
    with live_board.board(tmp_path, plant=SOUND + plant, runs=False) as board:
        person = ("--person",) if name == "button" else ("--no-person",)
        status, results = run(board, name, arguments=person)
        assert status == 1 and results[name]["ok"] is False, results
        assert words in results[name]["reason"], results


def amplifier(board):
    """What happened to the amplifier's pin (13) and to the clocks, as [(what, level)]."""
    with SerialLink(board.port) as link:
        said = link.exec(
            "import machine\n"
            "print([e for e in machine.world.events if e[0] == 13 or e[0] == 'clock'])"
        )
    return ast.literal_eval(said.decode().strip())


def test_a_chime_is_played_and_a_person_asked(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        status, results = run(board, "speaker", arguments=(), answer="y\n")
        assert status == 0 and results["speaker"]["reason"] == "heard by a person", results
        # Off when it is made, then clock and amplifier, then amplifier and clock.
        assert amplifier(board) == [(13, 0), ("clock", 1), (13, 1), (13, 0), ("clock", 0)]
        status, results = run(board, "speaker", arguments=(), answer="n\n")
        assert status == 1 and "SPEAKER_ENABLE" in results["speaker"]["reason"]
        status, results = run(board, "speaker")
        assert status == 0 and "played at 60 %" in results["speaker"]["reason"]
        config = board.folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"volume_max": 0}))
        assert run(board, "speaker")[1]["speaker"]["ok"] is None


def test_a_chime_sounds_whole_at_the_volume_set(tmp_path):
    """By what the stand-in of the chip has played; a busy computer may put silence in between."""
    plant = (
        SOUND
        + """
_deinit = machine.I2S.deinit
def deinit(self):
    _deinit(self)
    if self.player:
        with open("played", "wb") as file:
            file.write(self.player.samples)
machine.I2S.deinit = deinit
"""
    )
    with live_board.board(tmp_path, plant=plant, runs=False) as board:
        assert run(board, "speaker")[0] == 0
        played = np.frombuffer((board.folder / "played").read_bytes(), "<i2")
    assert 18_500 < np.count_nonzero(played) <= 19_200, "1.2 s of notes"
    peak = np.abs(played.astype(int)).max()
    assert 0.98 * 16384 * 0.36 < peak <= 16384 * 0.36 + 1, "at 60 %: 0.36 of full"


def test_a_board_without_a_speaker_says_so(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        text = (ROOT / "boards" / "ESPRESSIF_DEVKITC_1" / "board.py").read_text()
        (board.folder / "board.py").write_text(text)
        status, results = run(board, "speaker")
        assert status == 0 and results["speaker"]["reason"] == "this board has none"


def test_a_person_is_asked_about_light_and_button(tmp_path):
    press = """
_level = machine.Pin._level
_asked = [0]
def _pressed(pin):
    if pin.number == 0:
        _asked[0] += 1
        return 0 if 20 < _asked[0] < 60 else 1
    return _level(pin)
machine.Pin._level = _pressed
"""
    with live_board.board(tmp_path, plant=SOUND + press, runs=False) as board:
        status, results = run(board, "light", "button", arguments=(), answer="y\n")
        assert status == 0, results
        assert results["light"]["reason"] == "seen by a person"
        assert results["button"]["reason"] == "pressed"
        status, results = run(board, "light", arguments=(), answer="n\n")
        assert status == 1 and "did not see it" in results["light"]["reason"]


def test_nobody_at_the_terminal_skips_what_needs_a_person_and_nothing_else(
    tmp_path, monkeypatch, capsys
):
    """As in `earnest selftest </dev/null`."""
    names = ("light", "button", "storage")
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        only = [word for name in names for word in ("--only", name)]
        assert cli.run(["selftest", "--port", board.port, "--json", *only]) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert [(r["test"], r["ok"]) for r in results] == list(
        zip(names, (None, None, True), strict=True)
    )
    assert results[0]["reason"] == "driven without an error; nobody was asked"


def test_muted_means_no_microphone_and_the_mute_stays(tmp_path):
    """Whether the microphone's clock ever ran is written down by the chip's stand-in."""
    with live_board.board(tmp_path, muted=True, plant=SOUND, runs=False) as board:
        status, results = run(board, "microphone", "light", "speaker", "storage", "wifi")
        assert results["speaker"]["ok"] is None and "muted" in results["speaker"]["reason"]
        assert (13, 1) not in amplifier(board)
        assert results["microphone"]["ok"] is None and "muted" in results["microphone"]["reason"]
        assert status == 0, results
        before = (board.folder / "mute.state").read_bytes()
        assert before == live_board.mute_state(True)
        with SerialLink(board.port) as link:
            said = link.exec(
                "import diag, machine\ndiag.mic()\ndiag.selftest('microphone')\n"
                "print([e for e in machine.world.events if e[0] == 'clock'])"
            ).decode()
        assert "REFUSED" in said and said.rstrip().endswith("[]"), said
        # What is damaged or gone means muted.
        for text in (b"earnest mute 1 open\n00000000\n", b"", None):
            path = board.folder / "mute.state"
            path.unlink() if text is None else path.write_bytes(text)
            results = run(board, "microphone")[1]
            assert "muted" in results["microphone"]["reason"], (text, results)
