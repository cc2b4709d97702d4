"""The pages for people name what the tools really say, and commands that there are."""

import ast
import re

from host_tools import cli
from host_tools.board.definition import board_names
from host_tools.shared_firmware import FIRMWARE, ROOT

PAGES = ("quickstart.md", "troubleshooting.md", "diagnostics.md")
#: Parts of a quoted phrase that stand for something else.
GAPS = r"\.\.\.|;|'kitchen'|/dev/|FILE|NAME|:|,|\(|\d+ s$"

#: What `status`, `mic` and `selftest` print before the words.
LABEL = (
    r"^(FAIL \w+|status|muted yes, by|muted|Wi-Fi|light|receiver|record|last error|last reset|"
    r"state|model|microphone|by) "
)
#: Names of errors, of records and of rows: no sentences of ours.
OTHERS = {
    *("OSError", "MemoryError", "ImportError", "ConfigError", "ModelFormatError"),
    *("fault what", "fault what network", "refused what unmute", "shows MUTED"),
}


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def said():
    """All texts of the tools and of the firmware, with nothing where a value goes."""
    texts = []
    for path in [*(ROOT / "host_tools").rglob("*.py"), *FIRMWARE.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def rows(text):
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_what_it_says_is_what_it_says():
    texts = said()
    quoted = []
    for row in rows(page("troubleshooting.md")):
        quoted += re.findall(r"`([^`]+)`", row[0])
        if len(row) == 4:
            quoted += re.findall(r"`([^`]+)`", row[1])
    assert len(quoted) > 50
    missing = []
    for phrase in quoted:
        phrase = re.sub(LABEL, "", phrase)
        for part in re.split(GAPS, phrase):
            words = part.strip(" )")
            if len(words) > 3 and words not in OTHERS and words not in texts:
                missing.append(words)
    assert not missing, "\n".join(missing)


def test_every_verdict_of_the_microphone_has_its_entry():
    source = (FIRMWARE / "diagnostics" / "microphone.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    advice = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ADVICE"
    )
    verdicts = {key.value for key in advice.keys} | {"REFUSED"}
    cells = " ".join(row[0] for row in rows(page("troubleshooting.md")))
    assert verdicts - set(re.findall(r"`([A-Z_]+)`", cells)) == set()


def test_commands_and_options_exist():
    for name in PAGES:
        text = page(name)
        for command in re.findall(r"`?(?:\.venv/bin/)?earnest ([a-z]+)", text):
            assert command in cli.COMMANDS, (name, command)
    for target in ("flash", "install", "provision"):
        assert re.search(f"^{target}:", (ROOT / "Makefile").read_text(), re.M)
        assert f"make {target}" in page("quickstart.md")


def test_links_lead_somewhere():
    for name in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page(name)):
            assert (ROOT / "docs" / target).exists(), (name, target)


def test_the_board_proposed_to_begin_with_exists():
    for name in PAGES:
        for board in re.findall(r"[A-Z]+_[A-Z0-9]+_[A-Z0-9_]+", page(name)):
            if board.startswith(("ESPRESSIF", "ONJU", "LILYGO")):
                assert board in board_names() or (ROOT / "boards" / board).is_dir(), board
