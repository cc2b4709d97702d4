"""A stage is made once; killed at any moment it goes on to the same result; only one makes it."""

import multiprocessing
import os
import shutil
import signal
import time
from collections import namedtuple

import pytest

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.training.stages import Stages

INPUTS = {"word": "alexa", "count": 3, "plan": {"b": 1, "a": [1.5, None]}}


def make(stage, numbers=(0, 1, 2), slowly=0.0):
    """Make the items that are missing, each from its number alone."""
    with stage.making() as folder:
        for number in numbers:
            path = folder / f"{number:03d}.bin"
            if not path.exists():
                time.sleep(slowly)
                atomic_file.write(path, bytes([number]) * 1000)
        stage.finish()


def test_a_stage_is_found_again_by_its_inputs(tmp_path):
    stage = Stages(tmp_path).folder("word", INPUTS, 1)
    assert not stage.is_done and not stage.path.exists()
    make(stage)
    again = Stages(tmp_path).folder("word", dict(reversed(INPUTS.items())), 1)
    assert again.path == stage.path and again.is_done
    assert [path.name for path in again.items()] == ["000.bin", "001.bin", "002.bin"]
    assert '"alexa"' in (stage.path / "inputs.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name, inputs, version",
    [("near", INPUTS, 1), ("word", {**INPUTS, "count": 4}, 1), ("word", INPUTS, 2)],
)
def test_another_name_input_or_version_is_another_stage(tmp_path, name, inputs, version):
    stages = Stages(tmp_path)
    assert stages.folder(name, inputs, version).path != stages.folder("word", INPUTS, 1).path


def test_a_stage_that_lost_an_item_is_not_done(tmp_path):
    stage = Stages(tmp_path).folder("word", INPUTS, 1)
    make(stage)
    whole = stage.sha256
    (stage.path / "001.bin").unlink()
    assert not stage.is_done
    with pytest.raises(HostToolError, match="is not finished"):
        stage.sha256  # noqa: B018
    make(stage)
    assert stage.is_done and stage.sha256 == whole


def test_the_hash_follows_content_and_names(tmp_path):
    def hash_of(root, **items):
        stage = Stages(tmp_path / root).folder("word", INPUTS, 1)
        with stage.making() as folder:
            for name, content in items.items():
                (folder / name).write_bytes(content)
            stage.finish()
        return stage.sha256

    first = hash_of("a", x=b"1", y=b"2")
    assert first == hash_of("b", y=b"2", x=b"1")
    others = [hash_of("c", x=b"1", z=b"2"), hash_of("d", x=b"1", y=b"3"), hash_of("e", x=b"1")]
    assert len({first, *others}) == 4


def test_killed_at_any_moment_it_goes_on_to_the_same_result(tmp_path):
    whole = Stages(tmp_path / "whole").folder("word", INPUTS, 1)
    make(whole, range(12))
    stage = Stages(tmp_path / "killed").folder("word", INPUTS, 1)
    for wait_s in (0.0, 0.02, 0.05):
        child = multiprocessing.get_context("fork").Process(
            target=make, args=(stage, range(12), 0.02)
        )
        child.start()
        time.sleep(wait_s)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert not stage.is_done
    (stage.path / ".005.bin.abcd.part").write_bytes(b"half")
    make(stage, range(12))
    assert stage.is_done and stage.sha256 == whole.sha256
    assert not list(stage.path.glob("*.part")) and not list(stage.path.glob(".*.part"))


def test_two_runs_do_not_make_one_stage_at_once(tmp_path):
    stage = Stages(tmp_path).folder("word", INPUTS, 1)
    with stage.making(), pytest.raises(HostToolError, match="another `earnest train`") as refused:
        make(Stages(tmp_path).folder("word", INPUTS, 1))
    assert refused.value.hint == "wait for it, or stop it"
    make(stage)
    assert stage.is_done


Usage = namedtuple("Usage", "total used free")


def test_too_little_space_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 9, 1_049_999_999))
    stage = Stages(tmp_path / "new" / "root").folder("word", INPUTS, 1)
    with pytest.raises(HostToolError, match=r"1\.1 GB needed, 1\.0 GB free"):
        with stage.making(1_000_000_000):
            pytest.fail("it began")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 9, 1_050_000_000))
    with stage.making(1_000_000_000) as folder:
        assert folder.is_dir()
