"""What an image is, and that no damage gets past: images made with esptool's own image tools."""

import random
from dataclasses import replace

import pytest
from esptool.bin_image import ESP32FirmwareImage

from host_tools.board.definition import load_board
from host_tools.board.flash_image import MAX_IMAGE_BYTES, read_image, require_fit
from host_tools.errors import HostToolError
from tests.fakes.board.chip_images import micropython

BOARD = load_board("ESPRESSIF_S3_EYE")
PLAIN = load_board("ESPRESSIF_DEVKITC_1_N8R2")


@pytest.fixture
def image(tmp_path):
    return micropython(tmp_path)


def test_what_is_read_of_an_image(image):
    got = read_image(image)
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
    with pytest.raises(HostToolError, match="not MicroPython but a program without a name"):
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
        ({"project": b"esp-at"}, "not MicroPython but esp-at"),
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
    data = image
    for spoiled, words in (
        (b"", "does not begin"),
        (b"UF2\n" + data, "does not begin"),
        (data[0x10000:], "no partition table|cannot be read"),
        (data[:0x8000], "no partition table"),
        (data[:0x10000], "ends before"),
        (data[:-200], "cannot be read|damaged"),
        (damage(data, 40), "boot loader is damaged"),
        (damage(data, 0x8000 + 20), "partition table is damaged"),
        (damage(data, 0x10000 + 24 + 8 + 20), "application is damaged"),
        (damage(data[:23] + b"\0" + data[24:], 40), "its checksum"),  # it says: no SHA-256
        (damage(data, len(data) - 1), "application is damaged: its SHA-256"),
    ):
        with pytest.raises(HostToolError, match=words):
            read_image(spoiled)


def test_the_largest_image(image):
    data = image.ljust(MAX_IMAGE_BYTES, b"\xff")
    assert read_image(data) == read_image(image)
    with pytest.raises(HostToolError, match="16777217 bytes are too many"):
        read_image(data + b"\xff")


def test_any_damage_gives_an_image_or_an_error_in_words(image):
    """Cut anywhere, and bytes changed or put in where they mean something."""
    chance = random.Random(20261122)
    places = ((0, 160), (0x8000, 0x8080), (0x10000, 0x10040), (len(image) - 120, len(image)))
    refused = 0
    for number in range(20_000):
        data = bytearray(image)
        if number % 4 == 0:
            del data[chance.choice((chance.randrange(len(data)), len(data) - number // 200)) :]
        for _ in range(number % 5):
            first, end = chance.choice(places)
            at = chance.randrange(first, end)
            put = chance.choice((chance.randbytes(1), b"\xff" * 4, bytes(4), b"\x7f" * 4))
            data[at : at + (chance.random() < 0.8) * len(put)] = put
        try:
            read_image(bytes(data))
        except HostToolError as error:
            refused += 1
            assert error.message and error.hint, number
    assert refused > 10_000
