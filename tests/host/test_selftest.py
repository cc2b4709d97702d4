"""`earnest selftest` on the real MicroPython: a sound device passes, each planted fault is found.

The firmware under test is a copy on the board; a fault is planted there, in its source, its model,
or in the world around the chip's stand-ins.
"""

import json

import live_board
import pytest
from click.testing import CliRunner

from host_tools import selftest

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


@pytest.fixture
def native_emitter():
    from host_tools import micropython

    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")


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
        status, results = run(board)
        assert tuple(results) == selftest.NAMES
        bad = {name for name, result in results.items() if result["ok"] is not True}
        # Nobody presses, and nothing listens at the receiver's port.
        assert bad == {"button", "receiver"}, results
        assert status == 1 and results["button"]["ok"] is None
        assert not list(board.folder.glob("selftest*"))
        from test_status import wait_until_running

        assert wait_until_running(board)["state"] == "IDLE"


def test_each_kernel_with_one_wrong_bit(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        for kernel, (name, right, wrong) in WRONG_BITS.items():
            path = board.folder / name
            text = path.read_text()
            assert text.count(right) == 1, kernel
            path.write_text(text.replace(right, wrong))
            status, results = run(board, "kernels")
            assert status == 1 and results["kernels"]["ok"] is False, kernel
            assert "install the firmware again" in results["kernels"]["reason"]
            path.write_text(text)
            board.reset()
        assert run(board, "kernels")[0] == 0


def test_a_model_that_only_the_host_knows_and_a_damaged_one(tmp_path):
    with live_board.board(tmp_path, plant=SOUND, runs=False) as board:
        vectors = board.folder / "diagnosis" / "vectors.py"
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
    "dead button": (
        "import diagnosis.self_test\ndiagnosis.self_test.BUTTON_MS = 500",
        "button",
        "no press",
    ),
    "full disk": (
        "import drivers.files\ndef _full(self, path, mode, data):\n raise OSError(28)\n"
        "drivers.files.Files._put = _full",
        "storage",
        "full",
    ),
    "wrong password": (
        "network.air.password = 'another'\nimport drivers.wifi\ndrivers.wifi.CONNECT_MS = 500",
        "wifi",
        "wrong password",
    ),
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


def test_muted_means_no_microphone_and_the_mute_stays(tmp_path):
    """Whether the microphone's clock ever ran is written down by the chip's stand-in."""
    with live_board.board(tmp_path, muted=True, plant=SOUND, runs=False) as board:
        status, results = run(board, "microphone", "light", "storage", "wifi")
        assert results["microphone"]["ok"] is None and "muted" in results["microphone"]["reason"]
        assert status == 0, results
        before = (board.folder / "mute.state").read_bytes()
        assert before == live_board.mute_state(True)
        from host_tools.serial_link import SerialLink

        with SerialLink(board.port) as link:
            said = link.exec(
                "import diag, machine\ndiag.mic()\ndiag.selftest('microphone')\n"
                "print([e for e in machine.world.events if e[0] == 'clock'])"
            ).decode()
        assert "REFUSED" in said and said.rstrip().endswith("[]"), said
