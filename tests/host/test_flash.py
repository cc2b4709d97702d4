"""`earnest flash`: images made with esptool's own image tools, esptool's exact calls, the wait."""

import hashlib
import struct
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from esptool.bin_image import ELFSection, ESP32FirmwareImage, ESP32S3FirmwareImage

from host_tools import cli, flash
from host_tools.boards import board_names, load_board
from host_tools.chip_image import MAX_IMAGE_BYTES, read_image, require_fit
from host_tools.errors import HostToolError

BOARD = load_board("ESPRESSIF_S3_EYE")
PLAIN = load_board("ESPRESSIF_DEVKITC_1_N8")
DROM = {ESP32S3FirmwareImage: 0x3C000020, ESP32FirmwareImage: 0x3F400020}
RAM = {ESP32S3FirmwareImage: 0x40378000, ESP32FirmwareImage: 0x40080000}


def one_image(tmp_path, chip, segments):
    """An image as esptool writes it."""
    image = chip()
    image.chip_id = chip.ROM_LOADER.IMAGE_CHIP_ID
    image.entrypoint = RAM[chip]
    image.segments = [ELFSection(b".part", at, data, 0) for at, data in segments]
    path = tmp_path / "part.bin"
    image.save(str(path))
    return path.read_bytes()


def micropython(
    tmp_path,
    chip=ESP32S3FirmwareImage,
    application_chip=None,
    version=b"v1.28.0",
    project=b"micropython",
    flash_mb=8,
    words=b"Generic ESP32S3 module with Octal-SPIRAM",
):
    """A whole flash image: boot loader, partition table, application."""
    boot = one_image(tmp_path, chip, [(RAM[chip], b"boot" * 16)])
    table = b""
    for kind, address, size, label in (
        (1, 0x9000, 0x6000, b"nvs"),
        (0, 0x10000, 0x1F0000, b"factory"),
        (1, 0x200000, (flash_mb << 20) - 0x200000, b"vfs"),
    ):
        table += struct.pack("<HBBII16sI", 0x50AA, kind, 0, address, size, label, 0)
    description = struct.pack("<IIII32s32s", 0xABCD5432, 0, 0, 0, version, project)
    chip = application_chip or chip
    drom = (description + words).ljust(256, b"\0")
    application = one_image(tmp_path, chip, [(DROM[chip], drom), (RAM[chip], b"code" * 8)])
    return boot.ljust(0x8000, b"\xff") + table.ljust(0x8000, b"\xff") + application


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.bin"
    path.write_bytes(micropython(tmp_path))
    return path


def test_what_is_read_of_an_image(image):
    got = read_image(image.read_bytes())
    assert (got.chip, got.flash_bytes, got.version) == ("esp32s3", 8 << 20, "v1.28.0")
    assert got.project == "micropython" and got.has_octal_psram
    assert require_fit(got, BOARD) == []
    assert "octal" in require_fit(got, PLAIN)[0]


def test_an_official_image_says_what_it_is_in_its_banner_only(tmp_path):
    words = b"MicroPython v1.28.0 on 2026-04-06\0Generic ESP32S3 module with ESP32S3\0"
    data = micropython(tmp_path, version=b"", project=b"", words=words)
    got = read_image(data)
    assert (got.project, got.version) == ("micropython", "v1.28.0")
    assert require_fit(got, PLAIN) == []
    with pytest.raises(HostToolError, match="no MicroPython, but without a name"):
        other = words.replace(b"MicroPython", b"NanoPython")
        require_fit(
            read_image(micropython(tmp_path, version=b"", project=b"", words=other)), PLAIN
        )


@pytest.mark.parametrize(
    "options, words",
    [
        ({"chip": ESP32FirmwareImage}, "for esp32, the board has esp32s3"),
        ({"application_chip": ESP32FirmwareImage}, "different chips"),
        ({"version": b"v1.23.0"}, "v1.23.0, at least 1.24.0"),
        ({"project": b"esp-at"}, "no MicroPython, but esp-at"),
        ({"flash_mb": 16}, "16 MB of flash, the board has 8"),
    ],
)
def test_a_wrong_image_is_refused(tmp_path, options, words):
    with pytest.raises(HostToolError, match=words) as caught:
        require_fit(read_image(micropython(tmp_path, **options)), BOARD)
    assert caught.value.hint


def test_an_unclear_version_is_a_warning(tmp_path):
    got = read_image(micropython(tmp_path, version=b"9458e3a-dirty", words=b"Octal-SPIRAM"))
    assert require_fit(replace(got, version="new"), BOARD)[0].startswith("the image's version")


def damage(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_damaged_images_are_refused(image):
    data = image.read_bytes()
    for spoiled, words in (
        (b"", "does not begin"),
        (b"UF2\n" + data, "does not begin"),
        (data[0x10000:], "no partition table|cannot be read"),
        (data[:0x8000], "no partition table"),
        (data[:0x10000], "ends before"),
        (data[:-200], "cannot be read|damaged"),
        (damage(data, 40), "boot loader is damaged"),
        (damage(data, 0x10000 + 24 + 8 + 20), "application is damaged"),
        (damage(data[:23] + b"\0" + data[24:], 40), "its checksum"),  # it says: no SHA-256
        (damage(data, len(data) - 1), "application is damaged: its SHA-256"),
        (bytes(MAX_IMAGE_BYTES + 1), "too many"),
    ):
        with pytest.raises(HostToolError, match=words):
            read_image(spoiled)


def test_dry_run_prints_the_exact_calls(image, capfd):
    call = ["flash", "--board", BOARD.id, "--port", "/dev/ttyX", "--image", str(image)]
    assert cli.run([*call, "--dry-run"]) == 0
    out = capfd.readouterr().out
    asked = "esptool --chip esp32s3 --port /dev/ttyX --after no-reset flash-id"
    wrote = (
        "esptool --chip esp32s3 --port /dev/ttyX --baud 460800 "
        f"write-flash --erase-all 0x0 {image}"
    )
    assert f"1. ask the chip: {asked}\n" in out
    assert f"4. erase and write: {wrote}\n" in out
    assert flash.write_call(BOARD, "/dev/ttyX", image)[:3] == [sys.executable, "-m", "esptool"]


@pytest.mark.parametrize("which", [flash.identify_call, flash.write_call])
def test_esptool_understands_the_calls(which, image, capfd):
    """The real esptool gets past its arguments: it complains of the port, not of them."""
    call = which(
        BOARD, "/dev/there-is-no-such-port", *([image] if which is flash.write_call else [])
    )
    status, said = flash.run_tool(call)
    assert status != 0 and "/dev/there-is-no-such-port" in said, said
    assert "No such option" not in said and "Usage" not in said, said


class Chip:
    """Answers as esptool does and keeps the calls."""

    def __init__(self, said="Detected flash size: 8MB\n", status=0, write_status=0):
        self.calls = []
        self.said, self.status, self.write_status = said, status, write_status

    def __call__(self, call):
        self.calls.append(next(word for word in call if "flash" in word and "/" not in word))
        if self.calls[-1] == "flash-id":
            return self.status, self.said
        return self.write_status, "A fatal error occurred: Packet content transfer stopped\n"


def test_the_whole_way_with_a_chip_of_words(board, image, capfd):
    chip = Chip()
    port, version = flash.flash(BOARD, board.port, image, True, chip)
    assert chip.calls == ["flash-id", "write-flash"]
    assert port == board.port and version.count(".") == 2
    assert f"earnest install --board {BOARD.id}" in capfd.readouterr().out


@pytest.mark.parametrize(
    "chip, words",
    [
        (Chip("A fatal error occurred: This chip is ESP32, not ESP32-S3. Wrong chip argument?", 2),
         "this chip is ESP32, the board"),
        (Chip("A fatal error occurred: Failed to connect to ESP32-S3: No serial data", 2),
         "found no chip: A fatal error"),
        (Chip("Detected flash size: 4MB\n"), "4 MB of flash, ESPRESSIF_S3_EYE has 8"),
        (Chip("Detected flash size: Unknown\n"), "could not tell"),
        (Chip("Detected flash size: 512KB\n"), "512 KB"),
    ],
)  # fmt: skip
def test_a_wrong_chip_is_not_erased(board, image, chip, words):
    with pytest.raises(HostToolError, match=words) as caught:
        flash.flash(BOARD, board.port, image, True, chip)
    assert chip.calls == ["flash-id"] and caught.value.hint


def test_asks_before_it_erases(board, image, monkeypatch):
    chip = Chip()
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    with pytest.raises(flash.click.Abort):
        flash.flash(BOARD, board.port, image, False, chip)
    assert chip.calls == ["flash-id"]


def test_a_failed_write_is_said(board, image):
    with pytest.raises(HostToolError, match="could not write: A fatal error"):
        flash.flash(BOARD, board.port, image, True, Chip(write_status=2))


def test_waits_for_whichever_port(board, monkeypatch):
    monkeypatch.setattr(flash, "find_ports", lambda: [SimpleNamespace(device=board.port)])
    assert flash.wait_for_repl("/dev/gone", 20)[0] == board.port
    monkeypatch.setattr(flash, "find_ports", list)
    with pytest.raises(HostToolError, match="no MicroPython answered"):
        flash.wait_for_repl("/dev/gone", 0.6)


def pinned(data):
    source = replace(BOARD.micropython, sha256=hashlib.sha256(data).hexdigest())
    return replace(BOARD, micropython=source)


def test_no_download_without_a_pinned_sum():
    for name in board_names():
        board = load_board(name)
        if board.micropython.sha256 is None:
            with pytest.raises(HostToolError, match="not pinned") as caught:
                flash.get_image(board, None)
            assert "--image" in caught.value.hint and "micropython.org" in caught.value.hint


def test_download_cache_and_wrong_sum(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(flash, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(flash, "download", lambda url: asked.append(url) or b"image")
    board = pinned(b"image")
    for _ in range(2):
        path, data = flash.get_image(board, None)
        assert data == b"image" and path.parent == tmp_path / "cache"
    assert asked == [BOARD.micropython.image]
    path.write_bytes(b"changed")
    assert flash.get_image(board, None)[1] == b"image" and len(asked) == 2
    with pytest.raises(HostToolError, match="not what board.json pins"):
        flash.get_image(pinned(b"other"), None)


def test_offline_and_no_such_file(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise flash.urllib.error.URLError("no network")

    monkeypatch.setattr(flash.urllib.request, "urlopen", offline)
    with pytest.raises(HostToolError, match="no network") as caught:
        flash.download(BOARD.micropython.image)
    assert "--image" in caught.value.hint
    with pytest.raises(HostToolError, match="No such file"):
        flash.get_image(BOARD, tmp_path / "nothing.bin")


def test_repl_is_mpremotes(capfd):
    assert cli.run(["repl", "--port", "/dev/ttyX", "--dry-run"]) == 0
    assert capfd.readouterr().out.strip() == "-m mpremote connect /dev/ttyX repl"
    assert cli.run(["repl", "--port", "/dev/there-is-none"]) == 2
    assert "there is no port" in capfd.readouterr().err
