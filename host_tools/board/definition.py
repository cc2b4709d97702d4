"""The boards in boards/: what install and flash need to know of each, checked when it is read.

A board is a folder with board.json (for the host), board.py (plain constants, for the device) and
board.md (for people).  board.py is read without running it.  Where one board is sold with several
modules, board.json has `variants`: the id of each is FOLDER_VARIANT, and its fields are added to
those that all variants share.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from host_tools.errors import HostToolError
from host_tools.places import BOARDS
from host_tools.shared_firmware import FIRMWARE

#: The constants that a board.py may leave out, with their values.
DEFAULTS = FIRMWARE / "drivers" / "board_defaults.py"
CHIPS = ("esp32s3",)
KINDS = ("built", "bought")
PSRAM_MODES = ("quad", "octal")
LIGHTS = {"neopixel": (1, 2), "apa102": (2,), "pwm": (1, 3)}  # how many pins
CHANNELS = ("left", "right")

#: ESP32-S3: pads of the package that are GPIOs; all of them can be inputs and outputs.
PINS = frozenset({*range(22), *range(26, 49)})
FLASH_PINS = frozenset(range(26, 33))
OCTAL_PINS = frozenset(range(33, 38))
STRAPPING_PINS = frozenset({0, 3, 45, 46})
USB_PINS = frozenset({19, 20})
UART_PINS = frozenset({43, 44})


@dataclass(frozen=True)
class Psram:
    """Size in MB; mode: quad or octal, which takes GPIO33 to GPIO37."""

    mb: int
    mode: str


@dataclass(frozen=True)
class MicroPythonImage:
    """The stock image: URL, SHA-256 (None: not known, so not checked), least version that fits."""

    min_version: str
    image: str
    sha256: str | None
    page: str


@dataclass(frozen=True)
class Pins:
    """board.py: GPIO numbers, levels and settings, as docs/boards.md explains them."""

    NAME: str
    MIC_SCK: int
    MIC_WS: int
    MIC_SD: int
    MIC_CHANNEL: str
    MIC_SHIFT: int
    MIC_GAIN_Q4: int
    MIC_SETTLE_MS: int
    MIC_SUPPLY: int | None
    MIC_SUPPLY_ON: int
    MIC_SENSE: int | None
    SPEAKER_SCK: int | None
    SPEAKER_WS: int | None
    SPEAKER_SD: int | None
    SPEAKER_ENABLE: int | None
    SPEAKER_ENABLE_ON: int
    SPEAKER_SHARES_CLOCK: bool
    LIGHT: str
    LIGHT_PINS: tuple[int, ...]
    LIGHT_COUNT: int
    LIGHT_ON: int
    BUTTON: int | None
    BUTTON_PRESSED: int
    SWITCH: int | None
    SWITCH_MUTED: int
    QUIET_PINS: tuple[tuple[int, int], ...]

    @property
    def has_colour(self) -> bool:
        """Whether the light has one colour for each state (firmware/drivers/lights.py)."""
        return self.LIGHT != "pwm" or len(self.LIGHT_PINS) == 3

    @property
    def has_speaker(self) -> bool:
        """Whether there is an amplifier; without one the device makes no sound."""
        return self.SPEAKER_SD is not None

    @property
    def clock(self) -> tuple[int, int]:
        """The microphone's clock pins; a speaker may share them."""
        return self.MIC_SCK, self.MIC_WS

    def used(self) -> list[tuple[str, int]]:
        """(role, GPIO) of every pin, in the order of board.py; of shared clock pins once."""
        found = [("MIC_SCK", self.MIC_SCK), ("MIC_WS", self.MIC_WS), ("MIC_SD", self.MIC_SD)]
        roles = ["MIC_SUPPLY", "MIC_SENSE", "SPEAKER_SCK", "SPEAKER_WS", "SPEAKER_SD"]
        for role in [*roles, "SPEAKER_ENABLE", "BUTTON", "SWITCH"]:
            is_shared = self.SPEAKER_SHARES_CLOCK and role in ("SPEAKER_SCK", "SPEAKER_WS")
            if getattr(self, role) is not None and not is_shared:
                found.append((role, getattr(self, role)))
        found += [("LIGHT_PINS", pin) for pin in self.LIGHT_PINS]
        return found + [("QUIET_PINS", pin) for pin, _ in self.QUIET_PINS]


@dataclass(frozen=True)
class Board:
    """A folder of boards/, or one variant of it."""

    id: str
    folder: Path
    name: str
    vendor: str
    kind: str
    chip: str
    flash_mb: int
    psram: Psram
    micropython: MicroPythonImage
    microphone: str
    speaker: str | None
    tested: bool
    sources: tuple[str, ...]
    pins: Pins


def board_names(folder: Path = BOARDS) -> list[str]:
    """Return the ids of all boards, sorted."""
    return sorted(_folders(folder))


def load_board(name: str, folder: Path = BOARDS) -> Board:
    """Read and check one board; HostToolError names the file and what is wrong with it."""
    known = _folders(folder)
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise HostToolError(f"no such board: {name}", f"known boards: {names}")
    home = known[name]
    path = home / "board.json"
    data = _read_json(path)
    variants = data.pop("variants", {})
    if home.name != name:
        data |= variants[name.removeprefix(home.name + "_")]
    pins = {**_constants(DEFAULTS), **_constants(home / "board.py")}
    data |= {"id": name, "folder": home, "pins": pins}
    data["psram"] = _make(Psram, data.get("psram"), path)
    data["micropython"] = _make(MicroPythonImage, data.get("micropython"), path)
    data["pins"] = _make(Pins, data["pins"], home / "board.py")
    if isinstance(data.get("sources"), list):
        data["sources"] = tuple(data["sources"])
    board: Board = _make(Board, data, path)
    for problem in _problems(board):
        raise HostToolError(f"{home}: {problem}", "see docs/boards.md")
    return board


def _folders(folder: Path) -> dict[str, Path]:
    """Return each board's id with its folder."""
    found = {}
    for path in folder.glob("*/board.json"):
        variants = _read_json(path).get("variants", {})
        ids = [f"{path.parent.name}_{variant}" for variant in variants]
        found.update(dict.fromkeys(ids or [path.parent.name], path.parent))
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise HostToolError(f"{path}: {error}", "board.json must be JSON") from error
    if not isinstance(data, dict):
        raise HostToolError(f"{path}: not an object", "see docs/boards.md")
    if not _are_variants(data.get("variants", {})):
        raise HostToolError(f"{path}: variants must be objects", "see docs/boards.md")
    return data


def _are_variants(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())


def _make(cls: Any, data: Any, path: Path) -> Any:
    """A dataclass of a dict that has exactly its fields, each of the type that it says."""
    if not isinstance(data, dict):
        raise HostToolError(f"{path}: {cls.__name__} must be an object", "see docs/boards.md")
    names = {field.name for field in fields(cls)}
    if set(data) != names:
        wrong = sorted(names ^ set(data))
        raise HostToolError(
            f"{path}: fields missing or unknown: {', '.join(wrong)}", "see docs/boards.md"
        )
    for field in fields(cls):
        value, kind = data[field.name], str(field.type)
        allowed = _TYPES.get(kind.split("[")[0].split(" ")[0], (object,))
        optional = "None" in kind and value is None
        if not optional and (not isinstance(value, allowed) or (kind == "int" and value is True)):
            raise HostToolError(
                f"{path}: {field.name} is {value!r}, not {kind}", "see docs/boards.md"
            )
    return cls(**data)


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "tuple": (tuple,),
}


def _constants(path: Path) -> dict[str, object]:
    """The constants of a board.py: assignments of literals to names or tuples of names only."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, OSError) as error:
        raise HostToolError(f"{path}: {error}", "board.py must hold plain constants") from error
    found: dict[str, object] = {}
    for node in tree.body[1:] if ast.get_docstring(tree) else tree.body:
        try:
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                raise ValueError("not an assignment")
            value = ast.literal_eval(node.value)
            target = node.targets[0]
            if isinstance(target, ast.Tuple):
                names = [ast.unparse(name) for name in target.elts]
                found.update(zip(names, value, strict=True))
            else:
                found[ast.unparse(target)] = value
        except (ValueError, TypeError) as error:
            raise HostToolError(
                f"{path}, line {node.lineno}: {error}", "board.py must hold plain constants"
            ) from error
    return found


_LEVELS = ("MIC_SUPPLY_ON", "SPEAKER_ENABLE_ON", "LIGHT_ON", "BUTTON_PRESSED", "SWITCH_MUTED")
_SPEAKER_PINS = ("SPEAKER_SCK", "SPEAKER_WS", "SPEAKER_SD", "SPEAKER_ENABLE")


def _speaker_problems(pins: Pins) -> list[str]:
    """What is wrong with the speaker's constants, one sentence each."""
    said = [role for role in _SPEAKER_PINS if getattr(pins, role) is not None]
    if not said:
        shares = pins.SPEAKER_SHARES_CLOCK
        return ["SPEAKER_SHARES_CLOCK, and there is no speaker"] if shares else []
    missing = [role for role in _SPEAKER_PINS if role not in said]
    if missing == ["SPEAKER_ENABLE"]:
        return ["no SPEAKER_ENABLE: nothing could silence the amplifier or read it back"]
    if missing:
        return [f"a speaker without {', '.join(missing)}"]
    if not pins.SPEAKER_SHARES_CLOCK:
        return []
    found = []
    if (pins.SPEAKER_SCK, pins.SPEAKER_WS) != pins.clock:
        found.append("SPEAKER_SHARES_CLOCK, but SPEAKER_SCK, SPEAKER_WS are not the microphone's")
    if pins.MIC_SUPPLY is not None:
        found.append("a shared clock would feed the microphone while MIC_SUPPLY is off")
    return found


def _problems(board: Board) -> list[str]:
    """What is wrong with a board's values and pins, one sentence each."""
    pins, found = board.pins, []

    def require(condition: bool, sentence: str) -> None:
        if not condition:
            found.append(sentence)

    require(pins.NAME == board.folder.name, f"board.py says NAME = {pins.NAME!r}")
    require(board.chip in CHIPS, f"chip is {board.chip!r}, not of {CHIPS}")
    require(board.kind in KINDS, f"kind is {board.kind!r}, not of {KINDS}")
    require(board.flash_mb in (4, 8, 16, 32), f"flash_mb is {board.flash_mb}")
    octal = board.psram.mode == "octal"
    require(board.psram.mode in PSRAM_MODES, f"psram mode is {board.psram.mode!r}")
    require(board.psram.mb in (2, 8, 16), f"psram mb is {board.psram.mb}")
    image = board.micropython.image
    require(image.startswith("https://micropython.org/"), f"image is {image!r}")
    require(octal == ("SPIRAM_OCT" in image), "octal PSRAM and the image do not fit each other")
    sha = board.micropython.sha256
    require(
        sha is None or (len(sha) == 64 and set(sha) <= set("0123456789abcdef")),
        f"sha256 is {sha!r}",
    )
    require(bool(board.sources), "no sources")
    for source in board.sources:
        require(str(source).startswith("https://"), f"source is {source!r}")
    require(pins.MIC_CHANNEL in CHANNELS, f"MIC_CHANNEL is {pins.MIC_CHANNEL!r}")
    require(12 <= pins.MIC_SHIFT <= 15, f"MIC_SHIFT is {pins.MIC_SHIFT}, not 12..15")
    require(1 <= pins.MIC_GAIN_Q4 <= 255, f"MIC_GAIN_Q4 is {pins.MIC_GAIN_Q4}, not 1..255")
    require(0 <= pins.MIC_SETTLE_MS <= 1000, f"MIC_SETTLE_MS is {pins.MIC_SETTLE_MS}")
    require(pins.LIGHT in LIGHTS, f"LIGHT is {pins.LIGHT!r}, not of {tuple(LIGHTS)}")
    require(
        len(pins.LIGHT_PINS) in LIGHTS.get(pins.LIGHT, ()),
        f"{pins.LIGHT} with {len(pins.LIGHT_PINS)} pins",
    )
    require(1 <= pins.LIGHT_COUNT <= 64, f"LIGHT_COUNT is {pins.LIGHT_COUNT}")
    require(
        pins.BUTTON is not None or pins.SWITCH is not None,
        "neither button nor switch: nobody could unmute it",
    )
    for role in _LEVELS:
        require(getattr(pins, role) in (0, 1), f"{role} is {getattr(pins, role)}, not 0 or 1")
    found += _speaker_problems(pins)
    require(
        (board.speaker is not None) == pins.has_speaker,
        f"board.json says speaker {board.speaker!r}, board.py the pins of another",
    )
    used = pins.used()
    numbers = [pin for _, pin in used]
    for role, pin in used:
        require(pin in PINS, f"{role}: the chip has no GPIO{pin}")
        require(pin not in FLASH_PINS, f"{role}: GPIO{pin} belongs to the flash")
        require(not octal or pin not in OCTAL_PINS, f"{role}: GPIO{pin} belongs to the PSRAM")
        require(pin not in USB_PINS, f"{role}: GPIO{pin} is the USB")
        require(numbers.count(pin) == 1, f"{role}: GPIO{pin} is used twice")
    return found
