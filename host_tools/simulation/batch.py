"""Several audio files through the simulated device, one after the other or some at a time.

Every file has a MicroPython process of its own, which does nine tenths of the work, so threads
here are enough to use every core.  Traces and results come in the order of the files, whichever
finishes first.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from host_tools.audio.files import open_audio
from host_tools.progress import Report
from host_tools.simulation import trace
from host_tools.simulation.events import Event
from host_tools.simulation.result import Result
from host_tools.simulation.runner import Settings, simulate

MAX_JOBS = 64
#: What a trace that waits for its turn may take in memory; a longer one is in a temporary file.
_KEPT_CHARACTERS = 1 << 20

#: Takes the total and its unit, see progress.bar.
OpenBar = Callable[[float, str], AbstractContextManager[Report]]
#: Returns the result of a file, or raises what stopped it.
Finish = Callable[[], Result]


class StoppedError(Exception):
    """Nobody waits for the result any more."""


@contextmanager
def in_order(
    names: Sequence[str],
    settings: Settings,
    sink: IO[str] | None,
    with_features: bool,
    jobs: int,
    open_bar: OpenBar,
) -> Iterator[Iterator[Finish]]:
    """Simulate files, up to `jobs` of them at a time; give a Finish for each, in order.

    Args:
        names: the audio files.
        settings: the same for all of them.
        sink: where the traces go, in order; None for nowhere.
        with_features: whether the trace has the feature slices.
        jobs: 1 simulates a file when its Finish is called.
        open_bar: shows the progress.

    Leaving the context stops what still runs.
    """
    if jobs == 1:
        yield (_alone(name, settings, sink, with_features, open_bar) for name in names)
        return
    stop = threading.Event()
    with open_bar(len(names), "count") as report, ThreadPoolExecutor(jobs) as pool:

        def start(name: str) -> Finish:
            kept: IO[str] | None = sink and tempfile.SpooledTemporaryFile(
                _KEPT_CHARACTERS, "w+", encoding="utf-8", newline="\n"
            )
            future = pool.submit(_run, name, settings, kept, with_features, stop.is_set)

            def finish() -> Result:
                try:
                    return future.result()
                finally:
                    report(Path(name).name, 1)
                    if sink is not None and kept is not None and future.done():
                        with kept:
                            kept.seek(0)
                            shutil.copyfileobj(kept, sink)

            return finish

        try:
            yield _ahead(map(start, names), 2 * jobs)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _ahead(started: Iterator[Finish], count: int) -> Iterator[Finish]:
    """Give what `started` gives, `count` of them taken ahead: no more traces than that wait."""
    taken: deque[Finish] = deque()
    for finish in started:
        taken.append(finish)
        if len(taken) == count:
            yield taken.popleft()
    yield from taken


def _alone(
    name: str,
    settings: Settings,
    sink: IO[str] | None,
    with_features: bool,
    open_bar: OpenBar,
) -> Finish:
    def finish() -> Result:
        audio = open_audio(name)
        with open_bar(audio.duration_s * 1000, "percent") as report:
            reported_ms = 0

            def on_event(event: Event) -> None:
                nonlocal reported_ms
                report(Path(name).name, event["t_ms"] - reported_ms)
                reported_ms = event["t_ms"]
                if sink is not None and (with_features or event["event"] != "features"):
                    sink.write(trace.line(event))

            return simulate(Path(name).as_posix(), audio, settings, on_event)

    return finish


def _run(
    name: str,
    settings: Settings,
    sink: IO[str] | None,
    with_features: bool,
    is_stopped: Callable[[], bool],
) -> Result:
    def on_event(event: Event) -> None:
        if is_stopped():
            raise StoppedError
        if sink is not None and (with_features or event["event"] != "features"):
            sink.write(trace.line(event))

    return simulate(Path(name).as_posix(), open_audio(name), settings, on_event)
