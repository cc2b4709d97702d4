"""`earnest donate`: only what may be shared, only what was heard, and no identity."""

import hashlib
import io
import json
import stat
import tarfile
import wave

import pytest
from click.testing import CliRunner

from host_tools.commands import donate
from host_tools.donation.archive import Labels, donatable, write_archive
from host_tools.errors import HostToolError
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME, digest_of
from host_tools.receiver.recordings import Recordings
from tests.fakes.receivers import SPEECH, earnest

KITCHEN, HALL = "a1" * 8, "b2" * 8


@pytest.fixture
def recordings(tmp_path):
    """A receiver's recordings: three that may be shared, of two devices, and one that may not."""
    kept = Recordings(tmp_path / "data")
    for number, (device, shares) in enumerate(
        [(KITCHEN, True), (KITCHEN, False), (HALL, True), (KITCHEN, True)]
    ):
        kept.add(
            SPEECH[: 3200 * (number + 1)],
            device=device,
            share_for_training=shares,
            preroll_ms=0,
            wake_word="okay_nabu",
        )
    yield kept
    kept.close()


@pytest.fixture
def heard(monkeypatch):
    """The WAVs that were played."""
    played = []
    monkeypatch.setattr(donate, "play_wav", played.append)
    return played


def asked(tmp_path, *answers):
    arguments = [str(tmp_path / "out.tar"), "--data", str(tmp_path / "data")]
    return CliRunner().invoke(donate.command, arguments, input="\n".join(answers) + "\n")


def entries(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def labels_in(path):
    return [json.loads(line) for line in entries(path)["labels.jsonl"].splitlines()]


def test_only_what_may_be_shared_is_offered_and_only_what_was_heard_is_given(
    recordings, heard, tmp_path
):
    give = ["h", "d", "y"]
    done = asked(tmp_path, *give, "y", "what time is it", "l", *give, "?", "", "y")
    assert done.exit_code == 0, done.output
    assert "3 of 3" in done.output and "4 of" not in done.output
    assert "wrote 2 recordings" in done.output and "nothing was uploaded" in done.output
    rows = labels_in(tmp_path / "out.tar")
    by_sha256 = {row["sha256"]: (row["wake_word_said"], row["transcript"]) for row in rows}
    log = tmp_path / "data" / FOLDER / LOG_NAME
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [r["kind"] for r in records] == ["look"] * 4 + ["donate"]  # heard, heard, exported
    assert [r.get("what") for r in records[:4]] == ["hear", "hear", "export", "export"]
    archive = hashlib.sha256((tmp_path / "out.tar").read_bytes()).hexdigest()
    ids = digest_of([r["recording"] for r in records[:2]])
    assert records[4] | {"archive": archive, "recordings": 2, "ids": ids} == records[4]
    first, second = (hashlib.sha256(wav).hexdigest() for wav in heard)
    assert by_sha256 == {first: (True, "what time is it"), second: (None, None)}


def test_what_was_not_heard_cannot_be_given(recordings, heard, tmp_path):
    done = asked(tmp_path, "d", "r")
    assert "hear it first" in done.output and "nothing was chosen" in done.output
    assert heard == [] and not (tmp_path / "out.tar").exists()
    done = asked(tmp_path, "h", "d", "n", "r")  # somebody in it does not agree
    assert "left out" in done.output and not (tmp_path / "out.tar").exists()


@pytest.mark.parametrize(
    "answers", [["q"], ["h", "d", "y", "y", "", "q"], ["h", "d", "y", "y", "", "r", "n"]]
)
def test_whoever_stops_or_declines_writes_nothing(recordings, heard, tmp_path, answers):
    asked(tmp_path, *answers)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_input_that_ends_writes_nothing(recordings, heard, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("h\n"))
    assert earnest(tmp_path / "data", "donate", tmp_path / "out.tar").returncode == 130
    assert len(heard) == 1 and not (tmp_path / "out.tar").exists()


def test_nothing_tells_of_whom_it_is(recordings, tmp_path):
    given = donatable(recordings)
    assert (
        write_archive(recordings, {r.id: Labels(False, None) for r in given}, tmp_path / "a") == 3
    )
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    whole = (tmp_path / "a").read_bytes()
    for recording in given:
        for secret in (recording.id, recording.device, recording.created[:10], recording.sha256):
            assert secret.encode() not in whole
    with tarfile.open(tmp_path / "a") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
    files = entries(tmp_path / "a")
    rows = labels_in(tmp_path / "a")
    fields = "id file sha256 month duration_ms preroll_ms wake_word wake_word_said transcript"
    assert all(list(row) == fields.split() for row in rows)
    assert [row["month"] for row in rows] == [given[0].created[:7]] * 3
    # In the order of random ids, so that the order says nothing; another archive has others.
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    write_archive(recordings, {r.id: Labels(None, None) for r in given}, tmp_path / "b")
    assert not {r["id"] for r in rows} & {r["id"] for r in labels_in(tmp_path / "b")}
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    names = set(files) - {"SHA256SUMS"}
    assert sums == {name: hashlib.sha256(files[name]).hexdigest() for name in names}
    for row in rows:
        assert row["sha256"] == sums[row["file"]]
        with wave.open(io.BytesIO(files[row["file"]])) as file:
            assert file.getnframes() * 1000 // 16000 == row["duration_ms"]
    card = files["DATA_CARD.md"].decode()
    assert "3 recordings, 1 s of audio" in card and "Said: 0, not said: 3, not sure: 0." in card


def test_what_was_withdrawn_or_deleted_before_it_is_written_is_not_in_it(
    recordings, heard, tmp_path, monkeypatch
):
    chosen = {recording.id: Labels(True, None) for recording in donatable(recordings)}
    another = Recordings(tmp_path / "data")  # the receiver's own process
    another.unshare(HALL)
    assert write_archive(recordings, chosen, tmp_path / "a") == 2
    # While the archive is made: it is made again.
    read, times = recordings.wav, []

    def wav(recording, **asked):
        if not times:
            times.append(recording)
            another.delete([r for r in donatable(another) if r.id != recording.id])
        return read(recording, **asked)

    monkeypatch.setattr(recordings, "wav", wav)
    assert write_archive(recordings, chosen, tmp_path / "b") == 1
    assert [row["duration_ms"] for row in labels_in(tmp_path / "b")] == [times[0].duration_ms]
    another.delete_all()
    another.close()
    assert write_archive(recordings, chosen, tmp_path / "c") == 0
    assert not (tmp_path / "c").exists()


def test_nothing_is_overwritten_and_nothing_to_give_is_said(recordings, heard, tmp_path):
    (tmp_path / "out.tar").write_text("mine")
    done = asked(tmp_path, "q")
    assert done.exit_code == 2 and "exists already" in done.output
    assert (tmp_path / "out.tar").read_text() == "mine"
    chosen = {recording.id: Labels(None, None) for recording in donatable(recordings)}
    with pytest.raises(HostToolError, match="exists already"):  # it came while they were heard
        write_archive(recordings, chosen, tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_text() == "mine"
    (tmp_path / "out.tar").unlink()
    recordings.delete_all()
    assert "nothing to donate" in asked(tmp_path).output
