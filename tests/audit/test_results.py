"""What is kept of a check: whole, bounded, for its owner alone, and never greener than it was."""

import json
import random
import stat
from dataclasses import replace

import pytest

from host_tools.audit import results as kept_results
from host_tools.audit.results import CABLE, FILES, Result, Results
from host_tools.audit.stream_check import Mismatch
from host_tools.errors import HostToolError
from host_tools.receiver.anchors import Anchor, Anchors

NOW_S = 1_800_000_000.0
KITCHEN = "0123456789abcdef"
GOOD = Result(
    *(NOW_S, CABLE, 0, 40, "a" * 64, (), None, None, 38, NOW_S - 60, 3, 3, 0, ()),
)
ELSEWHERE = Mismatch(9600, NOW_S, 12, "e" * 64, "evil.lan")


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "data")


def test_a_result_is_there_again_for_its_owner_alone(results, tmp_path):
    assert results.of(KITCHEN) is None
    whole = replace(GOOD, broken=("record 3 was changed",), mismatches=(ELSEWHERE,), behind="x")
    assert results.keep(KITCHEN, whole, []) and results.of(KITCHEN) == whole and whole.is_red
    [path] = (tmp_path / "data" / "checks").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    results.forget(KITCHEN)
    assert results.of(KITCHEN) is None
    with pytest.raises(HostToolError, match="not the id"):
        results.of("../devices")


def test_a_copy_that_reaches_less_far_hides_nothing(results):
    assert results.keep(KITCHEN, GOOD, [])
    older = replace(GOOD, source=FILES, last_seq=39, checked_s=NOW_S + 9)
    assert not results.keep(KITCHEN, older, []) and results.of(KITCHEN) == GOOD
    red = replace(older, mismatches=(ELSEWHERE,))
    assert results.keep(KITCHEN, red, []) and results.of(KITCHEN).is_red
    assert results.keep(KITCHEN, replace(GOOD, last_seq=9), []), "what the board has now counts"


def test_what_went_elsewhere_stays_red_when_the_log_has_forgotten_it(results):
    results.keep(KITCHEN, replace(GOOD, mismatches=(ELSEWHERE,)), {"e" * 64})
    results.keep(KITCHEN, replace(GOOD, first_seq=30, last_seq=90), {"f" * 64})
    assert results.of(KITCHEN).earlier == (ELSEWHERE,) and results.of(KITCHEN).is_red
    results.keep(KITCHEN, replace(GOOD, first_seq=50, last_seq=99), {"f" * 64})
    assert results.of(KITCHEN).earlier == (ELSEWHERE,)
    # In this log it is there again, and it came here after all: the history was restored.
    results.keep(KITCHEN, GOOD, {"e" * 64})
    assert not results.of(KITCHEN).is_red


def test_a_log_full_of_mismatches_is_bounded_and_the_rest_is_counted(results, tmp_path):
    many = tuple(replace(ELSEWHERE, seq=n, hash=f"{n:064x}") for n in range(700))
    long = ("x" * 9999,) * 700
    results.keep(KITCHEN, replace(GOOD, mismatches=many, broken=long), [])
    results.keep(KITCHEN, replace(GOOD, mismatches=many, broken=long), [])
    found = results.of(KITCHEN)
    assert len(found.mismatches) == len(found.earlier) == 100 and found.unlisted == 600
    [path] = (tmp_path / "data" / "checks").iterdir()
    assert path.stat().st_size < kept_results.MAX_FILE_BYTES


def test_a_damaged_file_is_no_result_and_no_error(results, tmp_path):
    results.keep(KITCHEN, replace(GOOD, mismatches=(ELSEWHERE,)), [])
    [path] = (tmp_path / "data" / "checks").iterdir()
    whole = path.read_bytes()
    chosen = random.Random(3)
    for _ in range(300):
        at = chosen.randrange(len(whole))
        change = chosen.choice([b"", b"0", b"null", b'"', b"}", b"[", b"true", b"-1e999"])
        path.write_bytes(whole[:at] + change + whole[at + chosen.randint(0, 8) :])
        found = results.of(KITCHEN)
        if found is not None:  # what can still be read has its types
            assert isinstance(found.last_seq, int) and isinstance(found.is_red, bool)
            assert all(isinstance(m.bytes, int) for m in found.mismatches)
    path.write_bytes(json.dumps({**json.loads(whole), "v": 2}).encode())
    assert results.of(KITCHEN) is None


def test_what_a_device_tells_is_held_against_its_checked_log(results, tmp_path):
    anchors = Anchors(tmp_path / "data")
    anchors.add(KITCHEN, Anchor(38, "b" * 64, NOW_S - 60))
    results.keep(KITCHEN, GOOD, [])
    assert results.disagreement(KITCHEN) is None
    anchors.add(KITCHEN, Anchor(41, "c" * 64, NOW_S + 60))
    assert results.disagreement(KITCHEN) is None
    assert results.newest_told(KITCHEN).seq == 41
    anchors.add(KITCHEN, Anchor(41, "d" * 64, NOW_S + 120))
    assert "restarted or cut" in results.disagreement(KITCHEN)


@pytest.mark.parametrize("seq, digest", [(40, "b" * 64), (39, "b" * 64), (0, "b" * 64)])
def test_a_log_that_was_cut_behind_the_check_is_seen_before_anybody_fetches_it(
    results, tmp_path, seq, digest
):
    results.keep(KITCHEN, GOOD, [])
    Anchors(tmp_path / "data").add(KITCHEN, Anchor(seq, digest, NOW_S + 60))
    assert "restarted or cut" in results.disagreement(KITCHEN)


def test_of_a_copy_only_the_hash_of_its_last_record_is_held(results, tmp_path):
    """Nobody knows when it was made: the device may have told of more before it was checked."""
    anchors = Anchors(tmp_path / "data")
    anchors.add(KITCHEN, Anchor(44, "b" * 64, NOW_S - 60))
    results.keep(KITCHEN, replace(GOOD, source=FILES), [])
    assert results.disagreement(KITCHEN) is None
    anchors.add(KITCHEN, Anchor(45, "c" * 64, NOW_S + 60))
    assert results.disagreement(KITCHEN) is None
    anchors.add("1" * 16, Anchor(40, "b" * 64, NOW_S))
    results.keep("1" * 16, replace(GOOD, source=FILES), [])
    assert "record 40 is another" in results.disagreement("1" * 16)
