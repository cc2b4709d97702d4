"""The release: the same bytes every time, complete, and nothing in it that was not proved."""

import hashlib
import json

import pytest

from host_tools.board.build import MpyKind
from host_tools.errors import HostToolError
from host_tools.release import build as release
from host_tools.release.packages import ARCHITECTURES, ENGINE, KINDS
from host_tools.shared_firmware import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(a release's folder, the lines of its SHA256SUMS)."""
    folder = tmp_path_factory.mktemp("release") / "one"
    return folder, release.build(folder)


def test_twice_the_same_bytes(built, tmp_path, monkeypatch):
    """From another working folder and into another one, over an older release."""
    monkeypatch.chdir(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    (again / release.SUMS).write_text("")
    (again / "old.mpy").write_bytes(b"left over")
    assert release.build(again) == built[1]
    assert not (again / "old.mpy").exists()


def test_every_file_has_its_sum(built):
    folder, lines = built
    assert (folder / release.SUMS).read_text().splitlines() == lines
    listed = dict(reversed(line.split("  ")) for line in lines)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(listed) == there - {release.SUMS} and len(listed) > 50
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_lists_what_it_has(built, kind):
    """Every module of the engine but another chip's assembler, by an address of its own folder."""
    folder = built[0] / "wakeword" / kind
    listed = json.loads((folder / "package.json").read_text())
    assert set(listed) == {"urls", "version"} and listed["version"][0].isdigit()
    assert all(target == url for target, url in listed["urls"])
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*.*py")}
    assert {url for _, url in listed["urls"]} == there
    modules = {
        p.relative_to(ENGINE.parent).with_suffix("").as_posix() for p in ENGINE.rglob("*.py")
    }
    if kind != "xtensawin":
        modules = {name for name in modules if not name.endswith("_xtensa")}
    assert {name.rpartition(".")[0] for name in there} == modules
    assert "wakeword/frontend/kernels" in modules and "wakeword/feed" in modules


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_machine_code_is_for_the_chip_that_the_folder_names(built, kind):
    """The header of a .mpy: M, version, architecture << 2 | sub-version."""
    data = (built[0] / "wakeword" / kind / "wakeword" / "kernels.mpy").read_bytes()
    mpy = MpyKind.from_number(data[1] | data[2] << 8)
    assert data[:1] == b"M" and (mpy.version, mpy.architecture) == (6, kind)


def test_models_are_the_proved_ones_with_their_provenance(built):
    folder = built[0] / "models"
    known = json.loads((folder / "provenance.json").read_text())
    assert known == json.loads((ROOT / "models" / "provenance.json").read_text())
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert len(known) == 4
    for entry in known:
        data = (folder / entry["name"] / f"{entry['name']}.ewm").read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["converted_sha256"]
        package = json.loads((folder / entry["name"] / "package.json").read_text())
        assert package["urls"] == [[f"{entry['name']}.ewm"] * 2]


def test_a_model_that_was_not_proved_is_not_released(tmp_path, monkeypatch):
    wrong = [{**release.read_known_models()[0], "converted_sha256": "0" * 64}]
    monkeypatch.setattr(release, "read_known_models", lambda: wrong)
    monkeypatch.setattr(release, "KINDS", ())
    with pytest.raises(HostToolError, match="was proved"):
        release.build(tmp_path / "new")
    assert not (tmp_path / "new" / release.SUMS).exists()


def test_a_folder_of_somebody_else_stays(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HostToolError, match="other files"):
        release.build(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"
