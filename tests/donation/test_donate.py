"""`earnest donate`: only what may be shared, only what was heard, and no identity."""

import hashlib
import io
import json
import stat
import tarfile
import wave
from contextlib import closing

import pytest
from click.testing import CliRunner

from firmware.satellite import protocol
from host_tools.commands import donate
from host_tools.donation import archive
from host_tools.donation.archive import (
    ChangedError,
    make_waiting,
    name_of,
    take_away,
    waiting_now,
    write_archive,
)
from host_tools.donation.review import (
    NotGivenError,
    give,
    given,
    leave_out,
    offer_of,
    offers,
)
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files, waiting_archive
from host_tools.receiver.labels import NOT_SAID, RIGHT, WRONG, Labels
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME, digest_of
from host_tools.receiver.recording_files import RecordingFiles
from host_tools.receiver.recording_keys import Slots, overwrite
from host_tools.receiver.recordings import Recordings
from host_tools.service import backup
from tests.fakes.receivers import SPEECH, Device, earnest, new_device, serving

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
    options = [answer for answer in answers if answer.startswith("--")]
    answers = [answer for answer in answers if not answer.startswith("--")]
    arguments = [str(tmp_path / "out.tar"), "--data", str(tmp_path / "data"), *options]
    return CliRunner().invoke(
        donate.command, arguments, input="\n".join([*answers, "q", "q"]) + "\n"
    )


def reviewed(recordings, label=NOT_SAID, words=""):
    """Hear and give everything that is offered; returns that."""
    for offer in offers(recordings):
        recordings.labels.note_heard(offer.recording)
        agree = {"everybody_agrees": True, "source": "page"}
        give(recordings, offer.recording, label, words, **agree)
    return given(recordings)


def records(tmp_path, *kinds):
    log = tmp_path / "data" / FOLDER / LOG_NAME
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [record for record in found if record["kind"] in kinds]


def entries(path):
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def labels_in(path):
    return [json.loads(line) for line in entries(path)["labels.jsonl"].splitlines()]


def test_only_what_may_be_shared_is_offered_and_only_what_was_heard_is_given(
    recordings, heard, tmp_path
):
    yes = ["h", "d", "y"]
    done = asked(tmp_path, *yes, "r", "what time is it", "l", *yes, "?", "", "y")
    assert done.exit_code == 0, done.output
    assert "3 of 3" in done.output and "4 of" not in done.output
    assert "# Recordings of a voice assistant" in done.output, "the card comes before the question"
    assert "wrote 2 recordings" in done.output and "nothing was uploaded" in done.output
    rows = labels_in(tmp_path / "out.tar")
    by_sha256 = {row["sha256"]: (row["wake_word_label"], row["transcript"]) for row in rows}
    looks = records(tmp_path, "look")
    assert [r["what"] for r in looks] == ["hear", "hear", "export", "read", "export"]
    archive = hashlib.sha256((tmp_path / "out.tar").read_bytes()).hexdigest()
    ids = digest_of([r["recording"] for r in looks[:2]])
    [donated] = records(tmp_path, "donate")
    expected = {"archive": archive, "recordings": 2, "ids": ids, "source": "command"}
    assert donated | expected == donated
    first, second = (hashlib.sha256(wav).hexdigest() for wav in heard)
    assert by_sha256 == {first: ("right", "what time is it"), second: (None, None)}
    left = [offer.labels.left for offer in offers(recordings)]
    assert left[0] == left[2] != left[1] is None


def test_what_was_not_heard_cannot_be_given(recordings, heard, tmp_path):
    done = asked(tmp_path, "d", "r")
    assert "hear it first" in done.output and "nothing was chosen" in done.output
    assert heard == [] and not (tmp_path / "out.tar").exists()
    first = offers(recordings)[0].recording
    with pytest.raises(NotGivenError, match="hear it first"):
        give(recordings, first, RIGHT, "", everybody_agrees=True, source="page")
    recordings.labels.note_heard(first)
    with pytest.raises(NotGivenError, match="must agree"):
        give(recordings, first, RIGHT, "", everybody_agrees=False, source="page")
    [unshared] = [r for r in recordings.all() if not r.share_for_training]
    recordings.labels.note_heard(unshared)
    with pytest.raises(NotGivenError, match="withdrawn or deleted"):
        give(recordings, unshared, RIGHT, "", everybody_agrees=True, source="page")
    assert given(recordings) == []


def test_somebody_does_not_agree(recordings, heard, tmp_path):
    done = asked(tmp_path, "h", "d", "n", "r")
    assert "left out" in done.output and not (tmp_path / "out.tar").exists()


@pytest.mark.parametrize(
    "answers", [["q"], ["h", "d", "y", "r", "", "q"], ["h", "d", "y", "r", "", "r", "n"]]
)
def test_whoever_stops_or_declines_writes_nothing(recordings, heard, tmp_path, answers):
    asked(tmp_path, *answers)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_was_begun_is_gone_on_with(recordings, heard, tmp_path):
    asked(tmp_path, "h", "d", "y", "w", "okay Nobu", "q")
    assert [offer.labels for offer in given(recordings)] == [Labels(WRONG, True, "give")]
    done = asked(tmp_path, "l", "r", "n")
    assert "1 recording decided before" in done.output and "3 of" not in done.output
    done = asked(tmp_path, "--again", "d", "y", "w", "-", "r", "y")
    assert "Understood: okay Nobu" in done.output and len(heard) == 1
    [row] = labels_in(tmp_path / "out.tar")
    assert (row["wake_word_label"], row["transcript"]) == ("wrong", None)


def test_an_input_that_ends_writes_nothing(recordings, heard, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("h\n"))
    assert earnest(tmp_path / "data", "donate", tmp_path / "out.tar").returncode == 130
    assert len(heard) == 1 and not (tmp_path / "out.tar").exists()


def test_nothing_tells_of_whom_it_is(recordings, tmp_path):
    chosen = reviewed(recordings)
    assert write_archive(recordings, tmp_path / "a") == 3
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    whole = (tmp_path / "a").read_bytes()
    for recording in [offer.recording for offer in chosen]:
        for secret in (recording.id, recording.device, recording.created[:10], recording.sha256):
            assert secret.encode() not in whole
    with tarfile.open(tmp_path / "a") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
    files = entries(tmp_path / "a")
    rows = labels_in(tmp_path / "a")
    fields = "id file sha256 month duration_ms preroll_ms wake_word wake_word_label transcript"
    assert all(list(row) == fields.split() for row in rows)
    assert [row["month"] for row in rows] == [chosen[0].recording.created[:7]] * 3
    # In the order of random ids, so that the order says nothing; another archive has others.
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    write_archive(recordings, tmp_path / "b")
    assert not {r["id"] for r in rows} & {r["id"] for r in labels_in(tmp_path / "b")}
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    names = set(files) - {"SHA256SUMS"}
    assert sums == {name: hashlib.sha256(files[name]).hexdigest() for name in names}
    for row in rows:
        assert row["sha256"] == sums[row["file"]]
        with wave.open(io.BytesIO(files[row["file"]])) as file:
            assert file.getnframes() * 1000 // 16000 == row["duration_ms"]
    card = files["DATA_CARD.md"].decode()
    assert "3 recordings, 1 s of audio" in card and "nothing like it was said; 3." in card


def during(recordings, monkeypatch, change):
    """Let `change` happen while the first recording is read for the archive."""
    read, times = recordings.wav, []

    def wav(recording, **asked):
        if not times:
            times.append(recording)
            change(recording)
        return read(recording, **asked)

    monkeypatch.setattr(recordings, "wav", wav)
    return times


@pytest.fixture
def another(recordings, tmp_path):
    """The same folder, as another process has it."""
    made = Recordings(tmp_path / "data")
    yield made
    made.close()


def test_what_was_withdrawn_or_deleted_before_it_is_written_is_not_in_it(
    recordings, another, tmp_path, monkeypatch
):
    reviewed(recordings)
    another.unshare(HALL)
    assert write_archive(recordings, tmp_path / "a") == 2

    def delete_others(read):
        another.delete([r for r in another.all() if r.id != read.id])

    times = during(recordings, monkeypatch, delete_others)  # it is made again
    assert write_archive(recordings, tmp_path / "b") == 1
    assert [row["duration_ms"] for row in labels_in(tmp_path / "b")] == [times[0].duration_ms]
    another.delete_all()
    assert write_archive(recordings, tmp_path / "c") == 0
    assert not (tmp_path / "c").exists()


def test_nothing_is_overwritten_and_nothing_to_give_is_said(recordings, heard, tmp_path):
    (tmp_path / "out.tar").write_text("mine")
    done = asked(tmp_path, "q")
    assert done.exit_code == 2 and "exists already" in done.output
    assert (tmp_path / "out.tar").read_text() == "mine"
    reviewed(recordings)
    with pytest.raises(HostToolError, match="exists already"):  # it came while they were heard
        write_archive(recordings, tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_text() == "mine"
    (tmp_path / "out.tar").unlink()
    recordings.delete_all()
    assert "nothing to donate" in asked(tmp_path).output


# The archive that waits in the receiver's folder.


def waiting(tmp_path):
    return tmp_path / "data" / "donation"


@pytest.mark.parametrize("close", ["delete", "delete_all", "unshare", "delete_of", "clean"])
def test_a_deletion_or_withdrawal_removes_the_archive_that_waits(
    recordings, another, tmp_path, close, monkeypatch
):
    chosen = reviewed(recordings)
    made = make_waiting(recordings, name_of(recordings, chosen))
    path = waiting(tmp_path) / "donation.tar"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(entries(path)) == 6
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    overwritten = []
    monkeypatch.setattr(
        waiting_archive, "overwrite", lambda path: overwritten.append(path.name) or overwrite(path)
    )
    if close == "delete":
        done = another.delete([chosen[0].recording])
        assert (done.count, done.left) == (1, [])
    elif close == "unshare":
        assert another.unshare(HALL) == []
    elif close == "delete_of":
        assert another.delete_of(HALL).left == []
    elif close == "clean":
        (tmp_path / "data" / f"{chosen[0].recording.id}.json").write_text("{}")
        assert another.clean().left == []
    else:
        another.delete_all()
    assert not waiting(tmp_path).exists() and overwritten[0] == "donation.tar"
    assert waiting_now(recordings) is None and take_away(recordings) is None
    left = given(recordings)
    assert len(left) == (0 if close == "delete_all" else 2)
    if left:
        with pytest.raises(ChangedError):
            make_waiting(recordings, name_of(recordings, chosen))
        make_waiting(recordings, name_of(recordings, left))
        assert len(labels_in(path)) == 2


def test_the_archive_goes_before_the_keys_and_the_marks(
    recordings, another, tmp_path, monkeypatch
):
    """A kill at any moment leaves no archive with what is deleted or marked."""
    path = waiting(tmp_path) / "donation.tar"
    gone = []
    destroy, write_facts = Slots.destroy, RecordingFiles.write_facts

    def destroying(*arguments):
        gone.append(not path.exists())
        destroy(*arguments)

    def writing(*arguments):
        gone.append(not path.exists())
        write_facts(*arguments)

    chosen = reviewed(recordings)
    make_waiting(recordings, name_of(recordings, chosen))
    monkeypatch.setattr(Slots, "destroy", destroying)
    monkeypatch.setattr(RecordingFiles, "write_facts", writing)
    another.delete([o.recording for o in chosen if o.recording.device == KITCHEN][:1])
    make_waiting(recordings, name_of(recordings, given(recordings)))
    another.unshare(HALL)
    assert len(gone) >= 2 and all(gone)
    monkeypatch.undo()
    # Power is lost between the archive and what names it: the next withdrawal, or look, clears it.
    make_waiting(recordings, name_of(recordings, given(recordings)))
    (waiting(tmp_path) / "contents.json").unlink()
    assert another.waiting.remove_with(["c" * 16]) == [] and not waiting(tmp_path).exists()


@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_devices_withdrawal_is_confirmed_only_when_the_archive_is_gone(
    tmp_path, monkeypatch, is_stuck
):
    """A real device, over TLS; the receiver runs in this process, on another thread."""
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")

    def stuck(path):
        raise OSError(30, "Read-only file system")

    with serving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:3200], keep=True, share=True)
        receiver.wait("stream-stop")
        with closing(Recordings(data)) as owner:
            make_waiting(owner, name_of(owner, reviewed(owner)))
        if is_stuck:
            monkeypatch.setattr(waiting_archive, "overwrite", stuck)
        wishes = {"keep_recordings": True, "share_for_training": False}
        device.send(protocol.CONSENT_WITHDRAWN, wishes)
        if is_stuck:
            assert "donation.tar" in receiver.wait("unconfirmed")["reason"]
        else:
            assert device.expect(protocol.DELETED).data == {"count": 0}
    assert (data / "donation").exists() == is_stuck
    monkeypatch.undo()
    with closing(Recordings(data)) as owner:
        assert given(owner) == [] and take_away(owner) is None
    assert not (data / "donation").exists()


def test_an_owners_withdrawal_counts_before_the_recordings_are_marked(recordings, tmp_path):
    """The receiver died between the two; with what may be offered then, nothing is given."""
    chosen = reviewed(recordings)
    made = make_waiting(recordings, name_of(recordings, chosen))
    book = OwnerWithdrawals(tmp_path / "data")
    book.begin(HALL, "hall")
    book.store(HALL)
    assert all(each.recording.device == KITCHEN for each in offers(recordings))
    assert len(given(recordings)) == 2 == len(made.ids) - 1
    [hall] = [each.recording for each in chosen if each.recording.device == HALL]
    assert offer_of(recordings, hall.id) is None
    assert take_away(recordings) is None and not waiting(tmp_path).exists()
    book.confirm(HALL, 0, is_complete=True)  # its recordings that are left were marked by then
    assert len(offers(recordings)) == 3


def test_a_deletion_of_another_recording_leaves_the_archive(recordings, another, tmp_path):
    chosen = reviewed(recordings)
    leave_out(recordings, chosen[0].recording, source="page")
    made = make_waiting(recordings, name_of(recordings, given(recordings)))
    another.delete([chosen[0].recording])
    assert waiting_now(recordings) == made
    [unshared] = [r for r in another.all() if not r.share_for_training]
    assert another.delete([unshared]).left == [] and waiting_now(recordings) == made


def test_an_archive_that_cannot_be_removed_is_a_deletion_that_is_not_done(
    recordings, another, tmp_path, monkeypatch
):
    chosen = reviewed(recordings)
    make_waiting(recordings, name_of(recordings, chosen))

    def refuse(path):
        raise OSError(30, "Read-only file system")

    of_kitchen = [o.recording for o in chosen if o.recording.device == KITCHEN]
    with monkeypatch.context() as patch:
        patch.setattr(waiting_archive, "overwrite", refuse)
        done = another.delete(of_kitchen[:1])
        assert done.count == 1 and "donation.tar: Read-only" in done.left[0]
        assert "donation.tar: Read-only" in another.unshare(HALL)[0]
    assert take_away(recordings) is None, "nobody gets it meanwhile"
    assert not waiting(tmp_path).exists()


def test_what_is_withdrawn_while_the_archive_is_made_is_not_in_one(
    recordings, another, tmp_path, monkeypatch
):
    chosen = reviewed(recordings)
    with monkeypatch.context() as patch:
        during(recordings, patch, lambda read: another.unshare(HALL))
        with pytest.raises(ChangedError):
            make_waiting(recordings, name_of(recordings, chosen))
    assert not waiting(tmp_path).exists() and records(tmp_path, "donate") == []
    # After the last look at the set, and before the file is there.
    chosen = given(recordings)
    write = recordings.waiting.write

    def late(*arguments):
        made = write(*arguments)
        (tmp_path / "data" / f"{chosen[0].recording.id}.sealed").unlink()
        return made

    monkeypatch.setattr(recordings.waiting, "write", late)
    with pytest.raises(ChangedError):
        make_waiting(recordings, name_of(recordings, chosen))
    assert not waiting(tmp_path).exists()


def test_made_twice_it_is_there_once(recordings, tmp_path):
    chosen = reviewed(recordings)
    first = make_waiting(recordings, name_of(recordings, chosen))
    assert make_waiting(recordings, name_of(recordings, chosen)) == first
    assert len(records(tmp_path, "donate")) == 1
    recordings.labels.set_wake_word(chosen[0].recording, RIGHT)
    with pytest.raises(ChangedError):  # the card is another
        make_waiting(recordings, name_of(recordings, chosen))
    recordings.labels.correct_transcript(chosen[0].recording, "other words")
    second = make_waiting(recordings, name_of(recordings, given(recordings)))
    recordings.labels.correct_transcript(chosen[0].recording, "and others")
    with pytest.raises(ChangedError):  # in another tab, behind the page of the set
        make_waiting(recordings, second.of_set)
    assert second.sha256 != first.sha256 and waiting_now(recordings) == second
    assert sorted(p.name for p in waiting(tmp_path).iterdir()) == ["contents.json", "donation.tar"]


def test_what_is_taken_away_is_recorded_first_and_said_afterwards(
    recordings, tmp_path, monkeypatch
):
    made = make_waiting(recordings, name_of(recordings, reviewed(recordings)))
    content = take_away(recordings)
    assert hashlib.sha256(content).hexdigest() == made.sha256
    [left] = records(tmp_path, "leave")
    expected = {"recordings": 3, "archive": made.sha256, "source": "page"}
    assert left | expected == left
    now = waiting_now(recordings)
    assert now.left == offers(recordings)[0].labels.left and now.left.startswith("20")
    (waiting(tmp_path) / "donation.tar").write_bytes(content[:-1])
    with pytest.raises(HostToolError, match="was changed"):
        take_away(recordings)

    def fail(kind, **fields):
        raise HostToolError("cannot write")

    (waiting(tmp_path) / "donation.tar").write_bytes(content)
    monkeypatch.setattr(recordings.log, "add", fail)
    with pytest.raises(HostToolError, match="cannot write"):
        take_away(recordings)


def test_a_full_disk_makes_no_archive_and_leaves_none_behind(recordings, tmp_path, monkeypatch):
    chosen = reviewed(recordings)
    write = owner_only_files.write

    def full(path, content, **options):
        if path.name == "donation.tar":
            raise HostToolError(f"cannot write {path}: No space left on device")
        write(path, content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner_only_files, "write", full)
        with pytest.raises(HostToolError, match="No space left"):
            make_waiting(recordings, name_of(recordings, chosen))
    assert waiting_now(recordings) is None and not waiting(tmp_path).exists()
    make_waiting(recordings, name_of(recordings, chosen))
    # What a kill leaves while one is written: plain audio under another name.
    (waiting(tmp_path) / "donation.tar").rename(waiting(tmp_path) / ".donation.tar.0a1b.part")
    assert waiting_now(recordings) is None and not waiting(tmp_path).exists()


def test_damaged_contents_mean_that_the_archive_goes(recordings, another, tmp_path):
    chosen = reviewed(recordings)
    for nonsense in ("{", "[]", '{"version": 2}', '{"version": 1, "ids": 1}'):
        make_waiting(recordings, name_of(recordings, chosen))
        (waiting(tmp_path) / "contents.json").write_text(nonsense)
        [unshared] = [r for r in another.all() if not r.share_for_training]
        assert another.waiting.remove_with([unshared.id]) == []
        assert not waiting(tmp_path).exists()


def test_a_set_that_would_hold_up_the_devices_is_for_the_command(recordings, monkeypatch):
    monkeypatch.setattr(archive, "MAX_SAMPLES", 1600)
    with pytest.raises(HostToolError, match="longer than an hour"):
        make_waiting(recordings, name_of(recordings, reviewed(recordings)))


def test_no_back_up_has_the_archive(recordings, tmp_path):
    make_waiting(recordings, name_of(recordings, reviewed(recordings)))
    (tmp_path / "data" / "authority").mkdir()
    backup.back_up(tmp_path / "data", tmp_path / "saved.tar", has_recordings=True)
    assert not [name for name in entries(tmp_path / "saved.tar") if "donation" in name]
