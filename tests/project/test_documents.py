"""What the documents name is there: tests, files, commands with their options, targets of make."""

import ast
import re
import subprocess

import click
import pytest

from host_tools import cli
from host_tools.shared_firmware import ROOT
from tests.project import test_host_imports

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("boards/*/board.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
#: `file.py::test`, `::test` of the file named before, `file.py` alone.
TEST = re.compile(r"`(?:tests/)?((?:\w+/)?test_\w+\.py)?(?:::(\w+))?`")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def missing_tests(words):
    """Tests that `words` names and that are not there; a file without a folder is in firmware/."""
    missing = []
    path = None
    for file, test in TEST.findall(words):
        if file:
            path = ROOT / "tests" / (file if "/" in file else f"firmware/{file}")
        if (file or test) and (path is None or not path.is_file()):
            missing.append(file or test)
        elif test and test not in functions_of(path):
            missing.append(f"{path.name}::{test}")
    return missing


@pytest.mark.parametrize("name", NAMES)
def test_every_test_that_is_named_is_there(name):
    assert missing_tests(text(name)) == []


def test_a_missing_test_would_be_seen():
    assert missing_tests("`test_gate.py::test_no_such`, `::test_nor_this`") == [
        "test_gate.py::test_no_such",
        "test_gate.py::test_nor_this",
    ]
    assert missing_tests("`tests/host/test_nothing.py`") == ["host/test_nothing.py"]
    assert sum(any(found) for found in TEST.findall(text("docs/privacy.md"))) > 40


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", text(name)):
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            assert found.exists(), target
            if heading:
                headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
                assert heading in slugs, target


def calls(words):
    """([command, word after it], [options]) of each `earnest ...` in code of a document."""
    code = re.findall(r"```.*?```|`[^`\n]+`", words, re.S)
    for line in "\n".join(code).replace("\\\n", " ").splitlines():
        for call in re.findall(r"(?:^|[\s`/])earnest ([a-z]+(?: [a-z][a-z-]*)?)([^`#|>]*)", line):
            yield call[0].split(), re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", call[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_that_is_named_is_there(name):
    for words, options in calls(text(name)):
        command = words[0]
        assert command in cli.COMMANDS, command
        known = cli.command.get_command(click.Context(cli.command), command)
        if isinstance(known, click.Group) and words[1:]:
            known = known.commands[words[1]]
        spelled = {o for p in known.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        assert set(options) <= spelled, (command, set(options) - spelled)


def test_a_missing_option_would_be_seen():
    assert list(calls("```\n.venv/bin/earnest log --no-such x\n```")) == [(["log"], ["--no-such"])]
    assert sum(len(list(calls(text(name)))) for name in NAMES) > 50


def test_every_target_of_make_that_is_named_is_there():
    rules = subprocess.run(["make", "-pnq"], cwd=ROOT, capture_output=True, text=True).stdout
    targets = set(re.findall(r"^([a-z-]+):", rules, re.M))
    named = set()
    for name in NAMES:
        for code in re.findall(r"```.*?```|`[^`\n]+`", text(name), re.S):
            for words in re.findall(r"(?:^|[`\n] *)make ((?:[a-z]+ ?)+)", code):
                named |= set(words.split())
    assert {"demo", "test", "flash", "install", "provision"} <= named <= targets, named - targets


def missing_paths(words):
    """Paths in `words`, of the repository or of a room, that are not there.

    Patterns (`*`, `NAME`) are left out, and so is `build/`: a fresh clone does not have it yet.
    """
    paths = [
        path
        for path in re.findall(r"`([\w.]+/[\w./*]*)`", words)
        if not re.search("[*]|[A-Z]|^build/", path)
    ]
    bases = (ROOT, ROOT / "host_tools", ROOT / "firmware")
    return [path for path in paths if not any((base / path).exists() for base in bases)]


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_room_and_file_that_the_guides_name_is_there(name):
    assert missing_paths(text(name)) == []


def test_a_missing_room_would_be_seen():
    words = "`host_tools/attic/` `drivers/psychic.py` `audio/nothing.py` `boards/*/board.py`"
    assert missing_paths(words) == ["host_tools/attic/", "drivers/psychic.py", "audio/nothing.py"]
    assert len(re.findall(r"`[\w.]+/", text("docs/architecture.md"))) > 40


def test_the_architecture_shows_every_room_on_its_floor():
    words = text("docs/architecture.md")
    table = words.partition("<!-- floors:begin -->")[2].partition("<!-- floors:end -->")[0]
    shown = {room.rstrip("/"): int(n) for n, room in re.findall(r"\| (\d+) \| `(\w+/?)`", table)}
    assert shown == test_host_imports.FLOOR
    for folder in ("firmware", "host_tools"):
        rooms = {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}
        assert rooms and all(f"`{folder}/{room}/`" in words or room in shown for room in rooms)


@pytest.mark.parametrize("name", NAMES)
def test_every_script_that_is_named_can_be_run_as_it_says(name):
    """By its path a script cannot import `tests`; with -m it can."""
    for module in re.findall(r"python -m (tests\.[\w.]+)", text(name)):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    for path in re.findall(r"python (tests/[\w/]+\.py)", text(name)):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not re.search(r"^(from|import) tests\b", source, re.M), f"{path}: use -m"
