"""Scenes: where words end, what is said beside them, and that features are those of a device."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from host_tools.models.reference import FeatureExtractor, quantise
from host_tools.progress import no_progress
from host_tools.training import rooms, scene_sounds, scenes, utterances
from host_tools.training.clips import NEAR, TALK, WORD, Clip
from host_tools.training.scenes import NO_WORD, STAGE, ScenePlan, end_slice
from host_tools.training.stages import Stages
from tests.generators.toy_clips import toy_clips, write_toy_clips

PLAN = ScenePlan(words=60, others=4)
SEED = 11


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(clips' folder, finished scenes' folder)."""
    root = tmp_path_factory.mktemp("scenes")
    clips_folder = write_toy_clips(root / "clips")
    stages = Stages(root / "stages")
    return clips_folder, scenes.make(clips_folder, PLAN, SEED, stages, no_progress)


def test_the_end_slice_is_the_first_that_has_heard_all():
    for end in (0, 480, 481, 640, 641, 30_000):
        found = end_slice(end)
        assert 160 * found + 480 >= end and (found == 0 or 160 * (found - 1) + 480 < end)


def test_a_click_is_heard_where_the_scene_says_the_word_ends():
    """With and without a room, and whoever speaks: the direct sound has no delay."""
    click = np.zeros(4000, np.int16)
    click[-500:] = np.random.default_rng(0).integers(-20000, 20000, 500)
    said = utterances.Utterances([Clip(click, WORD, "click", "k", "toy", "toy", 1.0, False)])
    for seed in range(24):
        rng = np.random.default_rng(seed)
        utterance = said.with_word(rng, seed, scene_sounds.WORD_SECONDS)
        audio = utterance.audio
        if seed % 2:
            audio = rooms.in_room(audio, rooms.impulse_response(rng)[0])
        audio = audio + rng.normal(0, 1e-3, len(audio)).astype(np.float32)
        samples, _ = rooms.as_samples(rng, audio, -6, -3)
        slices = scenes.slices_of(samples)
        end = end_slice(utterance.word_end)
        loud = slices.max(axis=1)
        assert loud[end - 20 : end - 6].max() < loud[end - 4 : end + 2].max() - 25, seed
        heard = np.abs(samples.astype(int)) > np.abs(samples.astype(int)).max() / 4
        assert -800 < np.flatnonzero(heard)[0] - utterance.word_end < 0, seed


def test_features_are_those_of_the_streaming_front_end(made):
    """Bit for bit: the same scene drawn again, heard in chunks of 10 ms and of any size."""
    folder, made_folder = made
    words, others = scenes.load(made_folder)
    assert words.features.shape == (60, 388, 40) and others.features.shape == (4, 778, 40)
    material = scene_sounds.Material.of(toy_clips(), False, SEED)
    for number in (0, 7, 59):
        rng = np.random.default_rng([SEED, STAGE, 1, number])
        samples, end, about = scene_sounds.word_scene(material, rng, number)
        assert words.ends[number] == end_slice(end) and words.about[number] == about
        for sizes in ([160], [160, 7, 1000]):
            front_end, found, at, turn = FeatureExtractor(), [], 0, 0
            while at < len(samples):
                size = sizes[turn % len(sizes)]
                found.append(front_end.process(samples[at : at + size]))
                at, turn = at + size, turn + 1
            assert (quantise(np.concatenate(found)) == words.features[number]).all()


def test_facts_and_held_out_speakers(made, tmp_path):
    clips_folder, folder = made
    words, others = scenes.load(folder)
    assert (words.ends >= 0).all() and (others.ends == NO_WORD).all()
    assert (words.ends < 388 - 62).all(), "the label of every word fits in"
    assert {each["clip"] for each in words.about} == set(range(8)), "all words, evenly"
    assert all(-3 > each["level_dbfs"] > -36 for each in words.about)
    shares = [np.mean([key in each for each in words.about]) for key in ("followed", "t60_s")]
    assert 0.25 < shares[0] < 0.6 and 0.45 < shares[1] < 0.85, shares
    assert len(np.unique(words.ends % 3)) == 3, "every phase of the stride"
    held_out = scenes.make(
        clips_folder, ScenePlan(12, 2, True), SEED, Stages(tmp_path), no_progress
    )
    assert not set(_bytes(words)) & set(_bytes(scenes.load(held_out)[0]))


def _bytes(found: scenes.Scenes) -> list[bytes]:
    return [scene.tobytes() for scene in found.features]


def test_stress_moves_the_loudness_of_parts_and_no_sample():
    rng = np.random.default_rng(4)
    audio = rng.normal(0, 0.1, 32_000).astype(np.float32)
    audio[9000:12_000] = 0
    found = rooms.stressed(rng, audio)
    assert found.dtype == np.float32 and len(found) == len(audio)
    assert not found[9000:12_000].any()
    said = audio != 0
    gain_db = 20 * np.log10(found[said] / audio[said])
    assert 2 < gain_db.std() < 7, "parts are louder or softer"
    assert np.abs(np.diff(gain_db[:9000])).max() < 0.03, "and slide from one to the next"
    for length in (1, 2, 300):
        assert len(rooms.stressed(rng, audio[:length])) == length


def test_some_scenes_are_as_silent_as_after_a_noise_gate(made):
    words, others = scenes.load(made[1])
    snrs_db = np.array([about["snr_db"] for about in words.about + others.about])
    (lowest, _), (quiet, silent), (_, highest) = scene_sounds.SNRS_DB
    assert snrs_db.min() >= lowest and snrs_db.max() <= highest
    shares = np.histogram(snrs_db, (lowest, quiet, silent, highest))[0] / len(snrs_db)
    assert np.abs(shares - scene_sounds.SNR_SHARES).max() < 0.15
    assert any(about["snr_db"] > silent and (slices[-30:] == -128).all()
               for slices, about in zip(words.features, words.about, strict=True))  # fmt: skip


def test_processes_and_interruptions_change_nothing(made, tmp_path):
    clips_folder, folder = made
    stages = Stages(tmp_path / "stages")

    class Stop(BaseException):
        pass

    def stopping(total):
        context = no_progress(total)
        report = context.__enter__()

        class Context:
            def __enter__(self):
                return self.report

            def report(self, text, done):
                report(text, done)
                if done:
                    raise Stop

            def __exit__(self, *error):
                return None

        return Context()

    with pytest.raises(Stop):
        scenes.make(clips_folder, PLAN, SEED, stages, stopping)
    (half,) = stages.root.iterdir()
    assert [path.name for path in half.glob("*.npz")] == ["word-000000.npz"]
    before = (half / "word-000000.npz").stat().st_mtime_ns
    again = scenes.make(clips_folder, PLAN, SEED, stages, no_progress, workers=2)
    assert again == half and (half / "word-000000.npz").stat().st_mtime_ns == before
    assert scenes.content_hash(again) == scenes.content_hash(folder)
    few = [
        scenes.make(clips_folder, ScenePlan(2, 0), seed, stages, no_progress)
        for seed in (SEED, SEED + 1)
    ]
    assert scenes.content_hash(few[0]) != scenes.content_hash(few[1])


def test_negatives_that_the_owner_gave_are_heard(made, tmp_path):
    clips_folder, folder = made
    own = [np.full(16_000, 12_345, np.int16)]
    material = scene_sounds.Material.of(toy_clips(), False, SEED, negatives=own)
    rng = np.random.default_rng(1)
    parts = [material.utterances.without_word(rng, 7.8).about["parts"] for _ in range(30)]
    share = np.mean([part == "own" for each in parts for part in each])
    assert 0.1 < share < 0.35, share


def test_hard_negatives_are_looked_for_in_fluent_speech():
    said = utterances.Utterances(toy_clips(), [np.full(9000, 5, np.int16)])
    drawn = {True: set(), False: set()}
    for seed in range(40):
        for is_fluent, kinds in ((True, utterances.FLUENT), (False, utterances.ALL_PIECES)):
            rng = np.random.default_rng(seed)
            drawn[is_fluent] |= set(said.without_word(rng, 7.8, kinds).about["parts"])
    assert drawn[True] == {"talk", "shuffled", "own"}
    assert drawn[False] == {*utterances.ALL_PIECES, "own"}


def test_no_scene_without_the_word_has_it(monkeypatch):
    """Of a word, only a part that is too short to be it; of other clips, none that says it."""
    monkeypatch.setattr(utterances, "other_speaker", lambda rng, audio, factor=None: (audio, 1.0))
    monkeypatch.setattr(
        utterances, "_PIECES", {"talk": 0.1, "cut": 0.5, "begun": 0.2, "ended": 0.2}
    )
    monkeypatch.setattr(utterances, "faded", lambda audio, seconds=0: audio)
    # Every sample of a word tells its place: from 1 at the beginning up to 1000 at the end.
    word = np.linspace(1, 1000, 8000).astype(np.int16)
    quiet = np.full(6000, -1000, np.int16)
    clips = [
        Clip(word, WORD, "Hey, You!", "heɪ juː", "toy", "a", 1.0, False),
        Clip(quiet, NEAR, "hay", "heɪ", "toy", "a", 1.0, False),
        Clip(quiet, TALK, "well", "wɛl", "toy", "b", 1.0, False),
        Clip(word, TALK, "he said hey you to him", "x", "toy", "b", 1.0, False),
        Clip(word, NEAR, "hay ewe", "heɪjuː", "toy", "b", 1.0, False),
    ]
    said = utterances.Utterances(clips)
    parts_of_word = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for audio in (said.without_word(rng, 7.8).audio, said._shuffled(rng)):
            at = np.flatnonzero(audio > 0.002)
            parts_of_word += len(at) > 0
            # Places that grow, without a pause: how far each run goes, of the whole word.
            is_cut = (np.diff(audio[at]) < 0) | (np.diff(at) > 2900)
            runs = np.split(audio[at], np.flatnonzero(is_cut) + 1)
            reach = max((run[-1] - run[0] for run in runs if len(run)), default=0)
            assert reach <= utterances.MOST_OF_BEGINNING, (seed, reach)
    assert parts_of_word > 30
    assert len(utterances.without_the_word_in_others(clips)) == 3


def test_talk_is_not_held_as_floats():
    """An hour of it is in every process that makes scenes."""
    talk = [clip for clip in toy_clips() if clip.kind == TALK] * 20
    held = sum(clip.samples.nbytes for clip in talk)
    tracemalloc.start()
    try:
        found = utterances.Utterances(talk)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held > 1e6 and grown < held / 10
    assert len(found.talk) == len(talk)
    assert (found.talk[3] == utterances.normal(talk[3].samples)).all()
    assert len(found.talk[2:5]) == 3 and (found.talk[2:5][1] == found.talk[3]).all()
