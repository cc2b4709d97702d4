"""The clips of a run, by espeak-ng alone: the same by any number of processes, killed or not."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from host_tools.errors import HostToolError
from host_tools.progress import no_progress
from host_tools.shared_firmware import ROOT
from host_tools.training import clips, near_words, speech, stages
from host_tools.training.clips import NEAR, TALK, WORD
from host_tools.training.pronunciation import word
from host_tools.training.speech import SpeechPlan
from host_tools.training.stages import Stages

ROBOTS = ("espeak",)
LONG = SpeechPlan(200, 0, 0, ROBOTS, 0.0, uses_dictionary=False)
PLAN = SpeechPlan(4, 2, 3, ROBOTS, 0.0, uses_dictionary=False)


def make(root, text="Alexa", plan=PLAN, seed=5, workers=1):
    return speech.make(word(text), plan, seed, Stages(root), no_progress, workers)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("training"))


def test_a_run_has_its_clips_in_order(made):
    found = clips.load(made)
    assert [clip.kind for clip in found] == [WORD] * 4 + [NEAR] * 2 + [TALK] * 3
    assert {clip.text for clip in found if clip.kind == WORD} == {"Alexa"}
    assert all(clip.family == "espeak" and 0.1 < clip.seconds < 12 for clip in found)
    assert not any(clip.is_held_out for clip in found)


def test_two_processes_make_the_same_clips(made, tmp_path):
    assert contents(make(tmp_path, workers=2)) == contents(made)


def test_another_seed_says_it_otherwise(made, tmp_path):
    other = contents(
        make(tmp_path, plan=SpeechPlan(2, 1, 1, ROBOTS, 0.0, uses_dictionary=False), seed=6)
    )
    assert not set(other.values()) & set(contents(made).values())


def test_a_killed_run_goes_on_to_the_same_clips(made, tmp_path):
    child = multiprocessing.get_context("fork").Process(target=make, args=(tmp_path,))
    child.start()
    while len(list(tmp_path.glob("*/*.wav"))) < 3 and child.is_alive():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.wav")}
    assert 3 <= len(before) < 9 and not list(tmp_path.glob("clips-*"))
    assert contents(make(tmp_path)) == contents(made)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_ctrl_c_ends_all_processes_without_a_word(made, tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.training import test_speech_stages as own\n"
        "if __name__ == '__main__':\n"
        "    try: own.make(Path(sys.argv[1]), plan=own.LONG, workers=2)\n"
        "    except KeyboardInterrupt: sys.exit(130)\n"
    )
    (tmp_path / "run.py").write_text(script)
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", tmp_path / "made"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not list(tmp_path.glob("made/*/*.wav")) and run.poll() is None:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, said.decode()) == (130, "")
    with pytest.raises(ProcessLookupError):  # the last to go is Python's own tracker
        for _ in range(500):
            os.killpg(run.pid, 0)
            time.sleep(0.02)


def test_a_finished_run_is_used_again_and_its_talk_by_another_word(made, monkeypatch):
    def refuse(*arguments):
        pytest.fail("a clip was made again")

    with monkeypatch.context() as patch:
        patch.setattr(speech.speech_workers, "make", refuse)
        assert make(made.parent) == made
    plan = SpeechPlan(1, 1, 3, ROBOTS, 0.0, uses_dictionary=False)
    other = make(made.parent, "hey computer", plan)
    assert other != made and len(list(made.parent.glob("talk-*"))) == 1
    assert {clip.text for clip in clips.load(other) if clip.kind == WORD} == {"hey computer"}


@pytest.mark.parametrize(
    "text, is_in_talk",
    [("the neighbour", True), ("hey kestrel", False)],
)
def test_near_words_never_say_the_word_and_talk_that_does_is_found(tmp_path, text, is_in_talk):
    many = SpeechPlan(0, 20, 150, ROBOTS, 0.0, uses_dictionary=False)
    wanted, families = word(text), [speech.voices.family("espeak", tmp_path)]
    ordered = speech.ordered(wanted, many, 0, families, tmp_path)
    said = {
        kind: [near_words.said_in(wanted, order.text, order.ipa) for order in ordered[kind]]
        for kind in (NEAR, TALK)
    }
    assert not any(said[NEAR]) and any(said[TALK]) is is_in_talk
    for order, is_said in zip(ordered[TALK], said[TALK], strict=True):
        assert is_said or text not in order.text.lower()


def test_the_parts_of_a_phrase_are_near_it(tmp_path):
    plan = SpeechPlan(0, 18, 0, ROBOTS, 0.0, uses_dictionary=False)
    families = [speech.voices.family("espeak", tmp_path)]
    near = speech.ordered(word("hey earnest"), plan, 0, families, tmp_path)[NEAR]
    texts = [order.text for order in near]
    assert texts[0] == "hey" and texts[9] == "earnest" and texts.count("hey") == 1
    alone = speech.ordered(word("Alexa"), plan, 0, families, tmp_path)[NEAR]
    assert "Alexa" not in [order.text for order in alone]


def test_cheap_talk_is_more_talk_by_the_last_family(made):
    plan = SpeechPlan(4, 2, 3, ROBOTS, 0.0, 2, uses_dictionary=False)
    assert contents(made).items() <= contents(make(made.parent, plan=plan)).items()
    more = clips.load(make(made.parent, plan=plan))[9:]
    assert [clip.kind for clip in more] == [TALK] * 2
    assert not {clip.text for clip in more} & {clip.text for clip in clips.load(made)}


def test_talk_that_says_the_word_is_left_out_and_the_rest_stays(made):
    talk = [clip for clip in clips.load(made) if clip.kind == TALK]
    start = " ".join(talk[0].text.replace(",", "").split()[:3])
    plan = SpeechPlan(1, 0, len(talk), ROBOTS, 0.0, uses_dictionary=False)
    other = [clip for clip in clips.load(make(made.parent, start, plan)) if clip.kind == TALK]
    assert [clip.text for clip in other] == [clip.text for clip in talk[1:]]


def test_too_little_space_is_said_before_a_clip_is_made(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=stages._SPARE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(HostToolError, match="too little space on the disk"):
        make(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_unknown_voices_are_refused(tmp_path):
    with pytest.raises(HostToolError, match="no voices named 'robot'"):
        make(tmp_path, plan=SpeechPlan(1, 0, 0, ("robot",)))


def test_a_missing_package_is_named_before_anything_is_made(tmp_path, monkeypatch):
    def version(name):
        if name == "onnxruntime":
            raise speech.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(speech.metadata, "version", version)
    with pytest.raises(
        HostToolError, match=r"onnxruntime is missing; .*earnest\[train\]"
    ) as error:
        make(tmp_path / "new", plan=SpeechPlan(1, 0, 0))
    assert "make setup-train" in error.value.hint and not (tmp_path / "new").exists()
