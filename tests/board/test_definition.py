"""Every board against the schema, the chip's pins and its own description."""

import json
import re
import shutil
from dataclasses import fields

import pytest

from host_tools.board import definition as boards
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT
from host_tools.xtensa.compile import run_mpy_cross

NAMES = boards.board_names()
PAGE = (ROOT / "docs" / "boards.md").read_text()
SECTIONS = ("Wiring", "Pin notes", "What was tested", "Sources")


def test_the_boards_that_are_promised_are_there():
    loaded = [boards.load_board(name) for name in NAMES]
    assert any(b.psram.mode == "octal" and b.kind == "built" for b in loaded)
    assert any(b.psram.mode == "quad" for b in loaded)
    assert any(b.pins.MIC_SUPPLY is not None and b.pins.MIC_SENSE is not None for b in loaded)
    assert sum(b.kind == "bought" for b in loaded) >= 2
    assert any(b.pins.SWITCH is not None for b in loaded)
    speakers = {b.folder.name: b.pins for b in loaded if b.pins.has_speaker}
    assert not speakers["ESPRESSIF_DEVKITC_1_SPEAKER"].SPEAKER_SHARES_CLOCK
    assert speakers["ONJU_VOICE_V3"].SPEAKER_SHARES_CLOCK


@pytest.mark.parametrize("name", NAMES)
def test_no_pin_without_a_word(name):
    board = boards.load_board(name)
    words = section(name, "Pin notes")
    delicate = boards.STRAPPING_PINS | boards.UART_PINS | {39, 40, 41, 42}
    for role, pin in board.pins.used():
        if pin in delicate:
            assert re.search(rf"GPIO{pin}\b", words), f"{role}: not a word about GPIO{pin}"
    if board.pins.LIGHT == "neopixel" and len(board.pins.LIGHT_PINS) == 2:
        assert all(f"GPIO{pin}" in words for pin in board.pins.LIGHT_PINS)


@pytest.mark.parametrize("name", NAMES)
def test_the_wiring_names_every_pin(name):
    board = boards.load_board(name)
    wiring = section(name, "Wiring")
    table = "\n".join(line for line in wiring.splitlines() if line.startswith("|"))
    for role, pin in board.pins.used():
        assert re.search(rf"(GPIO|/){pin}\b", table), f"{role}: GPIO{pin} is not in the table"
    drawing = re.search(r"```\n(.*?)```", wiring, re.S)
    assert drawing and drawing.group(1).count("\n") >= 5
    for role in ("MIC_SCK", "MIC_WS", "MIC_SD"):
        pin = getattr(board.pins, role)
        assert re.search(rf"GPIO{pin}\b", drawing.group(1)) or board.pins.MIC_SENSE, role


@pytest.mark.parametrize("name", NAMES)
def test_a_board_says_whether_it_speaks(name):
    board = boards.load_board(name)
    text = (board.folder / "board.md").read_text()
    assert ("no loudspeaker" in text) != board.pins.has_speaker
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| [{name}]"))
    assert row.split("|")[3].strip() == (board.speaker or "none")
    if board.pins.has_speaker:
        drawing = re.search(r"```\n(.*?)```", section(name, "Wiring"), re.S).group(1)
        for role in ("SPEAKER_SCK", "SPEAKER_WS", "SPEAKER_SD", "SPEAKER_ENABLE"):
            assert re.search(rf"GPIO{getattr(board.pins, role)}\b", drawing), role


@pytest.mark.parametrize("name", NAMES)
def test_the_description_has_its_sections_and_says_what_was_not_tested(name):
    board = boards.load_board(name)
    text = (board.folder / "board.md").read_text()
    assert text.startswith(f"# {board.name}\n")
    assert [s for s in re.findall(r"^## (.*)$", text, re.M)] == list(SECTIONS)
    assert board.tested != ("Never run on hardware" in section(name, "What was tested"))
    for source in board.sources:
        assert source in section(name, "Sources")


@pytest.mark.parametrize("name", NAMES)
def test_board_py_compiles_for_the_chip(name):
    assert run_mpy_cross(boards.load_board(name).folder / "board.py", "-march=xtensawin")


def section(name, title):
    """The text below a heading of board.md."""
    text = (boards.load_board(name).folder / "board.md").read_text()
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.M)[0]


@pytest.fixture
def broken(tmp_path):
    """`broken(change_json, change_py)` -> the error that a damaged copy of a board gives."""

    def run(change=None, python=None, name="ESPRESSIF_DEVKITC_1_N16R8"):
        home = boards.load_board(name).folder
        folder = tmp_path / home.name
        shutil.copytree(home, folder, dirs_exist_ok=True)
        if change:
            data = json.loads((folder / "board.json").read_text())
            change(data)
            (folder / "board.json").write_text(json.dumps(data))
        if python:
            text = (folder / "board.py").read_text()
            changed = re.sub(python[0], python[1], text)
            assert changed != text
            (folder / "board.py").write_text(changed)
        with pytest.raises(HostToolError) as caught:
            boards.load_board(name, tmp_path)
        return caught.value.message

    return run


@pytest.mark.parametrize(
    "python, words",
    (
        (("MIC_WS, MIC_SD = 4, 5, 6", "MIC_WS, MIC_SD = 4, 5, 5"), "used twice"),
        (("BUTTON = 0", "BUTTON = 0\nQUIET_PINS = ((4, 0),)"), "GPIO4 is used twice"),
        ((r"\(48, 38\)", "(48, 48)"), "GPIO48 is used twice"),
        (("SWITCH = 7", "SWITCH = 22"), "no GPIO22"),
        (("SWITCH = 7", "SWITCH = 49"), "no GPIO49"),
        (("SWITCH = 7", "SWITCH = 30"), "belongs to the flash"),
        (("SWITCH = 7", "SWITCH = 35"), "belongs to the PSRAM"),
        (("SWITCH = 7", "SWITCH = 19"), "USB"),
        (("SWITCH = 7", "SWITCH = '7'"), "SWITCH is '7'"),
        (("LIGHT_PINS = .*\n", ""), "missing or unknown: LIGHT_PINS"),
        (("SWITCH = 7", "SWITCH = 7\nBUZZER = 3"), "missing or unknown: BUZZER"),
        (("BUTTON = 0", "BUTTON = 0\nSPEAKER_SD = 9"), "a speaker without SPEAKER_SCK"),
        (("BUTTON = 0", "BUTTON = 0\nSPEAKER_SHARES_CLOCK = True"), "there is no speaker"),
        (("SWITCH = 7", "SWITCH = int(7)"), "line"),
        (("SWITCH = 7", "import os\nSWITCH = 7"), "not an assignment"),
        (("BUTTON = 0", "BUTTON = 0\nMIC_CHANNEL = 'middle'"), "MIC_CHANNEL"),
        (("BUTTON = 0", "BUTTON = 0\nMIC_SHIFT = 16"), "MIC_SHIFT is 16"),
        (("BUTTON = 0", "BUTTON = 0\nMIC_SHIFT = True"), "MIC_SHIFT is True"),
        (("BUTTON = 0", "BUTTON = 0\nMIC_GAIN_Q4 = 0"), "MIC_GAIN_Q4 is 0"),
        (('"neopixel"', '"apa103"'), "LIGHT is"),
        (('"neopixel"', '"pwm"'), "pwm with 2 pins"),
        (("BUTTON = 0", "BUTTON = 0\nBUTTON_PRESSED = 2"), "BUTTON_PRESSED is 2"),
        (("NAME = ", "NAME = 'X' "), "NAME"),
        (("BUTTON = 0|SWITCH = 7", "BUTTON = None\nSWITCH = None"), "nobody could unmute"),
    ),
)
def test_a_wrong_board_py_is_refused(broken, python, words):
    assert words in broken(python=python)


@pytest.mark.parametrize(
    "python, words",
    (
        (("SPEAKER_SD = 10, 11, 12", "SPEAKER_SD = 4, 5, 12"), "GPIO4 is used twice"),
        (("SPEAKER_SD = 10, 11, 12", "SPEAKER_SD = 10, 11, 6"), "GPIO6 is used twice"),
        (("ENABLE = 13", "ENABLE = 7"), "GPIO7 is used twice"),
        (("ENABLE = 13", "ENABLE = None"), "nothing could silence the amplifier"),
        (("ENABLE = 13", "ENABLE = 19"), "USB"),
        (("ENABLE = 13", "ENABLE = 13\nSPEAKER_ENABLE_ON = 2"), "SPEAKER_ENABLE_ON is 2"),
        (("ENABLE = 13", "ENABLE = 13\nSPEAKER_SHARES_CLOCK = True"), "not the microphone's"),
        (
            (
                "10, 11, 12\n",
                "4, 5, 12\nSPEAKER_SHARES_CLOCK = True\nMIC_SUPPLY = 15\n",
            ),
            "would feed the microphone",
        ),
        ((r"SPEAKER_SCK.*\nSPEAKER_ENABLE.*", ""), "board.json says speaker 'MAX98357A'"),
    ),
)
def test_a_wrong_speaker_is_refused(broken, python, words):
    assert words in broken(python=python, name="ESPRESSIF_DEVKITC_1_SPEAKER_N16R8")


@pytest.mark.parametrize(
    "change, words",
    (
        (lambda d: d.update(chip="esp32"), "chip is"),
        (lambda d: d.update(kind="borrowed"), "kind is"),
        (lambda d: d.update(flash_mb="16"), "flash_mb is '16'"),
        (lambda d: d.update(flash_mb=5), "flash_mb is 5"),
        (lambda d: d.update(tested="no"), "tested is 'no'"),
        (lambda d: d.update(sources=[]), "no sources"),
        (lambda d: d.update(sources=["a friend"]), "source is"),
        (lambda d: d.pop("vendor"), "vendor"),
        (lambda d: d.update(psram=None), "Psram must be an object"),
        (lambda d: d["psram"].update(mode="quad"), "do not fit"),
        (lambda d: d["psram"].update(mode="hexadecimal"), "psram mode"),
        (lambda d: d["micropython"].update(image="http://example.org/x.bin"), "image is"),
        (lambda d: d["micropython"].update(sha256="123"), "sha256 is"),
        (lambda d: d.update(micropython=None), "must be an object"),
    ),
)
def test_a_wrong_board_json_is_refused(broken, change, words):
    assert words in broken(change=change, name="ESPRESSIF_S3_EYE")


@pytest.mark.parametrize(
    "change, words",
    (
        (lambda d: d.update(variants=["N16R8"]), "variants must be objects"),
        (lambda d: d["variants"].update(N8R2="2 MB"), "variants must be objects"),
        (lambda d: d["variants"]["N16R8"].pop("flash_mb"), "missing or unknown: flash_mb"),
        (lambda d: d["variants"]["N16R8"].update(flash_mb="16"), "flash_mb is '16'"),
        (lambda d: d["variants"].pop("N16R8"), "no such board: ESPRESSIF_DEVKITC_1_N16R8"),
    ),
)
def test_a_wrong_variant_is_refused(broken, change, words):
    assert words in broken(change=change)


def test_variants_of_one_board_share_its_folder():
    large, small = map(boards.load_board, NAMES[:2])
    assert (large.id, small.id) == ("ESPRESSIF_DEVKITC_1_N16R8", "ESPRESSIF_DEVKITC_1_N8R2")
    assert (large.psram.mode, small.psram.mode) == ("octal", "quad")
    assert (large.flash_mb, small.flash_mb) == (16, 8)
    assert large.folder == small.folder and large.pins == small.pins
    assert not (boards.BOARDS / large.id).exists()


def test_a_board_says_only_what_differs_from_the_defaults(tmp_path):
    """One new constant with a default changes no board."""
    defaults = boards._constants(boards.DEFAULTS)
    needed = {field.name for field in fields(boards.Pins)} - set(defaults)
    assert needed == {"NAME", "MIC_SCK", "MIC_WS", "MIC_SD", "LIGHT", "LIGHT_PINS"}
    name = "ESPRESSIF_S3_EYE"
    shutil.copytree(boards.BOARDS / name, tmp_path / name)
    (tmp_path / name / "board.py").write_text(
        f"NAME = {name!r}\nMIC_SCK, MIC_WS, MIC_SD = 4, 5, 6\n"
        "LIGHT, LIGHT_PINS = 'pwm', (48,)\nBUTTON = 0\n"
    )
    pins = boards.load_board(name, tmp_path).pins
    assert pins.BUTTON == 0 and pins.SWITCH is None and pins.MIC_SHIFT == 14
    page = (ROOT / "docs" / "boards.md").read_text()
    for key, value in defaults.items():
        shown = json.dumps(value) if isinstance(value, str) else repr(value)
        assert re.search(rf"^\| .*`{key}`.* \| .*`{re.escape(shown)}`.* \|", page, re.M), key
    for board in NAMES:
        said = boards._constants(boards.load_board(board).folder / "board.py")
        assert not {key for key in said if key in defaults and said[key] == defaults[key]}, board


def test_unknown_and_damaged_boards(tmp_path):
    with pytest.raises(HostToolError) as caught:
        boards.load_board("NOPE")
    assert "ONJU_VOICE_V3" in caught.value.hint
    (tmp_path / "X").mkdir()
    for text in ("{", "[]"):
        (tmp_path / "X" / "board.json").write_text(text)
        with pytest.raises(HostToolError):
            boards.load_board("X", tmp_path)
