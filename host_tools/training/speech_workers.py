"""Makes the clips that are ordered, in one process or several; what comes out is the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.training import clips, cutting, orders, voices
from host_tools.training.clips import Clip
from host_tools.training.orders import Order
from host_tools.training.pronunciation import plain
from host_tools.training.voices.family import Family, Utterance

_ATTEMPTS = 6
#: What the libraries of the voices read when they start: one thread for each process.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

#: In a worker: its families and the seed.
_own: tuple[list[Family], int] | None = None


def make(
    jobs: Sequence[tuple[Path, Order]],
    families: Sequence[str],
    voices_folder: Path,
    seed: int,
    workers: int,
) -> Iterator[Order]:
    """Make every clip and write it into its folder; yields each order when its clip is there.

    Raises HostToolError when a voice does not work.
    """
    start = (list(families), voices_folder, seed)
    if workers <= 1 or len(jobs) <= 1:
        _start(*start)
        yield from map(_make, jobs)
        return
    os.environ.update(_ONE_THREAD)
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(jobs)), _start_worker, start) as pool:
        for order, error in pool.imap_unordered(_tried, jobs):
            if error is not None:
                raise HostToolError(*error)
            yield order


def _start(families: list[str], voices_folder: Path, seed: int) -> None:
    global _own
    _own = [voices.family(name, voices_folder) for name in families], seed


def _start_worker(families: list[str], voices_folder: Path, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process; it ends these
    _start(families, voices_folder, seed)


def _tried(job: tuple[Path, Order]) -> tuple[Order, tuple[str, str] | None]:
    try:
        return _make(job), None
    except HostToolError as error:  # it does not survive the way to the other process
        return job[1], (error.message, error.hint)


def _make(job: tuple[Path, Order]) -> Order:
    assert _own is not None
    folder, ordered = job
    clips.save(folder, ordered.number, spoken(ordered, *_own))
    return ordered


def spoken(ordered: Order, families: Sequence[Family], seed: int) -> Clip:
    """Return the clip of an order; a voice that says nothing sensible is drawn again.

    Raises HostToolError when no voice says it.
    """
    order = ordered
    for _ in range(_ATTEMPTS):
        family = next(each for each in families if each.name == order.family)
        utterance = Utterance(order.text, order.ipa, order.ending)
        sound = family.say(order.speaker, utterance, order.tempo)
        samples = cutting.cut(sound, order.kind)
        if samples is not None:
            return Clip(
                samples=samples,
                kind=order.kind,
                text=order.text,
                phonemes=plain(order.ipa),
                family=order.family,
                speaker=order.speaker,
                tempo=order.tempo,
                is_held_out=order.is_held_out,
            )
        order = orders.again(order, families, seed)
    raise HostToolError(
        f"no voice of {ordered.family} says {ordered.text!r}",
        "spell the word as it sounds, or leave the family out",
    )
