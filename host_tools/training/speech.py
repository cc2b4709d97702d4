"""Stages 1 to 3 of a training run: the clips of the word, of what sounds like it, and of talk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from host_tools import places
from host_tools.audio import speech as espeak
from host_tools.errors import missing_module
from host_tools.progress import OpenProgress
from host_tools.training import (
    clips,
    near_words,
    orders,
    registry,
    speech_workers,
    voices,
    word_list,
)
from host_tools.training.clips import NEAR, TALK, WORD
from host_tools.training.orders import Order, Texts
from host_tools.training.pronunciation import AMERICAN, BRITISH, Word
from host_tools.training.stages import Stage, Stages
from host_tools.training.voices.family import Family

#: Of what is done to a sound before it is a clip; another result wants another number.
VERSION = 1
VOICES = places.MADE / "voices"
#: What every family is used with: pronunciations, samples, resampling.
_PACKAGES = ("espeakng-loader", "numpy", "scipy")
#: The stage of `SpeechPlan.cheap_talk`, and the number of its first clip.
CHEAP = "cheap"
_FIRST_CHEAP = 100_000
_PART_EVERY = 8
_BYTES_A_CLIP = {WORD: 45_000, NEAR: 45_000, TALK: 200_000, CHEAP: 200_000}


@dataclass(frozen=True)
class SpeechPlan:
    """How many clips of each kind, and by whom."""

    words: int = 1300
    near: int = 300
    talk: int = 400
    #: Names of `voices.FAMILIES`: the first says most.
    families: tuple[str, ...] = ("kokoro", "espeak")
    #: Share of the clips that the second family says.
    second_share: float = 0.12
    #: More talk, by the last family alone: robots, which cost a tenth.
    cheap_talk: int = 0
    #: Near words and a part of the talk come from the CMU dictionary; else from a small one.
    uses_dictionary: bool = True

    @property
    def counts(self) -> dict[str, int]:
        """How many clips of each kind, without the cheap ones."""
        return {WORD: self.words, NEAR: self.near, TALK: self.talk}


def make(
    word: Word,
    plan: SpeechPlan,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
    workers: int = 1,
    *,
    voices_folder: Path = VOICES,
    is_offline: bool = False,
) -> Path:
    """Make the clips of a run; return the finished folder that has all of them.

    Args:
        word: the wake word.
        plan: how many clips, by which voices.
        seed: of the whole run: the same one gives the same clips.
        stages: where they are kept.
        open_progress: shows the clips as they are made.
        workers: processes; the result does not depend on it.
        voices_folder: where the voices are kept.
        is_offline: refuse to download.

    Raises:
        HostToolError: a voice cannot be had or does not work, too little space, or another run.
    """
    families = [voices.family(name, voices_folder) for name in plan.families]
    packages = _versions([*_PACKAGES, *(name for each in families for name in each.packages)])
    artefacts = [artefact for each in families for artefact in each.artefacts]
    artefacts += word_list.ARTEFACTS if plan.uses_dictionary else ()
    used = {"packages": packages, "artefacts": {str(each): each.sha256 for each in artefacts}}
    registry.fetch(voices_folder, artefacts, open_progress, is_offline=is_offline)
    listed = ordered(word, plan, seed, families, voices_folder)
    made = {name: _stage(stages, name, each, seed, used) for name, each in listed.items()}
    inputs = {name: stage.path.name for name, stage in made.items()}
    together = stages.folder("clips", {**inputs, "word": list(word.pronunciations)}, VERSION)
    if together.is_done:
        return together.path
    with contextlib.ExitStack() as held:
        left = {}
        for name, stage in made.items():
            if not stage.is_done:
                needed = len(listed[name]) * _BYTES_A_CLIP[name]
                folder = held.enter_context(stage.making(needed))
                left[name] = [
                    order
                    for order in listed[name]
                    if not clips.path_of(folder, order.number).exists()
                ]
        jobs = [(made[name].path, order) for name, order in orders.interleaved(left)]
        with open_progress(len(jobs)) as report:
            for order in speech_workers.make(jobs, plan.families, voices_folder, seed, workers):
                report(f"{order.text} ({order.speaker})", 1)
        for name in left:
            made[name].finish()
    with together.making() as folder:
        _gather(word, list(made.values()), folder)
        together.finish()
    return together.path


def ordered(
    word: Word, plan: SpeechPlan, seed: int, families: Sequence[Family], voices_folder: Path
) -> dict[str, list[Order]]:
    """Decide every clip of a run: its orders by the stage that makes them."""
    dictionary = word_list.read(voices_folder) if plan.uses_dictionary else word_list.small()
    near = _near(word, dictionary, plan.near)
    texts = Texts(word, near, tuple(dictionary) if plan.uses_dictionary else ())
    counts = plan.counts | ({} if near else {NEAR: 0})

    def drawn(kind: str, numbers: range, voices: Sequence[Family]) -> list[Order]:
        return orders.pronounced(
            [orders.draw(kind, each, texts, voices, plan.second_share, seed) for each in numbers]
        )

    listed = {kind: drawn(kind, range(count), families) for kind, count in counts.items()}
    if plan.cheap_talk:
        numbers = range(_FIRST_CHEAP, _FIRST_CHEAP + plan.cheap_talk)
        listed[CHEAP] = drawn(TALK, numbers, families[-1:])
    return listed


def _near(word: Word, dictionary: dict[str, tuple[str, ...]], count: int) -> tuple[str, ...]:
    """The texts of the near words, without any that an accent says as the word.

    Of a word of several words, a part alone comes after every few others: it is what people say
    most of all that is near.
    """
    texts = [near.text for near in near_words.nearest(word, dictionary, count)]
    ways = espeak.pronounce_all(texts, (AMERICAN, BRITISH))
    kept = [
        text
        for text, *said in zip(texts, *ways, strict=True)
        if not any(near_words.said_in(word, text, way) for way in said)
    ]
    parts = word.text.split() if " " in word.text else []
    woven: list[str] = []
    for place, text in enumerate(kept):
        if parts and place % _PART_EVERY == 0:
            woven.append(parts[place // _PART_EVERY % len(parts)])
        woven.append(text)
    return tuple(woven)


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions; raises HostToolError for what is missing."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError as error:
            raise missing_module(name.replace("-", "_")) from error
    return versions


def _stage(
    stages: Stages, kind: str, listed: Sequence[Order], seed: int, used: Mapping[str, object]
) -> Stage:
    """The stage of one kind: known by all that decides its clips."""
    inputs = {
        "clips": len(listed),
        "orders": orders.digest(listed),
        "seed": seed,
        **used,
    }
    return stages.folder(kind, inputs, VERSION)


def _gather(word: Word, made: Sequence[Stage], folder: Path) -> None:
    """Put the clips of several stages into one folder, without negatives that say the word."""
    number = 0
    for stage in made:
        for path in stage.items():
            clip = clips.read(path)
            if clip.kind == WORD or not near_words.said_in(word, clip.text, clip.phonemes):
                place = clips.path_of(folder, number)
                with contextlib.suppress(FileExistsError):
                    _link(path, place)
                number += 1


def _link(path: Path, place: Path) -> None:
    """The same file under another name, or a copy where the disk knows no links."""
    try:
        os.link(path, place)
    except FileExistsError:
        raise
    except OSError:
        clips.save(place.parent, int(place.stem), clips.read(path))
